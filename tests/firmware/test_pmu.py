"""SBI PMU (specification 3.0, chapter 11) on real harts: which counters there are, and what they count when."""

import struct

import pytest

from tests.assembler import BASE, assemble
from tests.firmware.supervisor import ISA, Supervisor
from vm_native.riscv.csrs import mask

PMU, HSM, TIME, IPI, RFENCE = 0x504D55, 0x48534D, 0x54494D45, 0x735049, 0x52464E43
NUM, INFO, MATCH, START, STOP, READ, READ_HIGH, SHARED, EVENT_INFO = range(9)
SUCCESS, NOT_SUPPORTED, INVALID_PARAM, INVALID_ADDRESS, STARTED, STOPPED, NO_SHMEM = 0, -2, -3, -5, -7, -8, -9
SKIP_MATCH, CLEAR, AUTO_START, VUINH, VSINH, UINH, SINH, MINH = (1 << bit for bit in range(8))
CYCLES, INSTRUCTIONS, CACHE_MISSES, REFERENCE_CYCLES = 1, 2, 4, 10
RAW, RAW_V2, EXCEPTIONS = 2 << 16, 3 << 16, 0x101
DTLB_READ_MISS = 1 << 16 | 3 << 3 | 1
ILLEGAL, SET_TIMER, IPI_SENT, IPI_RECEIVED = (15 << 16 | code for code in (4, 5, 6, 7))
FENCE_I_SENT, SFENCE_RECEIVED, SFENCE_ASID_SENT = (15 << 16 | code for code in (8, 11, 12))
HARDWARE = 0xFFFF_FFFD
PROGRAMMABLE = 0xFFFF_FFF8
FIRMWARE = 0xFFFF << 32
ALL = HARDWARE | FIRMWARE
OF, LCOFI = mask("mhpmevent", "OF"), 1 << 13
U64 = (1 << 64) - 1


@pytest.fixture
def supervisor():
    made = []

    def make(isa: str = ISA, **options) -> Supervisor:
        made.append(Supervisor(isa, **options))
        return made[-1]

    yield make
    for one in made:
        one.machine.close()


def run(s: Supervisor, source: str, steps: int, hart: int = 0) -> None:
    """These instructions on one hart, while others wait."""
    s.machine.memory.write(BASE, assemble(source))
    for native in s.natives:
        native.pc = BASE
    for other in s.natives:
        if other is not s.natives[hart]:
            other.stop()
    s.machine.run(instructions=steps)


# --- What there is ---------------------------------------------------------------------------------------------------

def test_counters_are_numbered_as_their_registers(supervisor):
    """31 of the hart's, with a gap where `time` is, and 16 of the firmware's."""
    s = supervisor()
    assert s.value(PMU, NUM) == 48
    for counter in range(32):
        expected = (INVALID_PARAM, 0) if counter == 1 else (SUCCESS, 0xC00 + counter | 63 << 12)
        assert s.call(PMU, INFO, counter) == expected
    assert all(s.value(PMU, INFO, counter) >> 63 == 1 for counter in range(32, 48))
    for counter in (48, 64, U64):
        assert s.call(PMU, INFO, counter) == (INVALID_PARAM, 0)


def test_hart_without_zihpm_has_two(supervisor):
    s = supervisor("rv64gc_zicntr")
    assert [counter for counter in range(32) if s.call(PMU, INFO, counter)[0] == SUCCESS] == [0, 2]


# --- Configuring -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("event, data, own", [(CYCLES, 0, 1), (INSTRUCTIONS, 0, 2), (REFERENCE_CYCLES, 0, 1),
                                              (RAW, EXCEPTIONS, EXCEPTIONS), (RAW_V2, 2, 2)])
def test_event_is_programmed(event, data, own, supervisor):
    s = supervisor()
    counter = s.value(PMU, MATCH, 0, ALL, UINH | VSINH, event, data)
    assert 3 <= counter < 32
    assert s.hart[f"mhpmevent{counter}"] == own | mask("mhpmevent", "UINH")     # there are no guests to filter
    assert s.hart["mcountinhibit"] >> counter & 1


@pytest.mark.parametrize("event, data", [
    (0, 0), (CACHE_MISSES, 0), (DTLB_READ_MISS, 0), (RAW, 0), (RAW, 0x777), (RAW | 1, 2), (4 << 16, 0),
    (15 << 16 | 22, 0), (15 << 16 | 0xFFFF, 0),
])
def test_what_nobody_counts_is_not_supported(event, data, supervisor):
    assert supervisor().call(PMU, MATCH, 0, ALL, 0, event, data) == (NOT_SUPPORTED, 0)


@pytest.mark.parametrize("base, chosen", [(0, 2), (1, 1), (48, 1), (0, 1 << 48), (U64, 3), (0, 0), (32, 1 << 16 | 1)])
def test_set_with_a_counter_that_there_is_not(base, chosen, supervisor):
    s = supervisor()
    for call in ((MATCH, base, chosen, 0, CYCLES), (START, base, chosen, 0), (STOP, base, chosen, 0)):
        if chosen or call[0] == MATCH:
            assert s.call(PMU, *call) == (INVALID_PARAM, 0)


def test_reserved_flags(supervisor):
    s = supervisor()
    assert s.call(PMU, MATCH, 0, ALL, 1 << 8, CYCLES) == (INVALID_PARAM, 0)
    counter = s.value(PMU, MATCH, 0, ALL, 0, CYCLES)
    assert s.call(PMU, START, counter, 1, 4) == s.call(PMU, STOP, counter, 1, 4) == (INVALID_PARAM, 0)


def test_each_is_given_once(supervisor):
    """Twenty-nine and the fixed one; then none is left, until one is given back."""
    s = supervisor()
    given = [s.value(PMU, MATCH, 0, ALL, 0, INSTRUCTIONS) for _ in range(30)]
    assert sorted(given) == [2, *range(3, 32)] and given[-1] == 2
    assert s.call(PMU, MATCH, 0, ALL, 0, INSTRUCTIONS) == (NOT_SUPPORTED, 0)
    assert s.call(PMU, STOP, 7, 1, 1) == (STOPPED, 0)
    assert s.value(PMU, MATCH, 0, ALL, 0, INSTRUCTIONS) == 7


def test_without_overflows_fixed_counters_come_first(supervisor):
    s = supervisor("rv64gc_zicntr_zihpm")
    assert s.value(PMU, MATCH, 0, ALL, 0, INSTRUCTIONS) == 2
    assert s.value(PMU, MATCH, 0, ALL, 0, INSTRUCTIONS) == 3
    assert s.value(PMU, MATCH, 0, ALL, 0, CYCLES) == 0


def test_skipped_match_takes_the_first(supervisor):
    s = supervisor()
    assert s.value(PMU, MATCH, 0, 1 << 5, 0, CYCLES) == 5
    assert s.value(PMU, MATCH, 0, 1 << 5 | 1 << 6, SKIP_MATCH, INSTRUCTIONS) == 5
    assert s.hart["mhpmevent5"] == 2
    assert s.value(PMU, MATCH, 0, 1, SKIP_MATCH, CYCLES) == 0
    assert s.call(PMU, MATCH, 0, 1, SKIP_MATCH, INSTRUCTIONS) == (NOT_SUPPORTED, 0)


def test_filters_of_fixed_counters(supervisor):
    s = supervisor(ISA + "_smcntrpmf")
    assert s.value(PMU, MATCH, 0, 4, SINH, INSTRUCTIONS) == 2
    assert s.hart["minstretcfg"] == mask("minstretcfg", "SINH")


# --- Starting and stopping -------------------------------------------------------------------------------------------

def test_counter_counts_while_it_is_started(supervisor):
    s = supervisor()
    counter = s.value(PMU, MATCH, 0, PROGRAMMABLE, CLEAR, INSTRUCTIONS)
    run(s, "nop; nop; nop", 3)
    assert s.call(PMU, START, counter, 1, 1, 1000) == (SUCCESS, 0)
    assert s.call(PMU, START, counter, 1, 0) == (STARTED, 0)
    run(s, "nop; nop; nop", 3)
    assert s.call(PMU, STOP, counter, 1, 0) == (SUCCESS, 0)
    assert s.call(PMU, STOP, counter, 1, 0) == (STOPPED, 0)
    run(s, "nop; nop; nop", 3)
    assert s.hart[f"mhpmcounter{counter}"] == 1003
    assert s.call(PMU, START, counter, 1, 0) == (SUCCESS, 0)        # and goes on where it was
    run(s, "nop; nop; nop", 3)
    assert s.hart[f"mhpmcounter{counter}"] == 1006


def test_automatic_start_leaves_the_value(supervisor):
    s = supervisor()
    s.hart["mhpmcounter9"] = 70
    assert s.value(PMU, MATCH, 9, 1, AUTO_START, CYCLES) == 9
    run(s, "nop; nop", 2)
    assert s.hart["mhpmcounter9"] == 72
    assert s.value(PMU, MATCH, 9, 1, AUTO_START | CLEAR | SKIP_MATCH, CYCLES) == 9
    assert s.hart["mhpmcounter9"] == 0


def test_several_at_once(supervisor):
    s = supervisor()
    for _ in range(3):
        s.value(PMU, MATCH, 3, 7, CLEAR, CYCLES)
    assert s.call(PMU, START, 3, 5, 0) == (SUCCESS, 0)
    assert s.call(PMU, START, 3, 7, 0) == (STARTED, 0)              # the others are
    run(s, "nop; nop", 2)
    assert [s.hart[f"mhpmcounter{counter}"] for counter in (3, 4, 5)] == [2, 2, 2]


def test_kernel_begins_by_stopping_all(supervisor):
    """Also what nobody has configured: it is an error and done."""
    s = supervisor()
    assert s.call(PMU, STOP, 0, ALL, 1) == (STOPPED, 0)
    assert s.hart["mcountinhibit"] == HARDWARE


def test_unconfigured_counter_cannot_be_started(supervisor):
    assert supervisor().call(PMU, START, 3, 1, 0) == (INVALID_PARAM, 0)


def test_start_clears_the_overflow_that_was_served(supervisor):
    """While the interrupt is pending the bit may be what it is about."""
    s = supervisor()
    s.value(PMU, MATCH, 3, 1, 0, CYCLES)
    for pending in (0, LCOFI):
        s.call(PMU, STOP, 3, 1, 0)
        s.hart["mhpmevent3"], s.hart["mip"] = OF | 1, pending
        s.call(PMU, START, 3, 1, 1, 5)
        assert s.hart["mhpmevent3"] == (OF if pending else 0) | 1


def test_overflow_interrupts_the_supervisor(supervisor):
    s = supervisor()
    counter = s.value(PMU, MATCH, 0, ALL, UINH, INSTRUCTIONS)
    s.call(PMU, START, counter, 1, 1, -5 & U64)
    s.hart["sie"], s.hart["sstatus"], s.hart["stvec"] = LCOFI, 2, BASE + 0x100
    run(s, "nop\n" * 20 + ".balign 256\n j .", 20)
    assert (s.hart["scause"], s.hart["sepc"]) == (1 << 63 | 13, BASE + 5 * 2)
    assert s.hart["scountovf"] == 1 << counter


def test_snapshots_in_shared_memory_are_not_there(supervisor):
    s = supervisor()
    assert s.call(PMU, SHARED, BASE, 0, 0) == (NOT_SUPPORTED, 0)
    s.value(PMU, MATCH, 3, 1, 0, CYCLES)
    assert s.call(PMU, START, 3, 1, 2) == s.call(PMU, STOP, 3, 1, 2) == (NO_SHMEM, 0)


# --- The firmware's own ----------------------------------------------------------------------------------------------

CALL = "li a7, {extension}; li a6, {function}; li a0, {a0}; li a1, {a1}; ecall\n"


def test_firmware_counts_its_calls(supervisor):
    """Only those since it was started, by whoever made them."""
    s = supervisor()
    counter = s.value(PMU, MATCH, 0, ALL, CLEAR, SET_TIMER)
    assert counter >= 32 and s.value(PMU, READ, counter) == 0
    call = CALL.format(extension=TIME, function=0, a0=-1, a1=0)
    run(s, call * 2, 100)
    assert s.value(PMU, READ, counter) == 0
    assert s.call(PMU, START, counter, 1, 1, 40) == (SUCCESS, 0)
    run(s, call * 2 + "j .", 100)
    assert s.value(PMU, READ, counter) == 42 and s.value(PMU, READ_HIGH, counter) == 0
    assert s.call(PMU, STOP, counter, 1, 0) == (SUCCESS, 0)
    run(s, call + "j .", 100)
    assert s.value(PMU, READ, counter) == 42


@pytest.mark.parametrize("sent, received, call", [
    (IPI_SENT, IPI_RECEIVED, {"extension": IPI, "function": 0}),
    (FENCE_I_SENT, FENCE_I_SENT + 1, {"extension": RFENCE, "function": 0}),
    (SFENCE_RECEIVED - 1, SFENCE_RECEIVED, {"extension": RFENCE, "function": 1}),
    (SFENCE_ASID_SENT, SFENCE_ASID_SENT + 1, {"extension": RFENCE, "function": 2}),
])
def test_what_is_sent_is_received(sent, received, call, supervisor):
    """By each hart in the mask but the sender."""
    s = supervisor(harts=3)
    counters = [s.value(PMU, MATCH, 0, ALL, CLEAR | AUTO_START, event, hart=hart)
                for hart, event in ((0, sent), (0, received), (1, received), (2, received))]
    run(s, CALL.format(**call, a0=0b011, a1=0) + "j .", 100)
    values = [s.value(PMU, READ, counter, hart=hart) for hart, counter in zip((0, 0, 1, 2), counters, strict=True)]
    assert values == [1, 0, 1, 0]


def test_emulated_counters_are_illegal_instructions(supervisor):
    s = supervisor("rv64imac")
    counter = s.value(PMU, MATCH, 0, FIRMWARE, CLEAR | AUTO_START, ILLEGAL)
    run(s, "rdtime t0; rdtime t0; rdinstret t0; j .", 100)
    assert s.value(PMU, READ, counter) == 3


def test_hardware_counters_are_not_read_by_calls(supervisor):
    s = supervisor()
    s.value(PMU, MATCH, 3, 1, 0, CYCLES)
    for counter in (3, 40, 48):
        assert s.call(PMU, READ, counter) == (INVALID_PARAM, 0)


# --- What is counted at all ------------------------------------------------------------------------------------------

def test_events_are_looked_up_in_memory(supervisor):
    s = supervisor()
    asked = [(CYCLES, 0, 1), (CACHE_MISSES, 0, 0), (RAW, EXCEPTIONS, 1), (RAW_V2, 0x777, 0), (SET_TIMER, 0, 1),
             (DTLB_READ_MISS, 0, 0)]
    s.machine.memory.write(BASE, b"".join(struct.pack("<IIQ", event, 7, data) for event, data, _ in asked))
    assert s.call(PMU, EVENT_INFO, BASE, 0, len(asked), 0) == (SUCCESS, 0)
    found = struct.iter_unpack("<IIQ", s.machine.memory.read(BASE, 16 * len(asked)))
    assert list(found) == [(event, counted, data) for event, data, counted in asked]


@pytest.mark.parametrize("call, error", [
    ((BASE, 0, 1, 1), INVALID_PARAM), ((BASE + 8, 0, 1, 0), INVALID_PARAM), ((BASE, 1, 1, 0), INVALID_ADDRESS),
    ((0x4000_0000, 0, 1, 0), INVALID_ADDRESS), ((BASE + (2 << 20) - 16, 0, 2, 0), INVALID_ADDRESS),
    ((BASE, 0, U64, 0), -1),
])
def test_lookup_that_is_refused(call, error, supervisor):
    assert supervisor().call(PMU, EVENT_INFO, *call) == (error, 0)


def test_event_that_is_none_by_its_encoding(supervisor):
    s = supervisor()
    s.machine.memory.write(BASE, struct.pack("<IIQ", 1 << 20, 0, 0))
    assert s.call(PMU, EVENT_INFO, BASE, 0, 1, 0) == (INVALID_PARAM, 0)


# --- State -----------------------------------------------------------------------------------------------------------

def test_hart_that_is_started_has_no_event(supervisor):
    s = supervisor(harts=2)
    s.value(PMU, MATCH, 3, 1, AUTO_START, CYCLES)
    s.natives[0].stop()
    assert s.call(HSM, 0, 0, BASE, 0, hart=1) == (SUCCESS, 0)
    assert (s.hart["mhpmevent3"], s.hart["mcountinhibit"]) == (0, PROGRAMMABLE)
    assert s.call(PMU, START, 3, 1, 0) == (INVALID_PARAM, 0)


def test_configuration_is_part_of_a_snapshot(supervisor):
    s = supervisor()
    before = s.machine.snapshot()
    counter = s.value(PMU, MATCH, 0, ALL, CLEAR | AUTO_START, SET_TIMER)
    run(s, CALL.format(extension=TIME, function=0, a0=-1, a1=0) + "j .", 100)
    after = s.machine.snapshot()
    s.machine.restore(before)
    assert s.call(PMU, READ, counter) == (INVALID_PARAM, 0)
    s.machine.restore(after)
    assert s.value(PMU, READ, counter) == 1
