"""One connection of a virtio socket device: what goes over it, and the credit that both ends give each other.

Virtio 1.2, section 5.10.6. A packet is a header, in all packets of the same form, and in RW data behind it:

    u64 src_cid, u64 dst_cid, u32 src_port, u32 dst_port, u32 len, u16 type, u16 op, u32 flags
    u32 buf_alloc, u32 fwd_cnt

The last two are the credit: how much the sender of the packet holds for the connection at most, and how much of what it
got has been taken out of there, modulo 2**32. So nobody sends what the other has no room for.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, NamedTuple

from vm.errors import SnapshotError
from vm.state import plain

HEADER = struct.Struct("<QQIIIHHIII")
BUFFER = 256 << 10                  # bytes that wait for the host's program at most, and for the guest
LARGEST = 64 << 10                  # bytes in one packet: Linux takes no more
COUNT = 1 << 32                     # what bytes are counted modulo
FOREVER_NS = (1 << 63) - 1
STREAM = 1                          # type
RECEIVE, SEND = 1, 2                # flags of SHUTDOWN: what will not be done any more
BOTH = RECEIVE | SEND


class Op(IntEnum):
    REQUEST = 1
    RESPONSE = 2
    RST = 3
    SHUTDOWN = 4
    RW = 5
    CREDIT_UPDATE = 6
    CREDIT_REQUEST = 7


class Header(NamedTuple):
    source_cid: int
    target_cid: int
    source_port: int
    target_port: int
    size: int
    type: int
    op: int
    flags: int
    room: int
    taken: int


class Phase(IntEnum):
    ASKING = 0                      # the guest is to be asked for a connection
    ASKED = 1
    OPEN = 2
    OVER = 3                        # for the guest there is no such connection any more


class Failure(IntEnum):
    """What the host's program gets as an error, when it has read what there is."""

    NONE = 0
    REFUSED = 1
    RESET = 2


class Stream:
    """A connection as the device has it. All of it but `lost` is saved.

    - number: which of all that the device has had; the ports tell it from others that are not over.
    - held: the host's program has it; else it waits to be accepted.
    - shut, guest_shut: flags of SHUTDOWN that the host has to tell, and that the guest has told.
    - lost: why it is none of the device's any more, for people.
    """

    SAVED = ("number", "host_port", "guest_port", "phase", "held", "failure", "incoming", "outgoing", "received",
             "taken", "taken_told", "sent", "guest_room", "guest_taken", "guest_shut", "shut", "shut_told", "closed",
             "owes_response", "owes_credit", "deadline_ns")
    __slots__ = (*SAVED, "lost")

    def __init__(self, number: int, host_port: int, guest_port: int, phase: Phase):
        self.number = number
        self.host_port = host_port
        self.guest_port = guest_port
        self.phase = phase
        self.held = phase is Phase.ASKING
        self.failure = Failure.NONE
        self.incoming = bytearray()         # for the host's program
        self.outgoing = bytearray()         # for the guest
        self.received = 0                   # bytes from the guest
        self.taken = 0                      # of them, by the program
        self.taken_told = 0
        self.sent = 0                       # bytes to the guest
        self.guest_room = 0
        self.guest_taken = 0
        self.guest_shut = 0
        self.shut = 0
        self.shut_told = 0
        self.closed = False                 # by the program
        self.owes_response = phase is Phase.OPEN
        self.owes_credit = False
        self.deadline_ns = 0                # until when the guest may answer the end
        self.lost = ""

    @property
    def ports(self) -> tuple[int, int]:
        return self.host_port, self.guest_port

    def save(self) -> tuple[Any, ...]:
        """As plain data."""
        values = (getattr(self, name) for name in self.SAVED)
        return tuple(map(plain, values))

    @classmethod
    def refuse_damaged(cls, saved: Any) -> None:
        """Raise SnapshotError for what `save` cannot have given."""
        types = [*map(type, cls(0, 0, 0, Phase.OVER).save())]
        fits = isinstance(saved, tuple) and [*map(type, saved)] == types
        if not (fits and all(sane(name, value) for name, value in zip(cls.SAVED, saved, strict=True))):
            raise SnapshotError(f"the saved state of a connection is damaged: {saved!r:.200}")

    @classmethod
    def loaded(cls, saved: tuple[Any, ...]) -> Stream:
        """What `save` gave, and `refuse_damaged` has nothing against."""
        stream = cls(0, 0, 0, Phase.OVER)
        for name, value in zip(cls.SAVED, saved, strict=True):
            now = getattr(stream, name)
            kind = type(now) if isinstance(now, bytearray | IntEnum) else None
            setattr(stream, name, value if kind is None else kind(value))
        return stream

    # --- The program's end -------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """No more comes from the guest than is there."""
        return self.phase is Phase.OVER or bool(self.guest_shut & SEND)

    @property
    def deaf(self) -> bool:
        """Nothing that is sent reaches anybody."""
        return self.phase is Phase.OVER or bool(self.guest_shut & RECEIVE)

    @property
    def room(self) -> int:
        """How much the program may send now, bytes."""
        return BUFFER - len(self.outgoing)

    def take(self, size: int) -> None:
        """The program has read so much."""
        del self.incoming[:size]
        self.taken = (self.taken + size) % COUNT
        # So that a guest that waits for room hears of it, and not of every byte.
        self.owes_credit |= (self.taken - self.taken_told) % COUNT >= BUFFER // 4

    def shut_down(self, flags: int) -> None:
        self.shut |= flags
        if flags & RECEIVE:
            self.take(len(self.incoming))

    def end(self, failure: Failure = Failure.NONE, lost: str = "") -> None:
        """For the guest it is over. `lost`: for the program, too, with all that was under way."""
        self.phase = Phase.OVER
        self.failure = failure
        self.outgoing.clear()
        if lost:
            self.lost = lost
            self.incoming.clear()

    # --- The guest's end ---------------------------------------------------------------------------------------------

    def admits(self, size: int) -> bool:
        """Whether the guest may send so much: it was told of room for that, and has not said that it sends no more."""
        return not self.guest_shut & SEND and (self.received - self.taken) % COUNT + size <= BUFFER

    def receive(self, data: bytes) -> None:
        """Of a size that is admitted."""
        self.received = (self.received + len(data)) % COUNT
        self.incoming += data
        if self.shut & RECEIVE:
            self.take(len(data))

    def hear_credit(self, header: Header) -> None:
        self.guest_room, self.guest_taken = header.room, header.taken

    @property
    def _sendable(self) -> int:
        """Bytes that the guest has room for, of those that there are."""
        under_way = (self.sent - self.guest_taken) % COUNT
        return min(len(self.outgoing), max(self.guest_room - under_way, 0), LARGEST)

    @property
    def _to_tell(self) -> int:
        """Flags of SHUTDOWN that can be told: that nothing more is sent, when all has been."""
        return self.shut & ~(SEND if self.outgoing else 0)

    @property
    def speaks(self) -> bool:
        """Whether `next_packet` has one."""
        if self.phase is not Phase.OPEN:
            return self.phase is Phase.ASKING
        return self.owes_response or self.owes_credit or self._sendable > 0 or self._to_tell != self.shut_told

    def next_packet(self, room: int) -> tuple[Op, int, bytes]:
        """What the guest is told next: op, flags, and at most `room` bytes of data. Only where it `speaks`."""
        if self.phase is Phase.ASKING:
            self.phase = Phase.ASKED
            return Op.REQUEST, 0, b""
        self.taken_told, self.owes_credit = self.taken, False
        if self.owes_response:
            self.owes_response = False
            return Op.RESPONSE, 0, b""
        size = min(self._sendable, room)
        if size:
            data = bytes(self.outgoing[:size])
            del self.outgoing[:size]
            self.sent = (self.sent + size) % COUNT
            return Op.RW, 0, data
        if self._to_tell != self.shut_told:
            self.shut_told = self._to_tell
            return Op.SHUTDOWN, self.shut_told, b""
        return Op.CREDIT_UPDATE, 0, b""


MOST = {"phase": max(Phase), "failure": max(Failure), "deadline_ns": FOREVER_NS, "guest_shut": BOTH, "shut": BOTH,
        "shut_told": BOTH}      # of attributes that are no counts, ports or truths


def sane(name: str, value: Any) -> bool:
    """Whether an attribute can have such a value, of the right type."""
    if isinstance(value, bytes):
        return len(value) <= BUFFER
    return bool(0 <= value <= MOST.get(name, COUNT - 1))
