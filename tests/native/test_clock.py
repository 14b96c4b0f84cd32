"""Guest time: a function of steps, or of the host's clock."""

import time

import pytest

from tests.assembler import BASE
from vm.clock import Clock
from vm.stop import StopReason
from vm_native.clock import NativeClock


def test_virtual_time_stands_still_without_steps():
    clock = NativeClock(real=False, frequency=10_000_000)
    assert (clock.now_ns(), clock.ticks(), clock.steps) == (0, 0, 0)


@pytest.fixture
def waiting(guest):
    """A machine whose only hart waits, so that guest time passes without steps but for the wfi."""
    g = guest("wfi")
    g.run(instructions=1)
    g.advance = lambda ns: g.machine.run(seconds=ns / 10**9)
    return g


def test_a_step_is_a_nanosecond(guest):
    g = guest("1: j 1b")
    g.run(instructions=12_345)
    assert (g.machine.clock.now_ns(), g.machine.clock.steps) == (12_345, 12_345)


def test_waiting_jumps_without_steps(waiting):
    assert waiting.advance(4_999).reason is StopReason.DEADLINE
    assert (waiting.machine.clock.now_ns(), waiting.machine.clock.steps) == (5_000, 1)


@pytest.mark.parametrize("ns, ticks", [(1, 0), (99, 0), (100, 1), (12_345, 123)])
def test_ticks_are_whole(ns, ticks, waiting):
    """The timebase of QEMU's virt board: 10 MHz."""
    waiting.advance(ns - 1)
    assert waiting.machine.clock.ticks() == ticks and waiting.machine.clock.frequency == 10_000_000


@pytest.mark.parametrize("value", [0, 1, 12_345, (1 << 63), (1 << 64) - 1])
def test_written_ticks_go_on_from_there(value, waiting):
    clock = waiting.machine.clock
    waiting.advance(777_777)
    clock.set_ticks(value)
    assert clock.ticks() == value
    waiting.advance(100)
    assert clock.ticks() == (value + 1) % (1 << 64)
    assert clock.now_ns() == 777_878


@pytest.mark.parametrize("options", [{"ns_per_step": 0}, {"frequency": 3}])
def test_impossible_rates_are_refused(options):
    with pytest.raises(ValueError, match="divisor"):
        NativeClock(**{"real": False, "frequency": 10_000_000, **options})


def test_real_time_follows_the_host():
    before = time.monotonic_ns()
    clock = NativeClock(real=True, frequency=10_000_000)
    first = clock.now_ns()
    second = clock.now_ns()
    assert 0 <= first <= second <= time.monotonic_ns() - before


def test_date_is_a_function_of_the_seed():
    """2025-01-01, a day later for each seed."""
    assert Clock(seed=0).epoch_ns() == 1_735_689_600 * 10**9
    assert Clock(seed=2).epoch_ns() - Clock(seed=0).epoch_ns() == 2 * 86_400 * 10**9
    assert Clock(seed=0).epoch_ns() == Clock(seed=0).epoch_ns()


def test_date_goes_on_with_guest_time_and_can_be_set(waiting):
    clock = waiting.machine.clock
    waiting.advance(10**9 - 1)
    assert clock.epoch_ns() == 1_735_689_601 * 10**9
    clock.set_epoch_ns(42)
    waiting.advance(8)
    assert (clock.epoch_ns(), clock.now_ns()) == (50, 10**9 + 8)


def test_real_date_is_the_hosts():
    before = time.time_ns()
    date = Clock("real").epoch_ns()
    assert before <= date < time.time_ns() + 3600 * 10**9      # ahead by what passed between two looks at the clocks


def test_guest_sets_the_timebase_through_the_clint(guest):
    """mtime at 0x200bff8: what csrr time reads goes on from there, and a timer follows."""
    g = guest(".option norvc\n sd a1, 0(a0)\n csrr a2, time\n1: j 1b")
    g["a0"], g["a1"] = 0x200_BFF8, 1_000_000
    g.native.mtimecmp = 1_000_001
    g["mie"], g["mstatus"] = 1 << 7, 8
    g.run(instructions=3)
    assert g["a2"] == 1_000_000 and g["mcause"] == 0
    g.run(instructions=98)
    assert g["mcause"] == 1 << 63 | 7


def test_timebase_set_back_moves_the_timer(guest):
    """mtime to 0 after 100 us: the timer for tick 5 is 500 ns away, not long past."""
    g = guest(".option norvc\n1: addi a1, a1, -1\n bnez a1, 1b\n sd zero, 0(a0)\n2: j 2b")
    g["a0"], g["a1"] = 0x200_BFF8, 50_000
    g.native.mtimecmp = 5
    g["mie"] = 1 << 7
    g.run(instructions=100_001)
    g["mstatus"] = 8
    g.run(instructions=499)
    assert (g["mcause"], g.machine.clock.now_ns()) == (0, 100_500)
    g.run(instructions=1)
    assert g["mcause"] == 1 << 63 | 7


def test_timebase_set_forward_raises_the_timer_at_once(guest):
    g = guest(".option norvc\n sd a1, 0(a0)\n1: j 1b")
    g["a0"], g["a1"] = 0x200_BFF8, 1_000_000
    g.native.mtimecmp = 1_000_000
    g["mie"], g["mstatus"] = 1 << 7, 8
    g.run(instructions=2)
    assert g["mcause"] == 1 << 63 | 7
    assert g["mepc"] == BASE + 4
