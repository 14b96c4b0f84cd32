"""Traps and privilege (privileged specification, chapter 3 and section 12.1)."""

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import ALL, PageTables, U
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")

ILLEGAL, BREAKPOINT, LOAD_ACCESS, ECALL_U, ECALL_S, ECALL_M, LOAD_PAGE = 2, 3, 5, 8, 9, 11, 13
USER, SUPERVISOR, MACHINE = 0, 1, 3
INTERRUPT = 1 << 63
SIE, MIE, SPIE, MPIE, SPP, MPP = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8, 3 << 11
MPRV, TVM, TW, TSR = 1 << 17, 1 << 20, 1 << 21, 1 << 22
SSI, MSI, STI, MTI, SEI, MEI = 1, 3, 5, 7, 9, 11
S_STATUS = SIE | SPIE | SPP
M_STATUS = MIE | MPIE | MPP


def start(g, privilege: int, label: str = "_start") -> None:
    g.open_pmp()
    g.hart.pc = g.address(label)
    g.hart.privilege = privilege


# --- Causes ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("privilege, cause", [(USER, ECALL_U), (SUPERVISOR, ECALL_S), (MACHINE, ECALL_M)])
def test_environment_call(privilege, cause, guest):
    g = guest("nop; ecall; wfi")
    start(g, privilege)
    assert g.trap() == (cause, BASE + 2, 0)


@pytest.mark.parametrize("source, length", [(".option norvc; ebreak", 4), (".option rvc; c.ebreak", 2)])
def test_breakpoint(source, length, guest):
    """tval is the address of the instruction, or zero (section 3.1.16)."""
    g = guest(f"nop; nop; {source}; wfi")
    trap = g.trap()
    assert trap.cause == BREAKPOINT and trap.pc % 2 == 0 and trap.value in (0, trap.pc)
    assert g.memory.read(trap.pc, length) in (b"\x73\x00\x10\x00", b"\x02\x90")


@pytest.mark.parametrize("source, word", [(".word 0xffffffff", 0xFFFF_FFFF), (".half 0", 0), (".half 0x8000", 0x8000)])
def test_illegal_instruction_is_in_tval(source, word, guest):
    g = guest(f"nop; {source}; wfi")
    assert g.trap() == (ILLEGAL, BASE + 2, word)


def test_fetch_fault_is_at_the_target(guest):
    g = guest("jr a0")
    g["a0"] = 0x4000_0000
    assert g.trap() == (1, 0x4000_0000, 0x4000_0000)


@pytest.mark.parametrize("instruction, privilege", [
    ("mret", SUPERVISOR), ("mret", USER), ("sret", USER), ("wfi", USER), ("sfence.vma", USER),
    ("csrr a0, mstatus", SUPERVISOR), ("csrr a0, sstatus", USER), ("csrw satp, zero", USER),
    ("csrw cycle, zero", MACHINE), ("csrw mhartid, zero", MACHINE),
])  # fmt: skip
def test_instruction_that_the_privilege_forbids(instruction, privilege, guest):
    g = guest(instruction)
    start(g, privilege)
    word = int.from_bytes(g.memory.read(BASE, 4), "little")
    assert g.trap() == (ILLEGAL, BASE, word)


@pytest.mark.parametrize("bit, instruction", [
    (TVM, "csrr a0, satp"), (TVM, "csrw satp, zero"), (TVM, "sfence.vma"), (TW, "wfi"), (TSR, "sret"),
])  # fmt: skip
def test_tvm_tw_and_tsr_forbid_it_in_supervisor_mode(bit, instruction, guest):
    g = guest(f"{instruction}; wfi")
    g["sepc"] = g.address("trap_m")
    g["mstatus"] = bit
    start(g, SUPERVISOR)
    trap = g.trap()
    assert (trap.cause, trap.pc) == (ILLEGAL, BASE)


@pytest.mark.parametrize("bit, instruction", [(TVM, "csrr a0, satp"), (TVM, "sfence.vma"), (TW, "wfi")])
def test_tvm_and_tw_do_not_bind_machine_mode(bit, instruction, guest):
    g = guest(f"{instruction}; wfi")
    g["mstatus"] = bit
    g.finish()
    assert g["mcause"] == 0


# --- What a trap writes ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("privilege", [USER, SUPERVISOR, MACHINE])
@pytest.mark.parametrize("enabled", [0, MIE])
def test_trap_into_machine_mode(privilege, enabled, guest):
    """MPP is the privilege, MPIE the old MIE, MIE is 0 (section 3.1.6.1); S-mode's fields stay."""
    g = guest("ecall")
    g["mstatus"] = enabled | S_STATUS
    start(g, privilege)
    g.finish()
    assert g["mstatus"] & M_STATUS == privilege << 11 | (MPIE if enabled else 0)
    assert g["mstatus"] & S_STATUS == S_STATUS
    assert g.hart.privilege == MACHINE


@pytest.mark.parametrize("privilege, cause", [(USER, ECALL_U), (SUPERVISOR, ECALL_S)])
@pytest.mark.parametrize("enabled", [0, SIE])
def test_trap_into_supervisor_mode(privilege, cause, enabled, guest):
    g = guest("nop; ecall")
    g["medeleg"] = 1 << cause
    g["mstatus"] = enabled | M_STATUS
    start(g, privilege)
    assert g.trap_in_supervisor() == (cause, BASE + 2, 0)
    assert g["mstatus"] & S_STATUS == (SPP if privilege else 0) | (SPIE if enabled else 0)
    assert g["mstatus"] & M_STATUS == M_STATUS
    assert g.hart.privilege == SUPERVISOR and g["mcause"] == 0


def test_traps_of_machine_mode_are_never_delegated(guest):
    g = guest(".word 0xffffffff")
    g["medeleg"] = (1 << 64) - 1
    assert g.trap().cause == ILLEGAL


def test_delegation_is_by_cause(guest):
    g = guest("ecall")
    g["medeleg"] = 0xFFFF & ~(1 << ECALL_U)
    start(g, USER)
    assert g.trap() == (ECALL_U, BASE, 0)


@pytest.mark.parametrize("mode", [0, 1])
def test_exceptions_go_to_the_base_also_when_vectored(mode, guest):
    g = guest("ecall")
    g["mtvec"] = g.address("trap_m") | mode
    assert g.trap().cause == ECALL_M


# --- Returning -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("previous", [USER, SUPERVISOR, MACHINE])
@pytest.mark.parametrize("enabled", [0, MPIE])
def test_mret(previous, enabled, guest):
    """Section 3.1.6.1: MIE = MPIE, MPIE = 1, MPP = U, and MPRV = 0 unless it goes back to M-mode."""
    g = guest("mret; target: j target")
    g.open_pmp()
    g["mepc"] = g.address("target")
    g["mstatus"] = previous << 11 | enabled | MPRV
    g.run(instructions=2)
    assert g.hart.pc == g.address("target") and g.hart.privilege == previous
    expected = MPIE | (MIE if enabled else 0) | (MPRV if previous == MACHINE else 0)
    assert g["mstatus"] & (M_STATUS | MPRV) == expected


@pytest.mark.parametrize("previous", [USER, SUPERVISOR])
@pytest.mark.parametrize("enabled", [0, SPIE])
@pytest.mark.parametrize("privilege", [SUPERVISOR, MACHINE])
def test_sret(previous, enabled, privilege, guest):
    g = guest("sret; target: j target")
    g["sepc"] = g.address("target")
    g["mstatus"] = (SPP if previous else 0) | enabled | (MPRV if privilege == MACHINE else 0)
    start(g, privilege)
    g.run(instructions=2)
    assert g.hart.pc == g.address("target") and g.hart.privilege == previous
    assert g["mstatus"] & (S_STATUS | MPRV) == SPIE | (SIE if enabled else 0)


# --- Interrupts ------------------------------------------------------------------------------------------------------

SPIN = "nop; spin: j spin; .balign 256; vectors: .rept 16; .balign 4; nop; nop; .endr"
LINES = {MSI: "set_interrupt", SEI: "set_interrupt", MEI: "set_interrupt"}


def pend(g, *bits: int) -> None:
    """Raise lines where devices have them, the timer by its compare register, S-mode's by mip."""
    for bit in bits:
        if bit in LINES:
            g.native.set_interrupt(bit, True)
        elif bit == MTI:
            g.native.mtimecmp = 0
        else:
            g["mip"] = g["mip"] | 1 << bit


def mask(*bits: int) -> int:
    return sum(1 << bit for bit in bits)


ALL_BITS = (SSI, MSI, STI, MTI, SEI, MEI)


@pytest.mark.parametrize("bit", ALL_BITS)
def test_interrupt_into_machine_mode(bit, guest):
    """Before the next instruction; epc is that instruction, tval zero."""
    g = guest(SPIN)
    pend(g, bit)
    g["mie"], g["mstatus"] = mask(bit), MIE
    g.run(instructions=1)
    assert (g["mcause"], g["mepc"], g["mtval"]) == (INTERRUPT | bit, BASE, 0)
    assert g["mstatus"] & (MIE | MPIE) == MPIE


@pytest.mark.parametrize("pending", [ALL_BITS[:count] for count in range(1, 7)] + [(SSI, STI), (SSI, SEI), (MSI, MTI)])
def test_priority(pending, guest):
    """MEI, MSI, MTI, SEI, SSI, STI (section 3.1.9)."""
    g = guest(SPIN)
    pend(g, *pending)
    g["mie"], g["mstatus"] = mask(*ALL_BITS), MIE
    g.run(instructions=1)
    first = next(bit for bit in (MEI, MSI, MTI, SEI, SSI, STI) if bit in pending)
    assert g["mcause"] == INTERRUPT | first


def test_machine_interrupts_come_before_delegated_ones(guest):
    g = guest(SPIN)
    pend(g, SEI, MTI)
    g["mideleg"], g["mie"], g["mstatus"] = mask(SEI), mask(SEI, MTI), SIE
    start(g, SUPERVISOR)
    g.run(instructions=1)
    assert g["mcause"] == INTERRUPT | MTI and g["scause"] == 0


@pytest.mark.parametrize("privilege, status, delegated, taken", [
    (MACHINE, 0, False, None), (MACHINE, MIE, False, "m"), (SUPERVISOR, 0, False, "m"), (USER, 0, False, "m"),
    (MACHINE, MIE | SIE, True, None), (SUPERVISOR, 0, True, None), (SUPERVISOR, MIE, True, None),
    (SUPERVISOR, SIE, True, "s"), (USER, 0, True, "s"),
])  # fmt: skip
def test_where_an_interrupt_is_taken(privilege, status, delegated, taken, guest):
    """A mode's interrupts are enabled in lower modes, disabled in higher ones, and by xIE in its own."""
    g = guest(SPIN)
    pend(g, SEI)
    g["mideleg"], g["mie"], g["mstatus"] = mask(SEI) if delegated else 0, mask(SEI), status
    start(g, privilege)
    g.run(instructions=2)
    assert (g["mcause"], g["scause"]) == (
        INTERRUPT | SEI if taken == "m" else 0, INTERRUPT | SEI if taken == "s" else 0
    )


@pytest.mark.parametrize("bit", [MSI, MTI, MEI])
def test_vectored(bit, guest):
    g = guest(SPIN)
    pend(g, bit)
    g["mtvec"] = g.address("vectors") | 1
    g["mie"], g["mstatus"] = mask(bit), MIE
    g.run(instructions=1)
    assert g.hart.pc == g.address("vectors") + 4 * bit + 2


def test_vectored_in_supervisor_mode(guest):
    g = guest(SPIN)
    pend(g, SSI)
    g["stvec"] = g.address("vectors") | 1
    g["mideleg"], g["mie"] = mask(SSI), mask(SSI)
    start(g, USER)
    g.run(instructions=1)
    assert g.hart.pc == g.address("vectors") + 4 * SSI + 2


@pytest.mark.parametrize("source", [
    "csrw mie, t0", "csrs mip, t1; csrw mie, t1", "csrw mstatus, t2", "csrsi mstatus, 8",
])  # fmt: skip
def test_taken_right_after_the_write_that_enables_it(source, guest):
    g = guest(f"{source}\n after: nop; nop; wfi")
    pend(g, MSI)
    g["t0"], g["t1"], g["t2"] = mask(MSI), mask(SSI), MIE
    if "mstatus" in source:
        g["mie"] = mask(MSI)
    else:
        g["mstatus"] = MIE
    g.run(instructions=source.count("csr") + 1)
    assert g["mcause"] in (INTERRUPT | MSI, INTERRUPT | SSI)
    assert g["mepc"] == g.address("after")


def test_taken_right_after_mret(guest):
    g = guest("mret; target: nop; wfi")
    pend(g, MSI)
    g["mie"], g["mepc"], g["mstatus"] = mask(MSI), g.address("target"), MPIE | MPP
    g.run(instructions=2)
    assert (g["mcause"], g["mepc"]) == (INTERRUPT | MSI, g.address("target"))


def test_line_that_a_store_raises_interrupts_after_it(guest):
    """The CLINT's msip register."""
    g = guest("sw t1, 0(t0)\n after: nop; nop; wfi")
    g["t0"], g["t1"], g["mie"], g["mstatus"] = 0x200_0000, 1, mask(MSI), MIE
    g.run(instructions=2)
    assert (g["mcause"], g["mepc"]) == (INTERRUPT | MSI, g.address("after"))


# --- wfi -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("privilege", [SUPERVISOR, MACHINE])
def test_wfi_goes_on_when_an_enabled_interrupt_is_pending(privilege, guest):
    """Also with interrupts disabled globally (section 3.3.3)."""
    g = guest("wfi; li a0, 1; spin: j spin")
    pend(g, SSI)
    g["mie"], g["mideleg"] = mask(SSI), mask(SSI)
    g["a0"] = 0
    start(g, privilege)
    g.run(instructions=10)
    assert g["a0"] == 1


def test_wfi_waits_for_an_interrupt_that_is_not_enabled_in_mie(guest):
    g = guest("wfi; li a0, 1; spin: j spin")
    pend(g, MSI)
    g["a0"], g["mstatus"] = 0, MIE
    assert g.run(instructions=10).reason is StopReason.IDLE
    assert g["a0"] == 0 and g.hart.state == "waiting"


def test_interrupt_out_of_wfi_returns_behind_it(guest):
    g = guest("wfi; after: nop; j after")
    g["mie"], g["mstatus"] = mask(MSI), MIE
    assert g.run(instructions=10).reason is StopReason.IDLE
    pend(g, MSI)
    g.run(instructions=1)
    assert (g["mcause"], g["mepc"]) == (INTERRUPT | MSI, g.address("after"))


# --- Trap loops ------------------------------------------------------------------------------------------------------

def test_handler_that_cannot_be_fetched_stops_the_run(guest):
    """The stop tells of the first trap, not of the loop."""
    g = guest("nop; lw a0, 8(zero); wfi")
    g["mtvec"] = 0x4000_0000
    stop = g.run()
    assert stop.reason is StopReason.TRAP_LOOP
    assert (stop.pc, stop.cause, stop.value) == (BASE + 2, LOAD_ACCESS, 8)
    assert "load access fault" in stop.message


def test_handler_whose_first_instruction_traps_stops_the_run(guest):
    g = guest("ecall; .balign 4; handler: ebreak")
    g["mtvec"] = g.address("handler")
    stop = g.run()
    assert stop.reason is StopReason.TRAP_LOOP
    assert (stop.pc, stop.cause) == (BASE, ECALL_M)


def test_supervisor_handler_that_is_not_mapped_stops_the_run(guest):
    g = guest("ecall")
    tables = PageTables(g)
    tables.map(0x1000, BASE, ALL | U)
    g.open_pmp()
    g["satp"], g["stvec"], g["medeleg"] = tables.satp, 0x5000, 0xFFFF
    g.hart.pc, g.hart.privilege = 0x1000, USER
    stop = g.run()
    assert stop.reason is StopReason.TRAP_LOOP
    assert (stop.pc, stop.cause, stop.value) == (0x1000, ECALL_U, 0)


def test_program_that_is_its_own_handler_and_traps(guest):
    """An earlier trap, long over, is not the origin of this loop."""
    g = guest("ecall; nop; .balign 4; again: .word 0xffffffff; .balign 4; handler: csrw mepc, a0; csrw mtvec, a0; mret")
    g["mtvec"] = g.address("handler")
    g["a0"] = g.address("again")
    g["mstatus"] = MPP
    stop = g.run()
    assert stop.reason is StopReason.TRAP_LOOP
    assert (stop.pc, stop.cause, stop.value) == (g.address("again"), ILLEGAL, 0xFFFF_FFFF)


def test_handler_that_traps_later_is_no_loop(guest):
    """It goes on for ever, but that is the guest's business: it may be counting."""
    g = guest(".balign 4; handler: nop; ecall")
    g["mtvec"] = g.address("handler")
    assert g.run(instructions=1000).reason is StopReason.BUDGET
