"""Reads and writes of status registers, which are compiled in part and end no block in general: always as the helper
that does them all has it, which is what runs while hooks are told of such accesses."""

from random import Random

import pytest

from tests.guest import Guest
from vm.settings import Settings

TURNS = 40
LENGTH = 60
REGISTERS = ("mstatus", "sstatus", "mie", "sie", "sip", "mepc", "sepc", "mscratch", "sscratch", "scause",
             "mcause")
IN_SUPERVISOR = tuple(name for name in REGISTERS if name[0] == "s")
BITS = (1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8, 3 << 13, 1 << 14, 1 << 18, 1 << 19, 1 << 22, 1 << 63, 0x222)
# Interrupts and other traps leave a trace in s2, of where they came from, and take back what makes them pending.
PROGRAM = """
    la   t0, trap_m_counted
    csrw mtvec, t0
    la   t0, trap_s_counted
    csrw stvec, t0
    li   s1, {turns}
    {enter}
    .balign 4
again:
    {body}
    addi s1, s1, -1
    beqz s1, finished
    j    again
finished:
    csrr s4, sstatus
    csrr s5, sie
    csrr s6, sepc
    ecall
    .balign 4
trap_m_counted:
    csrr t5, mcause
    csrr t6, mepc
    slli s2, s2, 5
    xor  s2, s2, t5
    xor  s2, s2, t6
    csrr t6, mstatus
    add  s2, s2, t6
    bltz t5, interrupted
    csrr s3, mstatus
    wfi
interrupted:
    li   t6, 0x222
    csrc mip, t6
    mret
    .balign 4
trap_s_counted:
    csrr t5, sepc
    csrr t6, scause
    slli s2, s2, 5
    xor  s2, s2, t5
    xor  s2, s2, t6
    csrr t6, sstatus
    add  s2, s2, t6
    csrci sip, 2
    sret
"""
MACHINE = "csrwi mideleg, 0"
SUPERVISOR = """
    csrwi mideleg, 2
    la   t0, again
    csrw mepc, t0
    li   t0, 0x1800
    csrc mstatus, t0
    li   t0, 0x800
    csrs mstatus, t0
    mret
"""


def body(seed: int, registers: tuple[str, ...]) -> str:
    """Some accesses, with what they find mixed into a0."""
    draw = Random(seed)
    lines = []
    for _ in range(LENGTH):
        name, operation = draw.choice(registers), draw.choice(("csrrw", "csrrs", "csrrc"))
        if name in ("mie", "mideleg", "mip") and draw.random() < 0.5:
            operation = "csrrs"
        value = draw.choice(BITS) | draw.choice(BITS)
        rd = draw.choice(("zero", "a1", "a2", "t2"))
        if draw.random() < 0.4:
            lines.append(f"{operation}i {rd}, {name}, {draw.choice((0, 1, 2, 2, 2, 8, 10, 31))}")
        else:
            rs1 = draw.choice(("zero", "t2", "a2"))
            lines += [f"li {rs1}, {value:#x}"] if rs1 != "zero" else []
            lines.append(f"{operation} {rd}, {name}, {rs1}")
        if rd != "zero":
            lines += ["slli a0, a0, 3", f"xor a0, a0, {rd}"]
        if draw.random() < 0.2:
            lines.append("csrrs zero, mip, s7" if "mstatus" in registers else "csrrsi zero, sip, 2")
    return "\n".join(lines)


def ends(guest: Guest) -> tuple[object, ...]:
    """What there is to see, in pieces of odd lengths that slices end in."""
    seen = []
    guest["s7"] = 0x222
    for piece in (101, 7, 1, 1, 1009, 13, 500, 1_000_000):
        guest.run(piece)
        hart = guest.hart
        seen.append((hart.steps, hart.pc, hart["a0"], hart["s2"], *(hart.csr[name] for name in REGISTERS),
                     hart.csr["mip"], hart.privilege))
    return tuple(seen)


@pytest.mark.parametrize("mode", ["machine", "supervisor"])
@pytest.mark.parametrize("seed", range(8))
def test_random_accesses(seed, mode):
    registers, enter = (REGISTERS, MACHINE) if mode == "machine" else (IN_SUPERVISOR, SUPERVISOR)
    source = PROGRAM.format(turns=TURNS, enter=enter, body=body(seed, registers))
    told = Guest(source, engine="interpreter")
    told.hart.csr["pmpaddr0"], told.hart.csr["pmpcfg0"] = (1 << 54) - 1, 0x1F
    told.machine.on_csr("mstatus", lambda access: None)
    expected = ends(told)
    for options in ({"engine": "interpreter"}, {"engine": "jit", "settings": Settings(hot=0)},
                    {"engine": "jit", "settings": Settings(hot=3)}):
        guest = Guest(source, **options)
        guest.hart.csr["pmpaddr0"], guest.hart.csr["pmpcfg0"] = (1 << 54) - 1, 0x1F
        assert ends(guest) == expected
    assert told["s1"] == 0 or told["s2"]


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", ["mepc", "sepc"])
def test_address_of_a_trap_is_aligned_to_an_instruction(name, compressed, dispatch):
    guest = Guest(f"""
        .option norvc
        li   t0, -1
        csrw {name}, t0
        csrr a0, {name}
        li   a1, 0x1236
        csrrw a1, {name}, a1
        csrr a2, {name}
        wfi
    """, isa="rv64gc" if compressed else "rv64imafd_zicsr_zifencei")
    guest.finish()
    lowest = 1 if compressed else 3
    assert (guest["a0"], guest["a1"]) == ((1 << 64) - 1 - lowest,) * 2
    assert guest["a2"] == 0x1236 & ~lowest


@pytest.mark.parametrize("name", ["mtvec", "stvec"])
def test_vector_keeps_one_bit_of_its_mode(name, dispatch):
    guest = Guest(f"""
        li   t0, -1
        csrw {name}, t0
        csrrw a0, {name}, t0
        li   a1, 0x8000
        csrrw a1, {name}, a1
        csrr a2, {name}
        wfi
    """)
    guest.finish()
    assert (guest["a0"], guest["a1"], guest["a2"]) == ((1 << 64) - 3, (1 << 64) - 3, 0x8000)


@pytest.mark.parametrize("fs", range(4))
def test_sstatus_shows_its_fields_of_mstatus(fs, dispatch):
    """SIE, SPIE, SPP, FS, SUM, MXR, UXL (2: 64 bits), and SD while FS is dirty: section 12.1.1."""
    guest = Guest(f"""
        li   t0, -1 ^ 0x6000
        csrw mstatus, t0
        li   t0, {fs << 13:#x}
        csrs mstatus, t0
        csrr a0, sstatus
        csrr a1, mstatus
        wfi
    """)
    guest.finish()
    shown = 1 << 1 | 1 << 5 | 1 << 8 | fs << 13 | 1 << 18 | 1 << 19 | 2 << 32
    dirty = (fs == 3) << 63
    only_machine = 1 << 3 | 1 << 7 | 3 << 11 | 1 << 17 | 1 << 20 | 1 << 21 | 1 << 22 | 2 << 34
    assert guest["a0"] == shown | dirty
    assert guest["a1"] == shown | only_machine | dirty


@pytest.mark.parametrize("turn_on", ["csrsi sstatus, 2", "csrrsi a3, sstatus, 31", "csrs sstatus, t1",
                                     "csrw sstatus, t1"])
def test_interrupt_that_waits_is_taken_right_behind_what_turns_it_on(turn_on, dispatch):
    """And what turns it off comes in time: the instruction before sees no interrupt."""
    guest = Guest(f"""
        la   t0, again
        csrw mepc, t0
        li   t0, 0x1800
        csrc mstatus, t0
        li   t0, 0x800
        csrs mstatus, t0
        li   t0, 2
        csrw mideleg, t0
        csrw mie, t0
        la   t0, taken
        csrw stvec, t0
        li   s1, 100
        li   a0, 0
        li   a1, 0
        mret
    again:
        li   t1, 2
        csrci sstatus, 2
        csrsi sip, 2
        addi a0, a0, 1
        {turn_on}
    behind:
        addi a1, a1, 1
        addi s1, s1, -1
        bnez s1, again
        li   a7, 99
        j    trap_s
        .balign 4
    taken:
        csrr a4, sepc
        add  a5, a5, a4
        csrci sip, 2
        addi a2, a2, 1
        sub  a6, a0, a1
        add  s2, s2, a6
        sret
    """)
    guest.hart.csr["pmpaddr0"], guest.hart.csr["pmpcfg0"] = (1 << 54) - 1, 0x1F
    guest.run(100_000)
    assert (guest["a7"], guest["a2"], guest["s2"]) == (99, 100, 100)
    assert guest["a5"] == 100 * guest.address("behind")
