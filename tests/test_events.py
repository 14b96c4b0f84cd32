"""The event queue: order, cancelling, exactness."""

import pytest

from vm.devices import Device
from vm.stop import StopReason


class Sink:
    """A device that notes what comes, and when."""

    def __init__(self, clock):
        self.clock = clock
        self.seen = []
        self.action = lambda: None

    def on_event(self, event, data):
        self.action()
        self.seen.append((self.clock.now_ns(), event, data))

    def times(self):
        return [time for time, _, _ in self.seen]


@pytest.fixture
def busy(guest):
    g = guest("1: j 1b")
    g.events = g.machine.events
    g.sink = Sink(g.machine.clock)
    return g


@pytest.fixture
def waiting(guest):
    g = guest("wfi")
    g.events = g.machine.events
    g.sink = Sink(g.machine.clock)
    return g


@pytest.mark.parametrize("delay", [1, 2, 99, 100_000, 250_001])
def test_event_comes_at_its_nanosecond(delay, busy):
    """One step is a nanosecond: after exactly so many steps."""
    busy.events.schedule(delay, busy.sink, 4, 5)
    busy.run(instructions=delay - 1)
    assert busy.sink.seen == []
    busy.run(instructions=1)
    busy.run(instructions=1)
    assert busy.sink.seen == [(delay, 4, 5)]


def test_event_beyond_all_time_never_comes(busy):
    busy.events.schedule(1 << 80, busy.sink, 4)
    assert busy.run(instructions=1_000).reason is StopReason.BUDGET
    assert busy.sink.seen == []


def test_events_come_in_order_of_time_then_of_scheduling(busy):
    for number, delay in enumerate((50, 10, 50, 30, 10)):
        busy.events.schedule(delay, busy.sink, number)
    assert [entry.event for entry in busy.events.pending()] == [1, 4, 3, 0, 2]
    busy.run(instructions=100)
    assert [event for _, event, _ in busy.sink.seen] == [1, 4, 3, 0, 2]
    assert busy.sink.times() == [10, 10, 30, 50, 50]
    assert busy.events.pending() == []


def test_delay_of_zero_is_the_next_moment(busy):
    busy.run(instructions=7)
    busy.events.schedule(0, busy.sink, 1)
    busy.run(instructions=1)
    assert busy.sink.times() == [7]


def test_cancel_forgets_all_of_that_number_of_that_device(busy):
    other = Sink(busy.machine.clock)
    for device in (busy.sink, other):
        for event in (1, 2, 1):
            busy.events.schedule(10, device, event)
    busy.events.cancel(busy.sink, 1)
    busy.events.cancel(busy.sink, 3)
    busy.run(instructions=20)
    assert [event for _, event, _ in busy.sink.seen] == [2]
    assert [event for _, event, _ in other.seen] == [1, 2, 1]


def test_cancelling_the_first_lets_the_run_go_on_to_the_next(waiting):
    waiting.events.schedule(100, waiting.sink, 1)
    waiting.events.schedule(200, waiting.sink, 2)
    waiting.events.cancel(waiting.sink, 1)
    waiting.finish()
    assert waiting.sink.seen == [(200, 2, 0)]


def test_time_jumps_to_the_event_while_every_hart_waits(waiting):
    waiting.events.schedule(10**12, waiting.sink, 1)
    assert waiting.run().reason is StopReason.IDLE
    assert waiting.sink.times() == [10**12]
    assert waiting.machine.steps == 1


def test_an_event_may_schedule_another(busy):
    busy.sink.action = lambda: busy.events.schedule(10, busy.sink, 1) if len(busy.sink.seen) < 4 else None
    busy.events.schedule(10, busy.sink, 1)
    busy.run(instructions=1000)
    assert busy.sink.times() == [10, 20, 30, 40, 50]


def test_event_whose_device_raises_stays(busy):
    """run() raises what the device raised; the event comes again when the machine runs on."""
    error = ZeroDivisionError()

    def fail():
        raise error

    busy.sink.action = fail
    busy.events.schedule(10, busy.sink, 1)
    busy.events.schedule(10, busy.sink, 2)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            busy.run(instructions=100)
        assert caught.value is error and busy.machine.steps == 10
    busy.sink.action = lambda: None
    busy.run(instructions=1)
    assert busy.sink.seen == [(10, 1, 0), (10, 2, 0)]


def test_device_access_schedules_from_its_own_step(guest):
    """A store that asks for an event in 100 ns at step 3 has it at step 103, in the middle of a slice."""
    class Scheduler(Device):
        def __init__(self):
            super().__init__()
            self.times = []

        def write(self, offset, size, value):
            self.events.schedule(value, self, 1)

        def on_event(self, event, data):
            self.times.append(self.clock.now_ns())

    device = Scheduler()
    g = guest(".option norvc\n nop\n nop\n nop\n sw a1, 0(a0)\n 1: j 1b", devices=[(device, 0x4000_0000)])
    g["a0"], g["a1"] = 0x4000_0000, 100
    g.run(instructions=1000)
    assert device.times == [103]


def test_clear(busy):
    busy.events.schedule(10, busy.sink, 1)
    busy.events.clear()
    busy.run(instructions=100)
    assert busy.sink.seen == []


def test_an_interruption_is_no_event_of_the_past(busy):
    """Where every hart waits time is jumped over to the next event: one before now would turn it back."""
    busy.run(instructions=1000)
    busy.events.interrupt()
    assert busy.machine._scheduler.next_deadline_ns() == busy.machine.clock.now_ns() == 1000
    busy.run(instructions=1000)
    assert busy.machine.clock.now_ns() == 2000 and busy.machine._scheduler.next_deadline_ns() > 2000
