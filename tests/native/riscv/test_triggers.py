"""Triggers that a guest sets for itself (RISC-V Debug Specification 1.0, chapter 5), in each engine."""

import pytest

from tests.assembler import assemble_elf
from tests.guest import ISA
from tests.native.riscv.single import END, signature, signature_on_spike
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")

BREAKPOINT, LOAD_PAGE, FETCH_ACCESS = 3, 13, 1
USER, SUPERVISOR, MACHINE = 0, 1, 3
LOAD, STORE, EXECUTE, U, S, M = 1, 2, 4, 8, 16, 64      # of mcontrol6, section 5.7.12
NAPOT, HIT0 = 1 << 7, 1 << 22
MCONTROL6, DISABLED = 6 << 60, 15 << 60
MIE, SIE = 8, 2
U64 = (1 << 64) - 1
ACCESSES = """
    nop
    nop
here:
    {access}
after:
    wfi
    .balign 64
    .skip 8
data: .dword 0x1122334455667788, 0x99aabbccddeeff00
"""


def build(guest, source: str, **options):
    g = guest(source, isa=f"{ISA}_sdtrig_zacas_zicbom_zicboz", **options)
    g["mstatus"] = MIE                      # a trap handler has it clear: none fires there
    g["a0"], g["a1"] = (g.address("data") if "data:" in source else 0), 0x55
    return g


def arm(hart, control: int, address: int, index: int = 0) -> None:
    hart["tselect"] = index
    hart["tdata2"] = address
    hart["tdata1"] = MCONTROL6 | control


# --- Registers -------------------------------------------------------------------------------------------------------

def test_what_a_debugger_finds(guest):
    """Section 5.1: it selects trigger after trigger and reads its types back."""
    g = build(guest, "wfi")
    for index in range(4):
        g["tselect"] = index
        assert g["tselect"] == index
        assert g["tinfo"] == 1 << 24 | 1 << 6 | 1 << 15 and g["tdata1"] == DISABLED and g["tdata3"] == 0
        g["tdata2"] = U64 - index
    g["tselect"] = 4
    assert g["tselect"] != 4
    g["tselect"] = 3
    assert g["tdata2"] == U64 - 3


@pytest.mark.parametrize("written, kept", [
    (MCONTROL6 | 0x5F, MCONTROL6 | 0x5F),
    (MCONTROL6 | 1 << 59 | 1 << 12 | M | EXECUTE, MCONTROL6 | M | EXECUTE),     # dmode, and action 1, need Sdext
    (MCONTROL6 | 1 << 21 | 3 << 16 | 1 << 11 | M | LOAD, MCONTROL6 | M | LOAD),     # select, size, chain
    (MCONTROL6 | NAPOT | M, MCONTROL6 | NAPOT | M),
    (MCONTROL6 | 5 << 7 | M, MCONTROL6 | M),
    (MCONTROL6 | HIT0, MCONTROL6 | HIT0),
    (0, DISABLED), (2 << 60 | M | LOAD, DISABLED), (3 << 60, DISABLED), (DISABLED | M | LOAD, DISABLED),
])  # fmt: skip
def test_tdata1_keeps_what_is_legal(written, kept, guest):
    g = build(guest, "wfi")
    g["tdata1"] = written
    assert g["tdata1"] == kept


def test_a_debugger_learns_how_large_a_range_can_be(guest):
    """Section 5.7.12: the highest bit of tdata2 that is 0, and one more. It covers all addresses then."""
    g = build(guest, "wfi")
    g["tdata1"], g["tdata2"], g["tdata1"] = 0, 0, MCONTROL6 | NAPOT
    g["tdata2"] = U64
    assert g["tdata2"] == U64 >> 1
    g["tdata1"], g["tdata2"] = MCONTROL6, U64
    assert g["tdata2"] == U64
    g["tdata1"] = MCONTROL6 | NAPOT | M | EXECUTE
    assert g["tdata2"] == U64 >> 1
    assert g.trap() == (BREAKPOINT, g.address("_start"), g.address("_start"))


def test_without_the_extension_there_are_none(guest):
    g = guest("csrr a0, tselect; wfi")
    assert g.trap().cause == 2


# --- Instructions ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("privilege, enable", [(USER, U), (SUPERVISOR, S), (MACHINE, M)])
def test_an_instruction_traps_before_it_is_executed(privilege, enable, guest):
    g = build(guest, ACCESSES.format(access="sd a1, 0(a0)"))
    g.open_pmp()
    arm(g.hart, enable | EXECUTE, g.address("here"))
    g.hart.privilege = privilege
    assert g.trap() == (BREAKPOINT, g.address("here"), g.address("here"))
    assert g.word("data") == 0x1122334455667788 and g["tdata1"] == MCONTROL6 | HIT0 | enable | EXECUTE


@pytest.mark.parametrize("enable", [U, S, U | S])
def test_another_mode_is_not_meant(enable, guest):
    g = build(guest, ACCESSES.format(access="sd a1, 0(a0)"))
    arm(g.hart, enable | EXECUTE | LOAD | STORE, g.address("here"))
    arm(g.hart, enable | EXECUTE | LOAD | STORE, g.address("data"), 1)
    g.finish()
    assert g.word("data") == 0x55 and g["mcause"] == 0 and g["tdata1"] & HIT0 == 0


def test_a_loop_that_has_been_translated_traps_when_a_trigger_is_set_in_it(guest):
    """The guest sets it, and takes it away in the handler; both hold for the next instruction."""
    g = build(guest, """
        la   t0, handler
        csrw mtvec, t0
        la   t1, body
        li   s0, 0
        li   s1, 0
    1:  addi s0, s0, 1
        li   t2, 100
        bne  s0, t2, 2f
        csrw tdata2, t1
        li   t3, (6 << 60) | 0x44
        csrw tdata1, t3
    body:
    2:  addi s1, s1, 1
        li   t2, 200
        bne  s0, t2, 1b
        wfi
        .balign 4
    handler:
        addi s2, s2, 1
        csrr s3, mepc
        csrw tdata1, zero
        mret
    """)  # fmt: skip
    g.finish()
    assert (g["s0"], g["s1"], g["s2"], g["s3"]) == (200, 200, 1, g.address("body"))


def test_a_page_that_cannot_be_fetched_does_not_matter(guest):
    """Section 5.3: the trigger comes before the fault."""
    g = build(guest, "jr a1")
    g["a1"] = 0x4000_0000
    arm(g.hart, M | EXECUTE, 0x4000_0000)
    assert g.trap() == (BREAKPOINT, 0x4000_0000, 0x4000_0000)
    g.hart.pc = 0x4000_0000
    g["mstatus"] = 0
    assert g.trap().cause == FETCH_ACCESS


# --- Loads and stores ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("access, offset, kinds", [
    ("ld a2, 0(a0)", 0, LOAD), ("lbu a2, 7(a0)", 7, LOAD), ("fld fa0, 0(a0)", 0, LOAD), ("ld a2, 1(a0)", 1, LOAD),
    ("sd a1, 0(a0)", 0, STORE), ("sb a1, 7(a0)", 7, STORE), ("fsd fa0, 0(a0)", 0, STORE), ("sd a1, 1(a0)", 1, STORE),
    ("lr.d a2, (a0)", 0, LOAD), ("sc.d a2, a1, (a0)", 0, STORE),
    ("amoadd.d a2, a1, (a0)", 0, LOAD | STORE), ("amocas.d a2, a1, (a0)", 0, LOAD | STORE),
    ("amocas.q a2, a4, (a5)", 8, LOAD | STORE), ("cbo.zero (a0)", 0, STORE), ("cbo.clean (a0)", 0, STORE),
])  # fmt: skip
@pytest.mark.parametrize("kind", [LOAD, STORE])
def test_an_access_traps_before_it_is_done(access, offset, kinds, kind, guest):
    g = build(guest, ACCESSES.format(access=f".option arch, +zacas, +zicbom, +zicboz, +d\n{access}"))
    g["a5"], g["mstatus"] = g["a0"] + 8, MIE | 1 << 13
    arm(g.hart, M | kind, g["a0"] + offset)
    before = g.memory.read(g.address("data"), 16)
    if not kinds & kind:
        g.finish()
        assert g["mcause"] == 0 and g.hart.pc != g.address("trap_m") + 4
        return
    assert g.trap() == (BREAKPOINT, g.address("here"), g["a0"] + offset)
    assert g.memory.read(g.address("data"), 16) == before and g["a2"] == 0


@pytest.mark.parametrize("offset, size, meets", [
    (0, 8, True), (-4, 4, True), (8, 8, False), (-8, 8, True), (-16, 8, False),
])  # fmt: skip
def test_any_byte_of_an_access_is_compared(offset, size, meets, guest):
    """Section 5.7.12: the lowest address at least, and the others are recommended."""
    name = "ld" if size == 8 else "lw"
    g = build(guest, ACCESSES.format(access=f"{name} a2, {offset}(a0)"))
    arm(g.hart, M | LOAD, g["a0"] + offset + size - 1 if meets else g["a0"] + 3)
    g.finish()
    assert (g["mcause"] == BREAKPOINT) == meets


@pytest.mark.parametrize("offset, meets", [(-1, False), (0, True), (15, True), (16, False)])
def test_a_range_of_a_power_of_two(offset, meets, guest):
    g = build(guest, ACCESSES.format(access=f"lbu a2, {offset}(a2)"))
    g["a2"] = (g["a0"] + 15) & ~15
    arm(g.hart, M | LOAD | NAPOT, g["a2"] | 7)
    g.finish()
    assert (g["mcause"] == BREAKPOINT) == meets


def test_an_access_over_two_pages(guest):
    g = build(guest, ACCESSES.format(access="sd a1, -4(a2)"))
    g["a2"] = g.address("_start") + 0x2000
    arm(g.hart, M | STORE, g["a2"] + 2)
    assert g.trap() == (BREAKPOINT, g.address("here"), g["a2"] - 4)
    assert g.memory.read(g["a2"] - 4, 8) == bytes(8)


def test_what_is_not_mapped_traps_first(guest):
    g = build(guest, ACCESSES.format(access="ld a2, 0(a2)"))
    g["a2"] = 0x4000_0000
    arm(g.hart, M | LOAD, 0x4000_0000)
    assert g.trap() == (BREAKPOINT, g.address("here"), 0x4000_0000)


# --- Handlers --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mie", [0, MIE])
def test_none_fires_in_machine_mode_with_interrupts_disabled(mie, guest):
    """Section 5.4, the first solution: what handles a breakpoint is not interrupted by one."""
    g = build(guest, ACCESSES.format(access="sd a1, 0(a0)"))
    g["mstatus"] = mie
    arm(g.hart, M | EXECUTE, g.address("here"))
    arm(g.hart, M | STORE, g.address("data"), 1)
    g.finish()
    assert (g["mcause"] == BREAKPOINT) == (mie != 0) and (g.word("data") == 0x55) == (mie == 0)


@pytest.mark.parametrize("delegated, sie, fires", [
    (0, 0, True), (0, SIE, True), (1 << BREAKPOINT, 0, False), (1 << BREAKPOINT, SIE, True),
])  # fmt: skip
def test_supervisor_mode_that_takes_breakpoints_itself(delegated, sie, fires, guest):
    g = build(guest, ACCESSES.format(access="sd a1, 0(a0)"))
    g.open_pmp()
    g["medeleg"], g["mstatus"] = delegated, sie
    arm(g.hart, S | STORE, g.address("data"))
    g.hart.privilege = SUPERVISOR
    if not fires:
        g.finish()
        assert g.word("data") == 0x55
    else:
        trap = g.trap_in_supervisor() if delegated else g.trap()
        assert trap == (BREAKPOINT, g.address("here"), g.address("data"))


# --- Machines --------------------------------------------------------------------------------------------------------

def test_each_hart_has_its_own(guest):
    g = build(guest, ACCESSES.format(access="ld a2, 0(a0)"), harts=2)
    first, second = g.machine.harts
    second["mstatus"], second["a0"], second.pc = MIE, g["a0"], first.pc
    arm(second, M | EXECUTE, g.address("after"), 2)
    arm(second, M | STORE, g.address("data"), 3)
    g.run()
    assert first["mcause"] == 0 and first["a2"] == 0x1122334455667788
    assert (second["mcause"], second["mepc"]) == (BREAKPOINT, g.address("after"))


def test_a_restore_takes_them_away_and_brings_them_back(guest):
    g = build(guest, ACCESSES.format(access="sd a1, 0(a0)"))
    without = g.machine.snapshot()
    arm(g.hart, M | EXECUTE, g.address("here"))
    arm(g.hart, M | STORE, g.address("data"), 1)
    within = g.machine.snapshot()
    for _ in range(2):
        g.machine.restore(without)
        g.finish()
        assert g["mcause"] == 0 and g.word("data") == 0x55
        g.machine.restore(within)
        assert g.trap().pc == g.address("here")


def test_a_fork_has_them(guest):
    g = build(guest, ACCESSES.format(access="sd a1, 0(a0)"))
    arm(g.hart, M | EXECUTE, g.address("here"))
    [fork] = g.machine.fork(1)
    fork.run()
    assert fork.harts[0]["mepc"] == g.address("here")
    fork.close()


def test_a_reset_disables_them(guest):
    g = build(guest, ACCESSES.format(access="sd a1, 0(a0)"))
    arm(g.hart, M | EXECUTE, g.address("here"))
    g.native.reset()
    assert g["tdata1"] == DISABLED
    g["a0"], g["a1"], g["mstatus"] = g.address("data"), 0x55, MIE
    g.hart.pc = g.address("_start")
    g.finish()
    assert g.word("data") == 0x55


def test_breakpoints_stop_at_what_is_executed(guest):
    """A trigger traps before; the breakpoint is met when the handler has gone back with the trigger disabled."""
    g = build(guest, ACCESSES.format(access="sd a1, 0(a0)"))
    arm(g.hart, M | EXECUTE, g.address("here"))
    g.machine.breakpoint(g.address("here"))
    assert g.trap().pc == g.address("here")
    g["tdata1"], g["mstatus"] = 0, MIE
    g.hart.pc = g.address("here")
    assert g.run().reason is StopReason.BREAKPOINT
    g.finish()
    assert g.word("data") == 0x55


# --- Spike -----------------------------------------------------------------------------------------------------------

ORACLE = """
    la   s0, begin_signature
    la   t0, handler
    csrw mtvec, t0
    li   t0, -1
    csrw pmpaddr0, t0
    li   t0, 0x1f
    csrw pmpcfg0, t0
    csrsi mstatus, 8
    la   s1, place
    .macro try control, address, index
    li   t1, \\index
    csrw tselect, t1
    la   t1, \\address
    csrw tdata2, t1
    li   t1, (6 << 60) | \\control
    csrw tdata1, t1
    .endm
    try  0x44, one, 0
    try  0x41, place, 1
    try  0x42, place + 8, 2
    try  0xc3, place + 16 + 7, 3
one:
    addi s2, s2, 1
    ld   a0, 0(s1)
    ld   a0, 8(s1)
    sd   s2, 0(s1)
    sd   s2, 8(s1)
    sd   s2, 16(s1)
    lw   a0, 28(s1)
    amoadd.d a0, s2, (s1)
    addi s3, s1, 8
    amoadd.d a0, s2, (s3)
    lr.d a0, (s1)
    lr.d a0, (s3)
    sc.d a1, s2, (s3)
    csrci mstatus, 8
    ld   a0, 0(s1)
    sd   s2, 8(s1)
    csrsi mstatus, 8
    .rept 4
    csrw tselect, s4
    csrr t1, tdata1
    sd   t1, 0(s0)
    addi s0, s0, 8
    addi s4, s4, 1
    .endr
    j    end
    .balign 4
handler:
    csrr t2, mcause
    sd   t2, 0(s0)
    csrr t2, mepc
    sd   t2, 8(s0)
    csrr t3, mtval
    sd   t3, 16(s0)
    addi s0, s0, 24
    addi t2, t2, 4
    csrw mepc, t2
    mret
    .balign 64
place: .dword 1, 2, 3, 4, 5, 6
end:
"""


def test_spike_traps_at_the_same_instructions(tmp_path):
    """Those that the handler jumps over, their values, and which triggers say that they were hit."""
    elf = assemble_elf(f".option norvc\n{ORACLE}{END}begin_signature: .fill 64, 8, 0\nend_signature:")
    ours = signature(elf, "rv64gc_zicntr_sdtrig")
    assert ours == signature_on_spike(elf, "rv64gc_zicntr", tmp_path) and ours[0] == BREAKPOINT
