"""Split virtqueues: the rings in guest memory through which a driver hands buffers to a device.

Virtio 1.2, section 2.7. The driver owns the descriptor table and the available ring, the device the used ring:

    descriptor      u64 address, u32 length, u16 flags, u16 next
    available ring  u16 flags, u16 idx, u16 ring[size], u16 used_event
    used ring       u16 flags, u16 idx, (u32 id, u32 length) ring[size], u16 avail_event

Every device here completes its buffers in the order in which they were made available and before it looks at the next,
so one index counts both rings. A chain counts as taken only when it is pushed: when the host's code raises in between,
the same chain comes again.

Nothing here trusts the driver. What it may not build raises `MalformedQueue`, an address outside RAM `BusError`; both
are `GuestError`, and the transport answers them with DEVICE_NEEDS_RESET.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from vm.errors import MalformedQueue
from vm.state import Stateful

if TYPE_CHECKING:
    from vm.devices.base import Device
    from vm.memory import Memory

MAXIMUM_SIZE = 256                  # QueueNumMax, and the longest chain that is followed
MOST_KNOWN = 256                    # chains

LEGACY_ALIGNMENT = 4096             # QEMU's, for drivers that do not set it

NEXT, WRITE, INDIRECT = 1, 2, 4     # descriptor flags
NO_INTERRUPT = 1                    # available ring flag

DESCRIPTOR = struct.Struct("<QIHH")
USED_ELEMENT = struct.Struct("<II")


class Buffer:
    """Guest memory in segments of (address, length), in the order the driver chained them. `size` is their sum."""

    __slots__ = ("memory", "segments", "size")

    def __init__(self, memory: Memory, segments: list[tuple[int, int]]):
        self.memory = memory
        self.segments = segments
        self.size = segments[0][1] if len(segments) == 1 else sum([length for _, length in segments])

    def split(self, at: int) -> tuple[Buffer, Buffer]:
        """The first `at` bytes, and the rest: messages have lengths, whatever descriptors they lie in (2.7.4)."""
        first: list[tuple[int, int]] = []
        rest: list[tuple[int, int]] = []
        for address, length in self.segments:
            taken = min(length, at)
            at -= taken
            if taken:
                first.append((address, taken))
            if taken < length:
                rest.append((address + taken, length - taken))
        return Buffer(self.memory, first), Buffer(self.memory, rest)

    def merged(self) -> Buffer:
        """The same with segments that touch made one: drivers give large buffers page by page."""
        if len(self.segments) < 2:
            return self
        segments: list[tuple[int, int]] = []
        end = -1
        for address, length in self.segments:
            if address == end:
                segments[-1] = segments[-1][0], segments[-1][1] + length
            else:
                segments.append((address, length))
            end = address + length
        return Buffer(self.memory, segments)

    def views(self) -> list[memoryview]:
        """Read-only views of the segments."""
        return [self.memory.view(address, length) for address, length in self.segments]

    def read(self) -> bytes:
        """A copy of all segments."""
        if len(self.segments) == 1:
            return bytes(self.memory.view(*self.segments[0]))
        return b"".join(self.views())

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Fill the segments from their start with as much of `data` as fits; returns how many bytes that is."""
        if len(self.segments) == 1 and type(data) is bytes and len(data) <= self.size:
            self.memory.write(self.segments[0][0], data)
            return len(data)
        written = 0
        with memoryview(data) as view:
            for address, length in self.segments:
                part = view[written:written + length]
                if not part:
                    break
                self.memory.write(address, part)
                written += len(part)
        return written


class Chain(NamedTuple):
    """One buffer of the driver: what the device may read, then what it may write."""

    head: int
    readable: Buffer
    writable: Buffer


class Queue(Stateful):
    """One split virtqueue. The transport sets the plain attributes from its registers; they are the saved state."""

    state = ("size", "ready", "descriptors", "available", "used", "alignment", "indirect", "event_index", "index",
             "signalled")
    unsaved = ("_device", "_chains")

    def __init__(self, device: Device):
        self._device = device
        self._chains: dict[tuple[int, bytes], Chain] = {}        # see `at`
        self.reset()

    @property
    def memory(self) -> Memory:
        return self._device.memory

    def reset(self) -> None:
        self.size = 0
        self.ready = False
        self.descriptors = 0        # addresses of the three areas
        self.available = 0
        self.used = 0
        self.alignment = LEGACY_ALIGNMENT           # of the used ring, in the legacy layout
        self.indirect = False       # negotiated features
        self.event_index = False
        self.index = 0              # chains completed since the queue was made ready, modulo 2**16
        self.signalled = 0          # `index` when the driver's wish for an interrupt was last looked at
        self._chains.clear()

    def lay_out(self, descriptors: int) -> None:
        """Place the areas as in the legacy layout (2.7.2): one behind the other, the used ring aligned."""
        self.descriptors = descriptors
        self.available = descriptors + 16 * self.size
        end = self.available + 6 + 2 * self.size
        self.used = end + -end % (self.alignment or LEGACY_ALIGNMENT)

    def start(self) -> None:
        """The driver sets QueueReady: check what it has set up and begin at the rings' first entries."""
        if not 0 < self.size <= MAXIMUM_SIZE or self.size & self.size - 1:
            raise MalformedQueue(f"queue size {self.size} is not a power of two up to {MAXIMUM_SIZE}")
        areas = ((self.descriptors, 16, 16 * self.size), (self.available, 2, 6 + 2 * self.size),
                 (self.used, 4, 6 + 8 * self.size))
        for address, alignment, size in areas:
            if address % alignment:
                raise MalformedQueue(f"queue area at {address:#x} is not aligned to {alignment} bytes")
            self.memory.view(address, size)         # raises unless all of it is RAM
        self.index = self.signalled = 0
        self._chains.clear()
        self.ready = True

    def chains(self) -> Iterator[Chain]:
        """What is available now, at most one ring full: the caller pushes each chain before it asks for the next."""
        for _ in range(self.size):
            chain = self.next()
            if chain is None:
                return
            yield chain

    def next(self, behind: int = 0) -> Chain | None:
        """The chain at the head of the available ring, or so many behind it; None if there are no more. It stays there
        until it is pushed."""
        return self.at(behind) if behind < self.waiting else None

    @property
    def waiting(self) -> int:
        """How many chains are available."""
        waiting = self._half(self.available + 2) - self.index & 0xFFFF
        if waiting > self.size:
            raise MalformedQueue(f"{waiting} buffers available in a queue of {self.size}")
        return waiting

    def at(self, behind: int = 0) -> Chain:
        """The chain at the head of the available ring, or so many behind it, of those that are `waiting`.

        Most are one descriptor, or two that lie side by side, and come again and again: they are known by content.
        """
        memory = self._device.memory
        place = self.available + 4 + 2 * ((self.index + behind) % self.size)
        head = int.from_bytes(memory.read(place, 2), "little")
        if head + 1 >= self.size:
            return self._follow(head)
        key = head, memory.read(self.descriptors + 16 * head, 32)
        known = self._chains.get(key)
        if known is None:
            known = self._follow(head)
            if self._lies_in(key[1], head):
                if len(self._chains) >= MOST_KNOWN:
                    self._chains.clear()
                self._chains[key] = known
        return known

    @staticmethod
    def _lies_in(descriptors: bytes, head: int) -> bool:
        """Whether the chain from `head` on is in these two, the first of which is its own."""
        _, _, flags, following = DESCRIPTOR.unpack_from(descriptors)
        last = not DESCRIPTOR.unpack_from(descriptors, DESCRIPTOR.size)[2] & (NEXT | INDIRECT)
        return not flags & INDIRECT and (not flags & NEXT or following == head + 1 and last)

    def _follow(self, head: int) -> Chain:
        readable: list[tuple[int, int]] = []
        writable: list[tuple[int, int]] = []
        memory = self._device.memory
        table = memory.view(self.descriptors, 16 * self.size)
        nested = False
        position = head
        for _ in range(MAXIMUM_SIZE + 1):           # one more than a chain holds: the descriptor of an indirect table
            if 16 * position >= len(table):
                raise MalformedQueue(f"descriptor {position} of a table of {len(table) // 16}")
            address, length, flags, following = DESCRIPTOR.unpack_from(table, 16 * position)
            if flags & INDIRECT:
                if nested or not self.indirect or flags & NEXT or length == 0 or length % 16:
                    raise MalformedQueue(f"indirect descriptor {position} (flags {flags:#x}, length {length})")
                table = memory.view(address, length)
                nested = True
                position = 0
                continue
            if address + length > 1 << 64:
                raise MalformedQueue(f"descriptor {position} wraps around the end of the address space")
            if flags & WRITE:
                writable.append((address, length))
            elif writable:
                raise MalformedQueue(f"readable descriptor {position} after a writable one")
            else:
                readable.append((address, length))
            if not flags & NEXT:
                return self._chain(head, readable, writable)
            position = following
        raise MalformedQueue(f"the chain from descriptor {head} is a loop or longer than {MAXIMUM_SIZE}")

    def _chain(self, head: int, readable: list[tuple[int, int]], writable: list[tuple[int, int]]) -> Chain:
        memory = self._device.memory
        chain = Chain(head, Buffer(memory, readable), Buffer(memory, writable))
        if chain.readable.size + chain.writable.size > 1 << 32:
            raise MalformedQueue(f"the chain from descriptor {head} is longer than 2**32 bytes")
        return chain

    def push(self, chain: Chain, written: int) -> None:
        """Give a chain back; the device has written its first `written` writable bytes."""
        self.push_all(((chain, written),))

    def push_all(self, chains: Iterable[tuple[Chain, int]]) -> None:
        """Give several back, which the driver sees at once."""
        memory = self._device.memory
        for chain, written in chains:
            element = self.used + 4 + 8 * (self.index % self.size)
            memory.write(element, USED_ELEMENT.pack(chain.head, written))
            self.index = self.index + 1 & 0xFFFF
        index = self.index.to_bytes(2, "little")
        memory.write(self.used + 2, index)
        if self.event_index:                        # avail_event: tell of the next buffer, whenever it comes
            memory.write(self.used + 4 + 8 * self.size, index)

    def interrupt_due(self) -> bool:
        """Whether the driver wants an interrupt for what was pushed since the last call (2.7.7)."""
        before, self.signalled = self.signalled, self.index
        if before == self.index:
            return False
        if self.event_index:
            used_event = self._half(self.available + 4 + 2 * self.size)
            return (self.index - used_event - 1 & 0xFFFF) < (self.index - before & 0xFFFF)
        return not self._half(self.available) & NO_INTERRUPT

    def _half(self, address: int) -> int:
        return int.from_bytes(self._device.memory.read(address, 2), "little")
