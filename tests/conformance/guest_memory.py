"""Programs of random two-stage page tables, and accesses through them in every mode; for us and for Spike.

A program is a driver in M-mode, cases for it, and pages. Each case sets the registers that translation depends on,
does one access, and notes the trap or what was loaded. The access is M-mode's with MPRV, that of a hypervisor's
instruction, a fetch, or that of an instruction of the guest's own, from a page that is there for this. Traps are
M-mode's, or go to handlers of the host or the guest, which call on. All of that, the tables and the pages are the
signature.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from random import Random

from elftools.elf.elffile import ELFFile

from tests.assembler import BASE, assemble_elf
from vm_native.riscv.instructions import BY_NAME, encode
from vm_native.riscv.registers import CSR_NUMBERS

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
PAGE = 4096
RESULTS, TABLES, FRAMES = BASE + 0x4_0000, BASE + 0x6_4000, BASE + 0x20_0000      # the last aligned to a superpage
FRAME_COUNT, TABLES_END = 17, FRAMES            # the last frame is for the guest's own code
CODE, VECTOR = FRAMES + 16 * 4096, 0xF00        # there, and where in it traps of the guest's go
ADDRESS_BITS = 56                       # of what a page table entry points to
LEVELS = {0: 0, 8: 3, 9: 4, 10: 5}
HU, SPVP = 1 << 9, 1 << 8
SUM, MXR, MPRV, MPV = 1 << 18, 1 << 19, 1 << 17, 1 << 39
ADUE, PBMTE, SSE = 1 << 61, 1 << 62, 1 << 3
PMM, HUPMM = 32, 48                     # where these fields are
ECALL = 0x0000_0073
# In the order of a case
SET = ("menvcfg", "henvcfg", "hgatp", "vsatp", "vsstatus", "hstatus", "medeleg", "hedeleg", "vstvec", "senvcfg")
NOTED = ("mcause", "mtval", "mtval2", "mtinst", "mstatus", "mepc", "hstatus", "htval", "htinst", "scause", "stval",
         "sepc", "vscause", "vstval", "vsepc", "ssp")
CASE_WORDS, RESULT_WORDS = 16, 17
# All that can be delegated but for calls of supervisors, which lead back to M-mode; and by the host what is of data:
# the handler may be at a page of anything
MEDELEG, HEDELEG = 0xF0_B1FF, 0xA1F0

# By name: the instruction with a0 as the address and a1 as value, and whether M-mode reaches the guest by MPRV.
ACCESSES = {
    **{name: (name, True) for name in ("lb", "lhu", "lw", "ld", "sb", "sh", "sw", "sd")},
    **{name: (name, False) for name in ("hlv.b", "hlv.bu", "hlv.h", "hlv.hu", "hlv.w", "hlv.wu", "hlv.d", "hlvx.hu",
                                        "hlvx.wu", "hsv.b", "hsv.h", "hsv.w", "hsv.d")},
    "ssamoswap.w": ("ssamoswap.w", True), "ssamoswap.d": ("ssamoswap.d", True),
    "sspush": ("sspush", True), "sspopchk": ("sspopchk", True),
    "lr.d": ("lr.d", True), "amoadd.d": ("amoadd.d", True), "cbo.zero": ("cbo.zero", True),
    "fetch": ("", False),
}
NAMES = tuple(ACCESSES)
ATOMIC = "lr.d", "amoadd.d", "ssamoswap.w", "ssamoswap.d"
ON_STACK = "sspush", "sspopchk"         # of ra, at ssp
NATIVE = [name for name, (_, by_mprv) in ACCESSES.items() if by_mprv]       # what a guest can do itself


def word_of(name: str) -> int:
    registers = {"rs1": 1, "rs2": 1} if name in ON_STACK else {"rs1": 10, "rs2": 11, "rd": 12}
    return encode(name, **{operand: registers[operand] for operand in BY_NAME[name].own_registers})


def driver() -> str:
    sets = "\n".join(f"ld t0, {8 * index}(s1); csrw {CSR_NUMBERS[name]:#x}, t0" for index, name in enumerate(SET))
    routines = []
    for name, (instruction, by_mprv) in ACCESSES.items():
        label = name.replace(".", "_")
        if not instruction:
            body = "csrw mepc, a0; csrw mstatus, a3; mret"
        elif by_mprv:
            body = f"csrw mstatus, a3; .word {word_of(instruction):#x}; csrw mstatus, zero; j done"
        else:
            body = f"csrw mstatus, a3; .word {word_of(instruction):#x}; j done"
        routines.append(f"do_{label}: {body}")
    table = ", ".join(f"do_{name.replace('.', '_')}" for name in NAMES)
    notes = "\n".join(f"csrr t0, {CSR_NUMBERS[name]:#x}; sd t0, {8 * index}(s2)" for index, name in enumerate(NOTED))
    clears = "\n".join(f"csrw {CSR_NUMBERS[name]:#x}, zero" for name in NOTED if name not in ("mstatus", "hstatus"))
    return f"""
        la   t0, handler
        csrw mtvec, t0
        la   s1, cases
        li   s2, {RESULTS}
        la   s3, cases_end
        la   s4, routines
        la   t0, supervisor
        csrw stvec, t0
        ld   t0, pmpaddr
        csrw pmpaddr0, t0
        li   t0, -1
        csrw pmpaddr1, t0
        ld   t0, pmpcfg
        csrw pmpcfg0, t0
    next:
        bgeu s1, s3, finish
        {sets}
        .word {encode("hfence.gvma", rs1=0, rs2=0):#x}
        .word {encode("hfence.vvma", rs1=0, rs2=0):#x}
        sfence.vma
        ld   a0, {8 * 10}(s1)
        ld   a1, {8 * 11}(s1)
        ld   a3, {8 * 12}(s1)
        ld   t0, {8 * 13}(s1)
        ld   a4, {8 * 14}(s1)
        csrw 0x011, a0      # ssp
        mv   ra, a1
        li   a2, 0x5A5A
        {clears}
        bnez a4, enter
        slli t0, t0, 3
        add  t0, t0, s4
        ld   t0, (t0)
        jr   t0
    enter:
        csrw mepc, a4
        csrw mstatus, a3
        mret
        .balign 4
    supervisor:
        ecall
        {"".join(f"{chr(10)}        {routine}" for routine in routines)}
        .balign 4
    handler:
    done:
        {notes}
        sd   a2, {8 * len(NOTED)}(s2)
        csrw mstatus, zero
        addi s2, s2, {8 * RESULT_WORDS}
        addi s1, s1, {8 * CASE_WORDS}
        j    next
    finish:
        la   t0, tohost
        li   t1, 1
        sd   t1, (t0)
    1:  j    1b
        .balign 64
        .globl tohost, fromhost, begin_signature, end_signature
    tohost:   .dword 0
    fromhost: .dword 0
        .globl pmpaddr, pmpcfg
    pmpaddr:  .dword 0
    pmpcfg:   .dword 0
    routines: .dword {table}
    """


class Scene:
    """One guest: a first and a second stage, with the addresses that lead somewhere."""

    def __init__(self, random: Random, memory: Memory):
        self.random, self.memory = random, memory
        self.host: dict[int, int] = {}                  # where guest-physical pages are
        self.below: dict[tuple[int, int], int] = {}     # the tables that entries of tables lead to
        self.first = random.choice((0, 8, 8, 9, 10))
        self.second = random.choice((0, 8, 8, 8, 9, 10))
        self.root = memory.new_table(4) if self.second else 0
        self.hgatp = self.second << 60 | random.getrandbits(14) << 44 | self.root >> 12
        self.top = self.guest_page(memory.new_table(), True) if self.first else 0
        self.vsatp = self.first << 60 | random.getrandbits(16) << 44 | self.top >> 12
        self.addresses = [self.guest_address() for _ in range(random.choice((1, 3, 6)))]
        self.is_user = random.choice((0, U))            # the code page's
        self.code = self.guest_address(CODE, R | W | X | V | A | D | self.is_user)

    def flags(self, of_table: bool, second: bool) -> int:
        """Of a leaf; of one that tables are behind seldom something that stops all."""
        random = self.random
        flags = V | random.choice((R, R | W, R | W, R | W | X, R | W | X, R | X, X, W, 0))
        if of_table and random.random() < 0.9:
            flags |= R | W
        if random.random() < (0.95 if second else 0.5):
            flags |= U
        flags |= random.choice((A | D, A | D, A | D, A, 0))
        if random.random() < 0.03:
            flags ^= V
        if random.random() < 0.04:
            flags |= 1 << random.choice((*range(54, 64), 61, 62, 63))
        return flags | random.choice((0, G, 0x300))

    def entry(self, table: int, index: int, value: int) -> None:
        if self.random.random() < 0.01:
            value ^= 1 << self.random.randrange(54)
        self.memory.store(table + 8 * index, value)

    def walk_down(self, root: int, levels: int, leaf: int, address: int, widened: bool) -> int:
        """The table of the leaf; makes those above it. `root` and what it gives are physical, or guest-physical."""
        table = root
        for level in range(levels - 1, leaf, -1):
            mask = 0x7FF if widened and level == levels - 1 else 0x1FF
            index = address >> 12 + 9 * level & mask
            if (table, index) not in self.below:
                new = self.memory.new_table()
                self.below[table, index] = new if widened else self.guest_page(new, True)
                entry = self.below[table, index] >> 12 << 10 | V
                if self.random.random() < 0.01:
                    entry |= 1 << self.random.randrange(4, 64)
                self.memory.store((table if widened else self.host[table]) + 8 * index, entry)
            table = self.below[table, index]
        return table

    def guest_page(self, physical: int, of_table: bool, flags: int = 0) -> int:
        """A guest-physical address for a page: a new one, or where there is one stage only, itself."""
        random = self.random
        if not self.second:
            self.host[physical] = physical
            return physical
        levels = LEVELS[self.second]
        leaf = random.choice((0, 0, 0, *range(levels)))
        size = 1 << 12 + 9 * leaf
        bits = min(12 + 9 * levels + 2, ADDRESS_BITS)
        guest = random.randrange(1 << bits) // size * size + physical % size
        if not of_table and not flags and random.random() < 0.05:
            guest |= 1 << random.randrange(bits, 59)
        table = self.walk_down(self.root, levels, leaf, guest, True)
        mask = 0x7FF if leaf == levels - 1 else 0x1FF
        target = physical - physical % size
        if leaf and not flags and random.random() < 0.05:
            target += PAGE
        flags = flags or self.flags(of_table, True)
        if not leaf and flags >> 63:
            target = target & ~0xF000 | 0x8000
        self.entry(table, guest >> 12 + 9 * leaf & mask, target >> 12 << 10 | flags)
        self.host[guest] = physical
        return guest

    def guest_address(self, frame: int = 0, flags: int = 0) -> int:
        """A virtual address of the guest's, of a frame, and with flags that are to be."""
        random = self.random
        frame = frame or FRAMES + PAGE * random.randrange(FRAME_COUNT - 1)
        guest = self.guest_page(frame, False, flags and flags | U)
        if not self.first:
            return guest
        levels = LEVELS[self.first]
        leaf = random.choice((0, 0, 0, *range(levels)))
        size, top = 1 << 12 + 9 * leaf, 12 + 9 * levels - 1
        address = random.randrange(1 << top + 1) // size * size + guest % size
        if address >> top:
            address |= (1 << 64) - (1 << top)
        if not flags and random.random() < 0.04:
            address ^= 1 << random.randrange(top, 64)
        table = self.walk_down(self.top, levels, leaf, address, False)
        target = guest - guest % size
        if leaf and not flags and random.random() < 0.05:
            target += PAGE
        entry = target >> 12 << 10 | (flags or self.flags(False, False))
        self.entry(self.host[table], address >> 12 + 9 * leaf & 0x1FF, entry)
        return address


class Memory:
    """Tables as they are made."""

    def __init__(self) -> None:
        self.bytes = bytearray(TABLES_END - TABLES)
        self.free = TABLES

    def new_table(self, pages: int = 1) -> int:
        table = -(-self.free // (pages * PAGE)) * pages * PAGE
        self.free = table + pages * PAGE
        assert self.free <= TABLES_END
        return table

    def has_room(self) -> bool:
        return self.free + 120 * PAGE < TABLES_END

    def store(self, address: int, value: int) -> None:
        self.bytes[address - TABLES : address - TABLES + 8] = (value & (1 << 64) - 1).to_bytes(8, "little")


class Program:
    """A random one: its ELF, and the cases for messages."""

    def __init__(self, seed: int, cases: int = 1000):
        random, memory = Random(seed), Memory()
        scenes: list[Scene] = []
        while memory.has_room():
            scenes.append(Scene(random, memory))
        self.cases = [self.case(random, random.choice(scenes)) for _ in range(cases)]
        # Whatever is fetched traps: a call, or half of one, which is no instruction, across pages neither.
        frames = b"".join(struct.pack("<II", ECALL, random.getrandbits(32)) for _ in range((CODE - FRAMES) // 8))
        frames += code_page()
        self.pmp = pmp(random)
        self.elf = assemble(self.cases, bytes(memory.bytes[: memory.free - TABLES]), frames, self.pmp)

    @staticmethod
    def case(random: Random, scene: Scene) -> tuple[int, ...]:
        name = random.choice(NAMES + ("fetch", "ld", "sd"))
        native = random.random() < 0.5
        if native:
            name = random.choice(NATIVE)
        address = random.choice(scene.addresses) // PAGE * PAGE + random.randrange(PAGE // 8) * 8
        if name == "fetch":
            address += random.choice((0, 0, 0, 2))
        elif name == "cbo.zero":                                # whose trap value either side may align: rules.py
            address &= ~63
        elif name not in ATOMIC and random.random() < 0.1:      # nor what traps where these are misaligned
            address += random.randrange(8)
        menvcfg, henvcfg = (random.choice((0, ADUE)) | random.choice((0, PBMTE)) | 0xF0 for _ in range(2))
        menvcfg, henvcfg, senvcfg = (envcfg | random.choice((0, SSE)) for envcfg in (menvcfg, henvcfg, 0xF0))
        masking = random.choice((0, 0, 2, 3))
        if masking:
            menvcfg |= random.choice((0, 2, 3)) << PMM
            henvcfg |= random.choice((0, masking)) << PMM
            senvcfg |= random.choice((0, masking)) << PMM
            if random.random() < 0.8 and name != "fetch":
                address ^= random.getrandbits(64) & -1 << random.choice((48, 57, 57, 56, 47))
        status = random.choice((0, SUM)) | random.choice((0, 0, MXR)) | 2 << 32
        hstatus = random.choice((0, SPVP)) | random.choice((0, HU)) | 2 << 32 | random.choice((0, masking)) << HUPMM
        mstatus = random.choice((0, SUM)) | random.choice((0, 0, MXR)) | random.choice((0, 1)) << 11
        if name == "fetch" or ACCESSES[name][1]:
            mstatus |= MPV if native or random.random() < 0.95 else 0
        if native:
            mstatus = mstatus & ~(1 << 11) | (0 if scene.is_user else 1 << 11)
        elif ACCESSES[name][1]:
            mstatus |= MPRV
        entry = scene.code + 16 * NATIVE.index(name) if native else 0
        return (menvcfg, henvcfg, scene.hgatp, scene.vsatp, status, hstatus, random.choice((0, MEDELEG)),
                random.choice((0, HEDELEG, HEDELEG)), scene.code + VECTOR, senvcfg, address, random.getrandbits(64),
                mstatus, NAMES.index(name), entry, 0)

    def describe(self, number: int) -> str:
        values = self.cases[number]
        named = ", ".join(f"{name} {value:#x}" for name, value in zip((*SET, "address", "value", "mstatus"), values,
                                                                      strict=False))
        return f"case {number}, {'native ' if values[14] else ''}{NAMES[values[13]]}: {named}; pmp {self.pmp}"


def code_page() -> bytes:
    """What a guest does itself: an instruction and a call; and a handler, which calls."""
    page = bytearray(PAGE)
    for index, name in enumerate(NATIVE):
        page[16 * index : 16 * index + 8] = struct.pack("<II", word_of(name), ECALL)
    page[VECTOR : VECTOR + 4] = ECALL.to_bytes(4, "little")
    return bytes(page)


def pmp(random: Random) -> tuple[int, int]:
    """pmpaddr0 and pmpcfg0: a piece of the tables or the pages, with some permissions; the rest is open."""
    size = 1 << random.randrange(6, 16)
    base = random.choice((random.randrange(TABLES, FRAMES), random.randrange(FRAMES, CODE))) // size * size
    permission = random.choice((0, 1, 3, 4, 5, 7, 7, 7))
    return base >> 2 | size // 8 - 1, 0x1F00 | 0x18 | permission


def assemble(cases: list[tuple[int, ...]], tables: bytes, frames: bytes, pmp: tuple[int, int]) -> bytes:
    """The driver with all this behind it."""
    body = b"".join(struct.pack(f"<{CASE_WORDS}Q", *(value & (1 << 64) - 1 for value in case)) for case in cases)
    source = driver() + f"""
        .balign 64
        .globl cases
    cases: .zero {len(body)}
    cases_end:
        .org {RESULTS - BASE}
    begin_signature: .zero {TABLES - RESULTS}
        .org {TABLES - BASE}
        .zero {TABLES_END - TABLES}
        .zero {len(frames)}
    end_signature: .dword 0
    """
    return place_in(source, lambda symbols: [
        (symbols["cases"], body), (TABLES, tables), (FRAMES, frames),
        *((symbols[name], value.to_bytes(8, "little")) for name, value in zip(("pmpaddr", "pmpcfg"), pmp, strict=True)),
    ])


def place_in(source: str, pieces: Callable[[dict[str, int]], list[tuple[int, bytes]]]) -> bytes:
    """The ELF of a program with bytes at addresses, which its symbols tell."""
    elf = bytearray(assemble_elf(source).read_bytes())
    file = ELFFile(io.BytesIO(elf))
    start = file.get_section_by_name(".text")["sh_offset"]
    symbols = {one.name: one["st_value"] for one in file.get_section_by_name(".symtab").iter_symbols()}
    for address, data in pieces(symbols):
        elf[start + address - BASE : start + address - BASE + len(data)] = data
    return bytes(elf)
