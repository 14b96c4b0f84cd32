"""Programmable counters: what they count, in which modes, and their overflows (privileged specification, section
3.1.10; chapters "Sscofpmf", "Smcntrpmf").

Expected values are counted in the programs: a step is an instruction that retires or traps.
"""

import pytest

from tests.native.riscv.guests import HU, VS, enter, host_of
from tests.stepping import HANDLER
from vm_native.riscv.csrs import mask

pytestmark = pytest.mark.usefixtures("dispatch")

ISA = "rv64gc_zicntr_zihpm_sscofpmf_smcntrpmf_sstc_svade_sv57"
U64 = (1 << 64) - 1
CYCLES, INSTRUCTIONS, EXCEPTIONS, INTERRUPTS = 1, 2, 0x101, 0x102
MINH, SINH, UINH, VSINH, VUINH, OF = (mask("mhpmevent", name)
                                      for name in ("MINH", "SINH", "UINH", "VSINH", "VUINH", "OF"))
LCOFI = 1 << 13
MACHINE_INTERRUPT = 1 << 63 | 13
USER, SUPERVISOR, MACHINE = 0, 1, 3
NOPS = "nop\n" * 64


@pytest.fixture
def counting(guest):
    """counting(source) -> a guest whose counters there are, with memory open to all modes"""
    def make(source: str, **options):
        g = guest(source, **{"isa": ISA, **options})
        g.open_pmp()
        return g

    return make


def overflowing(g, left: int, event: int = INSTRUCTIONS, counter: int = 3) -> None:
    """Let a counter overflow so many events from here, and the interrupt go to M-mode."""
    g[f"mhpmevent{counter}"] = event
    g[f"mhpmcounter{counter}"] = -left & U64
    g["mie"], g["mstatus"] = LCOFI, mask("mstatus", "MIE") | g["mstatus"]


def interrupted(g, steps: int = 2000) -> tuple[int, int]:
    """Cause and place, as M-mode finds them where its handler comes to no rest: the interrupt stays pending."""
    g.run(steps)
    return g["mcause"], g["mepc"]


# --- What is counted -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("counter", [3, 17, 31])
@pytest.mark.parametrize("event", [CYCLES, INSTRUCTIONS])
def test_steps_are_counted(event, counter, counting):
    g = counting(f"csrr a0, mhpmcounter{counter}; nop; nop; csrr a1, mhpmcounter{counter}; wfi")
    g[f"mhpmevent{counter}"] = event
    g.finish()
    assert g["a1"] - g["a0"] == 3


TRAPPING = """
    la   t0, handler
    csrw mtvec, t0
    csrr a0, mhpmcounter3
    .option norvc
    ecall
    ebreak
    nop
    lw   t1, 0(zero)
    csrr a1, mhpmcounter3
    wfi
""" + HANDLER


@pytest.mark.parametrize("event, counted", [
    (CYCLES, 2 + 3 * 5), (INSTRUCTIONS, 2 + 3 * 4), (EXCEPTIONS, 3), (INTERRUPTS, 0), (0, 0),
])
def test_traps_are_steps_that_do_not_retire(event, counted, counting):
    g = counting(TRAPPING)
    g["mhpmevent3"] = event
    g.finish()
    assert g["a1"] - g["a0"] == counted


def test_interrupts_are_counted(counting):
    g = counting("""
        la   t0, handler
        csrw mtvec, t0
        csrwi mie, 2
        csrsi mstatus, 8
        csrwi mip, 2
        csrwi mip, 2
        nop
        wfi
        .balign 4
    handler:
        csrwi mip, 0
        mret
    """)
    g["mhpmevent3"], g["mhpmevent4"] = INTERRUPTS, EXCEPTIONS
    g.finish()
    assert (g["mhpmcounter3"], g["mhpmcounter4"]) == (2, 0)


def test_event_that_is_none_is_not_kept(counting):
    g = counting("wfi")
    g["mhpmevent5"] = OF | MINH | 0x777
    assert g["mhpmevent5"] == OF | MINH


def test_counter_keeps_its_value_with_another_event(counting):
    g = counting("csrw mhpmevent3, a1; csrr a2, mhpmcounter3; csrw mhpmevent3, zero; nop; csrr a3, mhpmcounter3; wfi")
    g["mhpmevent3"], g["mhpmcounter3"], g["a1"] = EXCEPTIONS, 1000, CYCLES
    g.finish()
    assert (g["a2"], g["a3"]) == (1001, 1002)       # a new setting is that of the instruction that makes it


def test_counter_goes_on_behind_the_instruction_that_writes_it(counting):
    g = counting("csrw mhpmcounter3, a1; csrr a2, mhpmcounter3; csrw mhpmcounter4, a1; csrr a3, mhpmcounter4; wfi")
    g["mhpmevent3"], g["mhpmevent4"], g["a1"] = INSTRUCTIONS, EXCEPTIONS, 500
    g.finish()
    assert (g["a2"], g["a3"]) == (500, 500)


def test_inhibited_counter_stands(counting):
    g = counting("csrr a0, mhpmcounter3; csrw mcountinhibit, zero; nop; csrr a1, mhpmcounter3; wfi")
    g["mhpmevent3"], g["mcountinhibit"], g["mhpmcounter3"] = INSTRUCTIONS, 1 << 3, 70
    g.finish()
    assert (g["a0"], g["a1"]) == (70, 72)


def test_user_sees_counters_that_are_enabled(counting):
    g = counting("csrr a0, hpmcounter7; csrr a0, hpmcounter8; wfi")
    g["mhpmcounter7"] = 99
    g["mcounteren"] = g["scounteren"] = 1 << 7
    start = g.hart.pc
    g.hart.privilege = USER
    assert g.trap().pc == start + 4
    assert g["a0"] == 99


def test_hart_without_zihpm_has_counters_that_are_zero(guest):
    g = guest("wfi", isa="rv64gc_zicntr")
    g["mhpmevent3"], g["mhpmcounter3"], g["mcountinhibit"] = 1, 77, U64
    assert (g["mhpmevent3"], g["mhpmcounter3"], g["mcountinhibit"]) == (0, 0, 5)


# --- Filters ---------------------------------------------------------------------------------------------------------

MODES = """
    mret                    # M: 1
supervisor:
    nop
    nop
    sret                    # S: 3
user:
    nop
    nop
    nop
    nop
    ecall                   # U: 4, and one that does not retire
"""
RETIRED = {MINH: 1 + 1, SINH: 3, UINH: 4}       # with the wait in M-mode's handler


@pytest.mark.parametrize("filters", [0, MINH, SINH, UINH, MINH | SINH, MINH | UINH, SINH | UINH, MINH | SINH | UINH])
@pytest.mark.parametrize("event, own", [(INSTRUCTIONS, RETIRED), (CYCLES, {**RETIRED, UINH: 5}),
                                        (EXCEPTIONS, {UINH: 1})])
def test_modes_that_are_filtered_do_not_count(event, own, filters, counting):
    """A trap and a return belong to where they come from."""
    g = counting(MODES)
    g["mstatus"] = 1 << 11
    g["mepc"], g["sepc"] = g.address("supervisor"), g.address("user")
    g["mhpmevent3"] = filters | event
    g.trap()
    assert g["mhpmcounter3"] == sum(count for bit, count in own.items() if not filters & bit)


@pytest.mark.parametrize("filters", [0, SINH, VSINH, VUINH, UINH, VSINH | VUINH, SINH | VSINH | VUINH])
@pytest.mark.parametrize("privilege, own", [(VS, VSINH), (HU, VUINH)])
def test_guests_have_filters_of_their_own(privilege, own, filters, guest):
    """Five in the mode, where the call does not retire, and the wait of the host that it traps to."""
    host = host_of(guest, "wfi; inside: nop; nop; nop; nop; nop; ecall", isa="rv64gch_zicntr_zihpm_sscofpmf_sv57")
    host["mhpmevent3"] = filters | INSTRUCTIONS
    enter(host, "inside", privilege)
    host["mhpmcounter3"] = 0
    host.trap_in_supervisor()
    assert host["mhpmcounter3"] == 5 * (not filters & own) + (not filters & SINH)


# --- Overflow --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("event", [CYCLES, INSTRUCTIONS])
@pytest.mark.parametrize("left", [1, 2, 3, 7, 31, 63])
def test_interrupt_comes_behind_the_step_that_overflows(left, event, counting):
    g = counting(NOPS)
    start = g.hart.pc
    overflowing(g, left, event)
    assert interrupted(g) == (MACHINE_INTERRUPT, start + 2 * left)
    assert g["mhpmevent3"] == OF | event and g["mip"] == LCOFI and g["scountovf"] == 1 << 3
    assert g["mhpmcounter3"] == 2000 - left


LOOP = """
    li   a0, 0
1:  addi a0, a0, 1
    addi a1, a1, 3
    xor  a2, a1, a0
    j    1b
"""


@pytest.mark.parametrize("left", [2, 5, 401, 40_002, 1_200_003])
@pytest.mark.parametrize("options", [{}, {"harts": 2}, {"clock": "real"}], ids=["virtual", "two harts", "real"])
def test_interrupt_comes_in_compiled_loops(left, options, counting):
    """Behind `li`, an instruction of a loop of four; so the counted turn and the place in it are known."""
    g = counting(LOOP, **options)
    for other in g.machine.harts[1:]:
        other.pc = g.address("trap_m")
    start = g.hart.pc
    overflowing(g, left)
    g.run(2 * left + 1_000_000)
    turns, rest = divmod(left - 1, 4)
    assert (g["mcause"], g["a0"]) == (MACHINE_INTERRUPT, turns + (rest > 0))
    assert g["mepc"] == start + 2 + (0, 2, 4, 8)[rest]


def test_traps_put_an_overflow_of_instructions_off(counting):
    """A turn is of eight instructions that retire, and the call, which does not."""
    g = counting("""
        la   t0, handler
        csrw mtvec, t0
        csrw mhpmcounter3, a1
        csrsi mstatus, 8
        .option norvc
    calls:
        ecall
        j calls
        .balign 4
    handler:
        csrr a0, mcause
        bltz a0, 2f
        csrr t0, mepc
        addi t0, t0, 4
        csrw mepc, t0
        addi s0, s0, 1
        mret
    2:  csrr s1, mepc
        wfi
        j 2b
    """)
    g["mhpmevent3"], g["mie"] = INSTRUCTIONS, LCOFI
    g["a1"] = -(1 + 100 * 8) & U64              # behind the write: csrsi, and turns of 7 in the handler and j
    g.run(2000)
    assert (g["s0"], g["a0"], g["s1"]) == (100, MACHINE_INTERRUPT, g.address("calls"))


@pytest.mark.parametrize("left", [1, 2, 5])
def test_overflow_of_exceptions(left, counting):
    """The interrupt is pending when the handler begins, and taken where that enables interrupts again: by its mret."""
    g = counting("""
        la   t0, handler
        csrw mtvec, t0
        csrsi mstatus, 8
        .option norvc
    calls:
        ecall
        j calls
        .balign 4
    handler:
        csrr a0, mcause
        bltz a0, 2f
        csrr s2, mip
        csrr t0, mepc
        addi t0, t0, 4
        csrw mepc, t0
        addi s0, s0, 1
        mret
    2:  csrr s1, mepc
        wfi
        j 2b
    """)
    g["mhpmevent3"], g["mhpmcounter3"], g["mie"] = EXCEPTIONS, -left & U64, LCOFI
    g.run(1000)
    assert (g["s0"], g["a0"], g["s1"], g["s2"]) == (left, MACHINE_INTERRUPT, g.address("calls") + 4, LCOFI)


def test_overflow_of_interrupts(counting):
    """The third is counted before the first instruction of its handler."""
    g = counting("""
        la   t0, handler
        csrw mtvec, t0
        csrwi mie, 2
        csrsi mstatus, 8
    1:  csrwi mip, 2
        j    1b
        .balign 4
    handler:
        csrr t0, mip
        bgtz t1, 2f
        addi s0, s0, 1
        srli t1, t0, 13
        csrwi mip, 0
        mret
    2:  wfi
        j 2b
    """)
    g["mhpmevent3"], g["mhpmcounter3"] = INTERRUPTS, -3 & U64
    g.run(1000)
    assert g["s0"] == 3


def test_user_program_is_interrupted_in_its_own_time(counting):
    """Only U-mode is counted, also where it calls: 50 of its instructions, which are 10 turns."""
    g = counting("""
        la   t0, handler
        csrw mtvec, t0
        mret
    user:
        .option norvc
    1:  addi a0, a0, 1
        nop
        nop
        ecall
        nop
        j    1b
        .balign 4
    handler:
        csrr t0, mcause
        bltz t0, 2f
        csrr t0, mepc
        addi t0, t0, 4
        csrw mepc, t0
        mret
    2:  wfi
        j 2b
    """)
    g["mepc"] = g.address("user")
    g["mhpmevent3"], g["mhpmcounter3"], g["mie"] = MINH | SINH | INSTRUCTIONS, -50 & U64, LCOFI
    assert interrupted(g) == (MACHINE_INTERRUPT, g.address("user"))
    assert g["a0"] == 10
    assert g["mhpmcounter3"] == 0


def test_instruction_that_starts_a_counter_may_be_its_last(counting):
    """mcountinhibit holds for the instruction that clears it."""
    g = counting("csrw mcountinhibit, zero; nop; nop; wfi")
    start = g.hart.pc
    g["mcountinhibit"] = 1 << 3
    overflowing(g, 1)
    assert interrupted(g) == (MACHINE_INTERRUPT, start + 4)


def test_return_that_overflows_its_counter(counting):
    """Of M-mode alone: the return is its last instruction there, and the interrupt comes before the next."""
    g = counting("mret; user: nop; nop; ecall")
    g["mepc"] = g.address("user")
    overflowing(g, 1, SINH | UINH | INSTRUCTIONS)
    g["mstatus"] = 0
    assert interrupted(g) == (MACHINE_INTERRUPT, g.address("user"))


def test_written_counter_overflows(counting):
    g = counting("csrw mhpmcounter3, a1; nop; nop; nop; nop; wfi")
    start = g.hart.pc
    overflowing(g, 0)
    g["a1"] = -3 & U64
    assert interrupted(g) == (MACHINE_INTERRUPT, start + 4 + 3 * 2)


@pytest.mark.parametrize("left", [5, 401, 40_002, 1_200_003])
def test_loop_overflows_the_counter_that_was_written_before_it(left, counting):
    """What compiled code was given to run may end before or behind the overflow."""
    g = counting("csrw mhpmcounter3, a3" + LOOP)
    start = g.hart.pc
    overflowing(g, 0)
    g["a3"] = -left & U64
    g.run(2 * left + 1_000_000)
    turns, rest = divmod(left - 1, 4)
    assert (g["mcause"], g["a0"]) == (MACHINE_INTERRUPT, turns + (rest > 0))
    assert g["mepc"] == start + 4 + 2 + (0, 2, 4, 8)[rest]


def test_counter_that_is_zero_does_not_overflow(counting):
    g = counting(NOPS + "wfi")
    overflowing(g, 0)
    g.finish()
    assert (g["mcause"], g["mip"] & LCOFI, g["mhpmevent3"] & OF) == (0, 0, 0)


def test_overflow_bit_keeps_further_ones_quiet(counting):
    g = counting(NOPS + "wfi")
    overflowing(g, 5, OF | INSTRUCTIONS)
    g.finish()
    assert (g["mcause"], g["mip"] & LCOFI, g["mhpmcounter3"]) == (0, 0, 60)


def test_overflow_is_told_once_more_when_the_bit_is_cleared(counting):
    g = counting(NOPS)
    start = g.hart.pc
    overflowing(g, 5, OF | INSTRUCTIONS)
    g.run(3)
    g["mhpmevent3"] = INSTRUCTIONS
    assert interrupted(g) == (MACHINE_INTERRUPT, start + 2 * 5)


def test_interrupt_is_one_of_the_supervisor_where_delegated(counting):
    g = counting(NOPS)
    start = g.hart.pc
    overflowing(g, 9)
    g["mideleg"], g["sstatus"] = LCOFI, mask("sstatus", "SIE")
    g.hart.privilege = SUPERVISOR
    g.run(2000)
    assert (g["scause"], g["sepc"], g["sip"]) == (MACHINE_INTERRUPT, start + 18, LCOFI)


def test_overflow_ends_a_wait(counting):
    """The wait is the step that overflows."""
    g = counting("nop; wfi; li a0, 1; wfi")
    overflowing(g, 2)
    g["mstatus"] = 0                            # the interrupt is enabled by itself, and nobody takes it
    g.run(4)
    assert g["a0"] == 1


@pytest.mark.parametrize("privilege, seen", [(MACHINE, 0b11000), (SUPERVISOR, 0b10000)])
def test_overflows_are_seen_as_counters_are(privilege, seen, counting):
    g = counting("csrr a0, scountovf; wfi")
    g["mhpmevent3"] = g["mhpmevent4"] = OF
    g["mcounteren"] = 1 << 4
    g.hart.privilege = privilege
    g.run(1)
    assert g["a0"] == seen


def test_counters_of_several_periods_at_once(counting):
    """Periods that are primes: each overflow is at its step, whoever was first."""
    g = counting("1: addi a0, a0, 1; j 1b")
    periods = {3: 101, 4: 103, 31: 211}
    for counter, period in periods.items():
        g[f"mhpmevent{counter}"], g[f"mhpmcounter{counter}"] = CYCLES, -period & U64
    for step in (100, 101, 102, 103, 210, 211):
        g.run(step - g.hart.steps)
        assert g["scountovf"] == sum(1 << counter for counter, period in periods.items() if period <= step)


# --- State -----------------------------------------------------------------------------------------------------------

def test_overflow_comes_at_its_step_after_a_restore_and_in_a_fork(counting):
    g = counting(LOOP)
    overflowing(g, 5003)
    g.run(3000)
    saved = g.machine.snapshot()
    expected = None
    for machine in (g.machine, g.machine, g.machine.fork()):
        machine.restore(saved)
        machine.run(instructions=100_000)
        hart = machine.harts[0]
        found = hart["mcause"], hart["mepc"], hart["a0"], hart["mhpmcounter3"]
        expected = expected or found
        assert found == expected and found[:1] == (MACHINE_INTERRUPT,) and found[2] == 1251


def test_how_a_run_is_divided_changes_nothing(counting):
    states = []
    for pieces in ([40_000], [1] * 20 + [4983, 34_997], [5003, 34_997]):
        g = counting(LOOP)
        overflowing(g, 5003)
        for steps in pieces:
            g.run(steps)
        states.append((g["mcause"], g["mepc"], g["a0"], g["mcycle"], g["mhpmcounter3"], g["mhpmevent3"]))
    assert states[0] == states[1] == states[2]
    assert states[0][2] == 1251


def test_counter_overflows_in_a_replay_where_it_did(counting):
    """The writes from outside are in the log, the overflow follows from them."""
    g = counting(LOOP)
    saved = g.machine.snapshot()
    with g.machine.record() as recording:
        g.run(100)
        overflowing(g, 4903)
        g.run(5000)
    with saved.machine() as again:
        again.replay(recording.log)
        again.run(instructions=700)
        again.run()
        assert again.harts[0]["mepc"] == g["mepc"] and again.harts[0]["a0"] == g["a0"] == 1251
        assert again.snapshot().state.harts == g.machine.snapshot().state.harts


def test_state_with_counters_that_there_are_not_is_refused(counting):
    """Which of them stand and which may overflow are 32 bits each, and none does both."""
    g = counting("wfi")
    before = g.native.save()
    g["mhpmevent3"], g["mhpmcounter3"] = CYCLES, -100 & U64
    armed = g.native.save()
    place = next(at for at in range(0, len(armed), 8) if armed[at:at + 8] == (8).to_bytes(8, "little")
                 and before[at:at + 8] == bytes(8))
    for bits in (1 << 32, 1 << 9):
        with pytest.raises(ValueError, match=r"no hart has counters of which 0x\w+ stand and 0x\w+ may overflow"):
            g.native.load(armed[:place] + bits.to_bytes(8, "little") + armed[place + 8:])
    g.native.load(armed)
    assert g["mhpmcounter3"] == -100 & U64
