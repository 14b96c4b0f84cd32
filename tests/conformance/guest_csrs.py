"""Programs of random accesses to registers, and privileged instructions, in M, HS, U, VS and VU; for us and for Spike.

Each case is an instruction and what M-mode sets before it. Traps come back to M-mode, or by way of HS or VS, where a
handler calls on. What was read, the trap and all registers of control and status are the signature.
"""

from __future__ import annotations

import struct
from random import Random

from tests.assembler import BASE
from tests.conformance.guest_memory import place_in
from vm_native.riscv.csrs import CSRS
from vm_native.riscv.instructions import encode
from vm_native.riscv.registers import CSR_NUMBERS

RESULTS = BASE + 0x10_0000
# All but calls of supervisors, and fetches: satp may be one with which no handler is there
MEDELEG, HEDELEG = 0xF0_A1FD, 0xA1FD
MODES = {"M": 3 << 11, "S": 1 << 11, "U": 0, "VS": 1 << 11 | 1 << 39, "VU": 1 << 39}
# Set before each case; of them the first from the case
SET = ("mstatus", "mideleg", "mie", "medeleg", "satp", "vsatp", "hgatp", "stimecmp", "vstimecmp", "stvec", "vstvec",
       "sepc", "vsepc", "mcause", "mtval", "mtval2", "mtinst")
SHOWN = (
    "mcause", "mtval", "mtval2", "mtinst", "mepc", "mstatus", "mip", "mie", "medeleg", "mideleg", "mcounteren",
    "scounteren", "menvcfg", "senvcfg", "mstateen0", "mstateen1", "hstateen0", "hstateen1", "hstatus", "hedeleg",
    "hideleg", "hvip", "hip", "hie", "hcounteren", "hgeie", "hgeip", "htimedelta", "htval", "htinst", "hgatp",
    "henvcfg", "vsstatus", "vsie", "vsip", "vstvec", "vsscratch", "vsepc", "vscause", "vstval", "vsatp", "vstimecmp",
    "sstatus", "sie", "sip", "stvec", "sscratch", "sepc", "scause", "stval", "satp", "stimecmp", "mscratch", "mtvec",
    "mhpmevent3", "mhpmevent31",
)
CASE_WORDS = 10     # mstatus, operand, code, mideleg, medeleg, hedeleg, mie, hideleg, hvip, vsstatus
TIMERS = 1 << 5 | 1 << 6                # interrupts that come when either side has its time
INTERRUPTS = 1 << 1 | 1 << 2 | 1 << 9 | 1 << 10 | 1 << 12
OTHERS = 0x600 + 0x12, 0x601, 0x7C0, 0x5A9, 0x2FF, 0x246, 0xE13, 0x800, 0xDFF
# Registers that others than these tests are about, and those that the driver needs as they are
LEFT_OUT = {"pmpcfg", "pmpaddr", "mhpmcounter", "tselect", "tdata1", "tdata2", "tdata3",
            "tinfo", "seed", "mseccfg",
            # AIA 2.3 and 2.4, of guests: on Spike an illegal instruction for vstopei, which is HS-qualified, a virtual
            # one for mireg, which is M-mode's, and for sireg with a selection that is reserved
            "vstopei", "mireg", "sireg"}
NOT_WRITTEN = {"misa", "mtvec", "mcycle", "minstret", "mcountinhibit"}
UNPREDICTED = {CSR_NUMBERS[name] for name in ("cycle", "time", "instret", "mcycle", "minstret", "mvendorid", "marchid",
                                              "mimpid", "misa", "mconfigptr",
                                              *(f"hpmcounter{index}" for index in range(3, 32)))}
READ = [number for row in CSRS if row.name not in LEFT_OUT for _, number in row.registers()] + [*OTHERS]
WRITTEN = [number for row in CSRS if row.name not in LEFT_OUT | NOT_WRITTEN for _, number in row.registers()]
WRITTEN += OTHERS
GUESTS = [number for row in CSRS if row.needs in ("H", "Ssaia+H") and row.name not in LEFT_OUT
          for _, number in row.registers()]
INSTRUCTIONS = {
    "sfence.vma": "rs1 rs2", "sinval.vma": "rs1 rs2", "sfence.w.inval": "", "sfence.inval.ir": "",
    "hfence.vvma": "rs1 rs2", "hfence.gvma": "rs1 rs2", "hinval.vvma": "rs1 rs2", "hinval.gvma": "rs1 rs2",
    "sret": "", "ecall": "", "ebreak": "",
    "hlv.w": "rs1 rd", "hlv.d": "rs1 rd", "hlvx.wu": "rs1 rd", "hsv.d": "rs1 rs2", "wrs.nto": "", "cbo.clean": "rs1",
    "cbo.inval": "rs1", "cbo.zero": "rs1", "fmv.d.x": "rd rs1", "fadd.s": "rd rs1 rs2",
}


def driver(count: int, shown: tuple[str, ...], more: tuple[str, ...]) -> str:
    values = {"mideleg": "s5", "medeleg": "s9", "mie": "t2", "stvec": "s6", "vstvec": "s6", "sepc": "s7", "vsepc": "s7",
              "stimecmp": "s8", "vstimecmp": "s8"}
    sets = "\n".join(f"csrw {CSR_NUMBERS[name]:#x}, {values.get(name, 'zero')}" for name in (*SET[1:], *more))
    notes = "\n".join(f"csrr t0, {CSR_NUMBERS[name]:#x}; sd t0, {8 * index}(s2)" for index, name in enumerate(shown))
    return f"""
        la   t0, handler
        csrw mtvec, t0
        li   t0, -1
        csrw pmpaddr0, t0
        li   t1, 0x1F
        csrw pmpcfg0, t1
        li   t1, 0x2004000
        sd   t0, (t1)
        la   s1, cases
        li   s2, {RESULTS}
        la   s3, cases_end
        la   s6, supervisor
        la   s7, landing
        li   s8, -1
        csrw 0x30A, zero        # menvcfg, whose ADUE has another value after reset
    next:
        bgeu s1, s3, finish
        ld   s4, 0(s1)
        ld   a0, 8(s1)
        ld   t0, 16(s1)
        ld   s5, 24(s1)
        ld   s9, 32(s1)
        ld   t1, 40(s1)
        csrw 0x602, t1          # hedeleg
        ld   t2, 48(s1)
        ld   t1, 56(s1)
        csrw 0x603, t1          # hideleg
        ld   t1, 64(s1)
        csrw 0x645, t1          # hvip
        ld   t1, 72(s1)
        csrw 0x200, t1          # vsstatus
        {sets}
        csrw mepc, t0
        csrw mstatus, s4
        li   a2, 0x5A5A
        li   a1, 0
        mret
        .balign 4
    supervisor:
        ecall
        .balign 4
    landing:
        ecall
        .balign 4
    handler:
        {notes}
        sd   a2, {8 * len(shown)}(s2)
        csrw mstatus, zero
        addi s2, s2, {8 * (len(shown) + 1)}
        addi s1, s1, {8 * CASE_WORDS}
        j    next
    finish:
        la   t0, tohost
        li   t1, 1
        sd   t1, (t0)
    1:  j    1b
        .balign 64
        .globl tohost, fromhost, begin_signature, end_signature, code, cases, data
    tohost:   .dword 0
    fromhost: .dword 0
        .balign 64
    data:  .zero 64
    code:  .zero {8 * count}
    cases: .zero {8 * CASE_WORDS * count}
    cases_end:
        .org {RESULTS - BASE}
    begin_signature: .zero {8 * (len(shown) + 1) * count}
    end_signature: .dword 0
    """


class Case:
    """One: the mode, the instruction, and what it works with."""

    def __init__(self, random: Random, data: int):
        self.mode = random.choice(tuple(MODES))
        status = random.choice((0, 3 << 13, 1 << 13)) | random.choice((0, 0, 1 << 20)) | random.choice((0, 0, 1 << 21))
        status |= random.choice((0, 0, 1 << 22)) | random.choice((0, 1 << 1)) | random.choice((0, 1 << 5))
        status |= random.choice((0, 1 << 8)) | random.choice((0, 1 << 18)) | random.choice((0, 1 << 19))
        self.status = status | MODES[self.mode]
        self.delegated = random.choice((0, 0x222, 0x2222)), random.choice((0, MEDELEG)), random.choice((0, HEDELEG))
        self.enabled = random.choice((0, 0, INTERRUPTS, random.getrandbits(16) & INTERRUPTS))
        pending = random.choice((0, 0x404, 4, 0x400)) if self.enabled else 0x40
        status = random.choice((0, 3 << 13, 1 << 13)) | random.choice((0, 2)) | random.choice((0, 1 << 5, 1 << 8))
        self.guest = random.choice((0, 0x444, 0x404, 4)), pending, status
        self.operand = random.choice((
            random.getrandbits(64), random.getrandbits(64), (1 << 64) - 1, 0, 1 << random.randrange(64),
            random.choice((0, 8, 9, 10, 15)) << 60 | random.getrandbits(59) | 1,
        ))
        self.number = -1
        if random.random() < 0.12:
            name = random.choice(tuple(INSTRUCTIONS))
            registers = {"rs1": random.choice((0, 10)), "rs2": random.choice((0, 11)), "rd": 12}
            if name in ("wrs.nto", "cbo.clean", "cbo.inval", "cbo.zero") or name[:2] == "hl" or name[:3] == "hsv":
                registers["rs1"], self.operand = 10, data
            if name == "ecall" and self.mode == "M":
                name = "ebreak"
            self.word = encode(name, **{key: registers[key] for key in INSTRUCTIONS[name].split()})
            self.text = name
            return
        operation = random.choice((1, 2, 3, 5, 6, 7))
        source = random.choice((0, 10, 10)) if operation < 4 else random.choice((0, random.randrange(32)))
        writes = operation & 3 == 1 or source != 0
        self.number = random.choice(random.choice((WRITTEN if writes else READ, GUESTS)))
        self.word = self.number << 20 | source << 15 | operation << 12 | 12 << 7 | 0x73
        self.text = f"csr operation {operation} of {self.number:#x} with {'x' if operation < 4 else ''}{source}"

    def __str__(self) -> str:
        return (f"in {self.mode}, {self.text}; operand {self.operand:#x}, mstatus {self.status:#x}, "
                f"mie {self.enabled:#x}")


class Program:
    """A random one: its ELF, and the cases for messages."""

    def __init__(self, seed: int, extensions: frozenset[str], count: int = 1500):
        random = Random(seed)
        self.shown = tuple(name for name in SHOWN if "Smstateen" in extensions or "stateen" not in name)
        self.words = len(self.shown) + 1        # and what was read

        def pieces(symbols: dict[str, int]) -> list[tuple[int, bytes]]:
            self.cases = [Case(random, symbols["data"]) for _ in range(count)]
            code = b"".join(struct.pack("<II", case.word, 0x73) for case in self.cases)
            words = [value for index, case in enumerate(self.cases)
                     for value in (case.status, case.operand, symbols["code"] + 8 * index, *case.delegated,
                                   case.enabled, *case.guest)]
            return [(symbols["code"], code), (symbols["cases"], struct.pack(f"<{len(words)}Q", *words))]

        self.elf = place_in(driver(count, self.shown, ("hvictl",) if "Ssaia" in extensions else ()), pieces)
        self.size = 8 * self.words * count


def differences(case: Case, shown: tuple[str, ...], theirs: list[int], ours: list[int]) -> list[str]:
    """What is not the same after a case, but for what either side may choose."""
    found = []
    for name, a, b in zip((*shown, "read"), theirs, ours, strict=True):
        mask = (1 << 64) - 1
        number = case.number if name == "read" else CSR_NUMBERS[name]
        if name == "read" and case.number in UNPREDICTED or name in ("minstret", "mcycle"):
            mask = 0
        if name == "read" and case.mode == "M" and number == CSR_NUMBERS["scountovf"]:
            mask = 0                    # chapter "Sscofpmf": M-mode reads all; on Spike what mcounteren lets S-mode
        mask &= ~MASKS.get(number, 0)
        if (a ^ b) & mask:
            found.append(f"{name}: Spike {a:#x}, ours {b:#x}")
    return found


# Bits that are not compared, by register: timers' interrupts; and what conformance/rules.py says of these
MASKS = {CSR_NUMBERS[name]: TIMERS for name in ("mip", "sip", "hip", "vsip")} | {
    CSR_NUMBERS["medeleg"]: 1 | 3 << 18, CSR_NUMBERS["hedeleg"]: 1 | 3 << 18,
    **{CSR_NUMBERS[f"mhpmevent{index}"]: (1 << 56) - 1 for index in range(3, 32)},     # which events there are
    CSR_NUMBERS["mstateen0"]: 1 | 1 << 60, CSR_NUMBERS["hstateen0"]: 1 | 1 << 60, CSR_NUMBERS["sstateen0"]: 1,
    **{CSR_NUMBERS[name]: 1 for name in ("menvcfg", "senvcfg", "henvcfg")},
}
