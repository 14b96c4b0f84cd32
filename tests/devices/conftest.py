"""A bare bench for one device: a clock moved by hand, an event queue, RAM, harts that note their interrupt pins.

It implements what `Device` is promised (docstrings of `vm.devices.base`) and nothing of a machine.
"""

import heapq
from collections import deque
from contextlib import contextmanager

import pytest

from tests.devices.block_driver import SECTORS, Disk, pattern
from vm.devices.interrupt import InterruptLine
from vm.devices.port import Outside
from vm.devices.virtio import BlockDevice
from vm.errors import BusError
from vm.stop import Stop, StopReason

RAM_BASE = 0x8000_0000
RAM_SIZE = 1 << 20


class BenchClock:
    """Time that stands still until the bench moves it. The real-time clock starts at the epoch."""

    FREQUENCY = 10_000_000

    def __init__(self):
        self.ns = 0
        self.tick_offset = 0
        self.epoch_offset = 0

    def now_ns(self):
        return self.ns

    def ticks(self):
        return self.ns * self.FREQUENCY // 10**9 + self.tick_offset

    def set_ticks(self, value):
        self.tick_offset += value - self.ticks()

    def epoch_ns(self):
        return self.ns + self.epoch_offset

    def set_epoch_ns(self, value):
        self.epoch_offset = value - self.ns


class BenchEvents:
    """Events in order of time, then of scheduling."""

    def __init__(self, clock):
        self.clock = clock
        self.queue = []
        self.serial = 0

    def schedule(self, delay_ns, device, event, data=0):
        assert delay_ns >= 0
        self.serial += 1
        heapq.heappush(self.queue, (self.clock.ns + delay_ns, self.serial, device, event, data))

    def cancel(self, device, event):
        self.queue = [entry for entry in self.queue if not (entry[2] is device and entry[3] == event)]
        heapq.heapify(self.queue)

    def run_until(self, ns):
        while self.queue and self.queue[0][0] <= ns:
            self.clock.ns, _, device, event, data = heapq.heappop(self.queue)
            device.on_event(event, data)
        self.clock.ns = ns


class BenchMemory:
    """RAM at 0x8000_0000, one megabyte."""

    def __init__(self):
        self.ram = bytearray(RAM_SIZE)

    def _span(self, address, size, access):
        if not RAM_BASE <= address <= address + size <= RAM_BASE + RAM_SIZE:
            raise BusError(address, access)
        return slice(address - RAM_BASE, address - RAM_BASE + size)

    def read(self, address, size):
        return bytes(self.ram[self._span(address, size, "read")])

    def write(self, address, data):
        data = memoryview(data).cast("B")
        self.ram[self._span(address, len(data), "write")] = data

    def clear(self, address, size):
        self.ram[self._span(address, size, "write")] = bytes(size)

    def view(self, address, size):
        return memoryview(self.ram)[self._span(address, size, "read")].toreadonly()

    @contextmanager
    def writable(self, address, size):
        with memoryview(self.ram)[self._span(address, size, "write")] as view:
            yield view


class BenchHart:
    """The pins of a hart: `pending` holds the interrupt bits that are high, `changes` every call in order."""

    def __init__(self, id):
        self.id = id
        self.mtimecmp = 0
        self.pending = set()
        self.changes = []

    def set_interrupt(self, bit, level):
        self.changes.append((bit, level))
        (self.pending.add if level else self.pending.discard)(bit)


class Board:
    """The bench. `connect` wires a device to it and returns the device; `advance` lets guest time pass."""

    def __init__(self):
        self.clock = BenchClock()
        self.events = BenchEvents(self.clock)
        self.memory = BenchMemory()
        self.harts = [BenchHart(0), BenchHart(1)]

    def connect(self, device, irq=None):
        device.connect(clock=self.clock, events=self.events, memory=self.memory, irq=irq or InterruptLine())
        return device

    def advance(self, *, ns):
        self.events.run_until(self.clock.ns + ns)


def outside(enter, run=None, request_stop=None, inputs=None):
    """What a machine lends to a device, as far as a test has it."""
    return Outside(enter, inputs, None, run, request_stop, lambda what: None)


class ScriptedMachine:
    """Runs by calling what `script` has, one after the other, until the device that it is lent to asks it to stop."""

    def __init__(self, device):
        self.script = deque()
        self.stops = 0                  # that were asked for in this run
        device.connect_outside(outside(device.accept, self.run, self.request_stop))

    def run(self, seconds, timeout):
        if not self.script:
            return Stop(StopReason.DEADLINE, 0, 0, 0)
        while self.script:
            self.script.popleft()()
            if self.stops:
                self.stops = 0
                return Stop(StopReason.REQUESTED, 0, 0, 0)
        return Stop(StopReason.IDLE, 0, 0, 0)

    def request_stop(self):
        self.stops += 1


@pytest.fixture
def board():
    return Board()


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(pattern(SECTORS))
    return path


@pytest.fixture
def attach(board, image):
    devices = []

    def attach(features=None, **options):
        device = BlockDevice(image, **options)
        devices.append(device)
        return Disk(board, device).start(features)

    yield attach
    for device in devices:
        device.close()
