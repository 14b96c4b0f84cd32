"""TCP between a guest and ordinary sockets of the host (RFC 9293).

The network between the two loses nothing but what the guest's card has no room for, and reorders nothing: what this
side of a connection has to do is little. It takes segments in order and answers them once for all that came together.
It sends no more than the guest's window, in segments as large as a frame may be, and keeps them until they are
acknowledged.
Congestion is the business of the host's own TCP at the far end.

What the far end does reaches the guest as it is: that nobody listens, that it resets, that it has no more to say, and
that it does not answer at all.
"""

from __future__ import annotations

import errno
import secrets
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, Protocol

from vm.errors import MalformedPacket
from vm.inputs import Alarm
from vm.net.packet import (
    FIN,
    IPV6_HEADER,
    PUSH,
    SHORTEST_IPV4_HEADER,
    SHORTEST_TCP_HEADER,
    SMALLEST_SEGMENT,
)
from vm.net.user.headers import NO_HOST, NO_NETWORK, PROHIBITED, Unreachable
from vm.net.user.host import READ, WRITE, Endpoint, Interest

SYN, RESET, ACK = 0x02, 0x04, 0x10          # flags, beside those of vm.net.packet

# ports, sequence, acknowledged, size of the header, flags, window, checksum, urgent
HEADER = struct.Struct(">HHIIBBHHH")
END_OF_OPTIONS, NO_OPERATION, SEGMENT_SIZE, WINDOW_SCALE = 0, 1, 2, 3       # options
LARGEST_SCALE = 14

DEFAULT_SEGMENT = 536                       # of a guest that says nothing
MOST_SEGMENTS, LARGEST_PAYLOAD = 44, 44 * 1448      # in a frame that the card cuts, or the guest takes whole
MOST_UNACKNOWLEDGED = 4 << 20               # bytes that are kept for a guest, whatever its window
ROOM = 1 << 20                              # bytes from the guest that the far end has not taken yet
OUR_SCALE = 7                               # of the window that says so
ANSWERED_AT_ONCE = 1 << 17                  # bytes from the guest that are, even if more come
AT_ONCE = 4                                 # such frames that one connection may send before it is another's turn
DUPLICATES = 3                              # answers alike that say that something is lost
FIRST_WAIT, LONGEST_WAIT, MOST_TRIES = 1.0, 60.0, 8         # host seconds until what is not answered is sent again
RESET_ON_CLOSE = struct.pack("ii", 1, 0)    # SO_LINGER


class Segment(NamedTuple):
    """From the guest."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledged: int
    flags: int
    window: int
    options: bytes
    payload: bytes


def segment_of(data: bytes) -> Segment:
    """Raises MalformedPacket."""
    if len(data) < SHORTEST_TCP_HEADER:
        raise MalformedPacket(f"a TCP segment of {len(data)} bytes")
    source, destination, sequence, acknowledged, offset, flags, window, _, _ = HEADER.unpack_from(data)
    size = 4 * (offset >> 4)
    if not SHORTEST_TCP_HEADER <= size <= len(data):
        raise MalformedPacket(f"a TCP header of {size} bytes in a segment of {len(data)}")
    return Segment(source, destination, sequence, acknowledged, flags, window, data[SHORTEST_TCP_HEADER:size],
                   data[size:])


def options_of(data: bytes) -> dict[int, bytes]:
    """By number; what is cut off is left out."""
    found = {}
    at = 0
    while at < len(data) and data[at] != END_OF_OPTIONS:
        if data[at] == NO_OPERATION:
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        if size < 2 or at + size > len(data):
            break
        found[data[at]] = data[at + 2:at + size]
        at += size
    return found


class Sockets(NamedTuple):
    """Between which sockets a connection is, as the guest sees them."""

    guest: bytes
    guest_port: int
    far: bytes
    far_port: int


class Network(Protocol):
    """What a connection asks of the network that it is part of."""

    mtu: int

    def call_in(self, seconds: float, action: Callable[[], None]) -> Alarm: ...

    def watch(self, endpoint: Endpoint, interest: Interest) -> None: ...

    def send_segment(self, path: Sockets, segment: bytes, payload: bytes, segment_size: int) -> None:
        """To the guest; more than `segment_size` of payload is cut by whoever takes it."""

    def refuse(self, path: Sockets, why: Unreachable, syn: bytes) -> None:
        """Tell the guest why its connection does not come about."""

    def forget(self, endpoint: Endpoint) -> None:
        """It is at its end, and its socket closed."""


class Phase(Enum):
    CONNECTING = auto()         # the host's socket is, to the far end
    OFFERED = auto()            # the guest has not answered our SYN yet
    OPEN = auto()
    CLOSED = auto()


class Connection(Endpoint):
    """One, from the guest's SYN or that of somebody who came through a forwarded port, to its end."""

    def __init__(self, network: Network, path: Sockets, sock: socket.socket):
        super().__init__(sock)
        self.path = path
        self._network = network
        self._phase = Phase.CONNECTING
        # To the guest. Sequence numbers are modulo 2**32.
        self._first = secrets.randbits(32)
        self._acknowledged = self._first        # by the guest: all before this
        self._next = self._first
        self._unacknowledged: deque[bytes] = deque()
        self._window = 0
        self._scale = 0
        self._scales = False                    # both sides do
        self._segment_size = DEFAULT_SEGMENT
        self._far_end = False                   # the far end has no more to say
        self._finished = False                  # and the guest has been told
        self._duplicates = 0
        self._lost_before: int | None = None    # of what was sent before this, some was lost
        self._alarm: Alarm | None = None
        self._tries = 0
        self._marked = self._first              # `_acknowledged` when the alarm was set
        # From the guest
        self._expected = 0
        self._backlog = bytearray()             # for the far end
        self._guest_end = False                 # the guest has no more to say
        self._shut = False                      # and the far end has been told
        self._owes_answer = False
        self._answered = 0                      # `_expected`, as the guest was told last
        self._told_window = 0                   # and how much more it may send
        self._postponed: Alarm | None = None    # an answer
        self._syn = b""

    # --- How it begins -----------------------------------------------------------------------------------------------

    def connect(self, segment: Segment, address: tuple[str, int], syn: bytes) -> None:
        """The guest wants it: `segment` is its SYN, `syn` the packet that carries it."""
        self._syn = syn
        self._take_offer(segment)
        error = self.socket.connect_ex(address)
        if error in (0, errno.EINPROGRESS):
            self._watch()
        else:
            self._fail(error)

    def offer(self) -> None:
        """Somebody has come through a forwarded port: the guest is asked."""
        self._phase = Phase.OFFERED
        self._segment_size = self._largest_segment
        self._scales = True
        self._send_syn()

    def _take_offer(self, segment: Segment) -> None:
        options = options_of(segment.options)
        self._expected = segment.sequence + 1 & 0xFFFF_FFFF
        self._window = segment.window           # that of a SYN is not scaled
        if len(options.get(SEGMENT_SIZE, b"")) == 2:
            self._segment_size = max(int.from_bytes(options[SEGMENT_SIZE], "big"), 1)
        self._segment_size = min(self._segment_size, self._largest_segment)
        self._scales = len(options.get(WINDOW_SCALE, b"")) == 1
        self._scale = min(options[WINDOW_SCALE][0], LARGEST_SCALE) if self._scales else 0

    def _send_syn(self) -> None:
        options = struct.pack(">BBH", SEGMENT_SIZE, 4, self._largest_segment)
        if self._scales:
            options += bytes((NO_OPERATION, WINDOW_SCALE, 3, OUR_SCALE))
        self._next = self._first + 1 & 0xFFFF_FFFF
        self._put(self._first, SYN | ACK if self._asked_by_guest else SYN, options=options)
        self._set_alarm()

    def _fail(self, error: int) -> None:
        """The host's socket could not connect."""
        if error in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            self._network.refuse(self.path, NO_NETWORK, self._syn)
        elif error in (errno.EHOSTUNREACH, errno.EHOSTDOWN):
            self._network.refuse(self.path, NO_HOST, self._syn)
        elif error in (errno.EACCES, errno.EPERM):
            self._network.refuse(self.path, PROHIBITED, self._syn)
        elif error != errno.ETIMEDOUT:          # then nobody answers: so it is here
            self._put(0, RESET | ACK)
        self._close()

    @property
    def _room(self) -> int:
        """Bytes that may come from the guest now."""
        return ROOM - len(self._backlog)

    @property
    def _our_scale(self) -> int:
        return OUR_SCALE if self._scales else 0

    @property
    def _largest_window(self) -> int:
        return min(ROOM, 0xFFFF << self._our_scale)

    @property
    def _largest_segment(self) -> int:
        """Of what fits the network's packets, without options."""
        return self._network.mtu - SHORTEST_TCP_HEADER - (IPV6_HEADER if len(self.path.far) == 16
                                                          else SHORTEST_IPV4_HEADER)

    @property
    def _asked_by_guest(self) -> bool:
        return bool(self._syn)

    # --- From the guest ----------------------------------------------------------------------------------------------

    def take(self, segment: Segment) -> None:
        """`settle` is called when all that came together has been taken."""
        if self._phase is Phase.CONNECTING:
            if segment.flags & RESET:
                self._close()
            return                              # a SYN again: the host's socket has not answered yet
        if segment.flags & RESET:
            if self._is_expected(segment):
                self._close(reset=True)
            return
        if segment.flags & SYN:
            self._take_syn(segment)
            return
        if not segment.flags & ACK or self._phase is Phase.OFFERED and not self._asked_by_guest:
            return
        if (segment.acknowledged - self._acknowledged & 0xFFFF_FFFF) <= (self._next - self._acknowledged & 0xFFFF_FFFF):
            self._take_answer(segment)
        if self._phase is Phase.OPEN:
            self._take_payload(segment)

    def _is_expected(self, segment: Segment) -> bool:
        """Whether a RST is one of this connection: anybody else's would hardly be in the window (RFC 5961)."""
        if self._phase is Phase.OFFERED and not self._asked_by_guest:
            return bool(segment.flags & ACK) and segment.acknowledged == self._next
        return (segment.sequence - self._expected & 0xFFFF_FFFF) <= ROOM

    def _take_syn(self, segment: Segment) -> None:
        if self._phase is Phase.OFFERED and not self._asked_by_guest:
            if segment.flags & ACK and segment.acknowledged == self._next:
                self._take_offer(segment)
                self._acknowledged = segment.acknowledged
                self._open()
        elif self._phase is Phase.OFFERED and segment.sequence + 1 & 0xFFFF_FFFF == self._expected:
            self._send_syn()                    # it has not seen our answer
        else:
            self._owes_answer = True

    def _open(self) -> None:
        self._phase = Phase.OPEN
        self._tries = 0
        self._owes_answer = True
        self._watch()

    def _take_answer(self, segment: Segment) -> None:
        newly = segment.acknowledged - self._acknowledged & 0xFFFF_FFFF
        self._tries = 0                         # the guest is there, even if it has no room
        window = min(segment.window << self._scale, MOST_UNACKNOWLEDGED)
        if self._phase is Phase.OFFERED and newly:
            self._open()
            self._owes_answer = False
            self._acknowledged = segment.acknowledged       # our SYN; nothing else has been sent
        elif newly:
            self._drop_acknowledged(newly)
            self._duplicates = 0
            self._go_on_sending_again()
        elif self._unacknowledged and not segment.payload and window == self._window:
            self._duplicates += 1
            if self._duplicates == DUPLICATES:
                self._send_again()
        self._window = window

    def _go_on_sending_again(self) -> None:
        """Where one segment was lost those behind it often are, too; nobody waits a second for each (RFC 6582, 3.2)."""
        if self._lost_before is None:
            return
        if 0 < self._lost_before - self._acknowledged & 0xFFFF_FFFF <= self._outstanding:
            self._send_first()
        else:
            self._lost_before = None

    def _drop_acknowledged(self, newly: int) -> None:
        self._acknowledged = self._acknowledged + newly & 0xFFFF_FFFF
        while newly and self._unacknowledged:
            first = self._unacknowledged[0]
            if newly < len(first):
                self._unacknowledged[0] = first[newly:]
                return
            newly -= len(first)
            self._unacknowledged.popleft()

    def _take_payload(self, segment: Segment) -> None:
        size = len(segment.payload)
        if not size and not segment.flags & FIN:
            if segment.sequence != self._expected:
                self._owes_answer = True        # a probe whether this side lives
            return
        self._owes_answer = True
        known = self._expected - segment.sequence & 0xFFFF_FFFF
        if known > size or self._guest_end:     # from before, or behind what has been lost
            return
        payload = segment.payload[known:][:self._room]
        self._backlog += payload
        self._expected = self._expected + len(payload) & 0xFFFF_FFFF
        if segment.flags & FIN and known + len(payload) == size:
            self._expected = self._expected + 1 & 0xFFFF_FFFF
            self._guest_end = True

    def settle(self) -> None:
        """All that the guest had to say now has been taken: it is passed on, and answered once."""
        if self._phase is Phase.OPEN:
            self._pass_on()
        if self._phase is Phase.OPEN:
            self._fetch()
        if self._phase is Phase.OPEN:
            if self._owes_answer:
                self._answer()
            self._watch()
            self._end_if_over()

    def _answer(self) -> None:
        """At once where much has come, or something that the guest should know; else when the guest has paused."""
        came = self._expected - self._answered & 0xFFFF_FFFF
        if 0 < came < ANSWERED_AT_ONCE and not self._guest_end:
            self._postponed = self._postponed or self._network.call_in(0, self.on_pause)
        else:
            self._put(self._next, ACK)

    def on_pause(self) -> None:
        """Nothing more has come for now."""
        self._postponed = None
        if self._phase is Phase.OPEN and self._expected != self._answered:
            self._put(self._next, ACK)

    # --- From and to the far end -------------------------------------------------------------------------------------

    def on_ready(self, interest: Interest) -> None:
        if self._phase is Phase.CONNECTING:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._fail(error)
            else:
                self._phase = Phase.OFFERED
                self._network.watch(self, Interest(0))
                self._send_syn()
            return
        self.settle()

    def _pass_on(self) -> None:
        try:
            while self._backlog:
                with memoryview(self._backlog) as view:
                    sent = self.socket.send(view)
                del self._backlog[:sent]
        except BlockingIOError:
            pass
        except OSError:                         # the far end takes nothing more, but may have said why
            self._fetch()
            self._abort()
            return
        self._owes_answer |= 2 * self._told_window < self._largest_window <= 2 * self._room     # it has opened again
        if self._guest_end and not self._backlog and not self._shut:
            self._shut = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:                     # the far end is gone, which reading it tells
                pass

    @property
    def _outstanding(self) -> int:
        return self._next - self._acknowledged & 0xFFFF_FFFF

    def _fetch(self) -> None:
        """As much as the guest's window has room for, and is fair."""
        segments = MOST_SEGMENTS if self._segment_size >= SMALLEST_SEGMENT else 1
        for _ in range(AT_ONCE):
            room = min(self._window - self._outstanding, segments * self._segment_size, LARGEST_PAYLOAD)
            if room <= 0 or self._far_end:
                break
            try:
                data = self.socket.recv(room)
            except BlockingIOError:
                break
            except OSError:
                self._abort()
                return
            if not data:
                self._far_end = True
                break
            self._unacknowledged.append(data)
            self._put(self._next, ACK | PUSH, data)
            self._next = self._next + len(data) & 0xFFFF_FFFF
            self._set_alarm()
        if self._far_end and not self._finished:
            self._finished = True
            self._put(self._next, ACK | FIN)
            self._next = self._next + 1 & 0xFFFF_FFFF
            self._set_alarm()

    def _watch(self) -> None:
        """Ask to be told of what can be done now."""
        if self._phase is Phase.CONNECTING:
            wanted = WRITE
        else:
            reads = not self._far_end and self._window > self._outstanding
            wanted = Interest((READ if reads else 0) | (WRITE if self._backlog else 0))
        self._network.watch(self, wanted)

    def _end_if_over(self) -> None:
        if self._shut and self._finished and not self._outstanding:
            self._close()

    def _abort(self) -> None:
        """The far end has reset it."""
        if self._phase is Phase.CLOSED:
            return
        self._put(self._next, RESET | ACK)
        self._close()

    def abandon(self) -> None:
        """The network goes away."""
        self._close(reset=True)

    def _close(self, reset: bool = False) -> None:
        """With `reset` the far end hears that this was no orderly end."""
        if self._phase is Phase.CLOSED:
            return
        self._phase = Phase.CLOSED
        for alarm in filter(None, (self._alarm, self._postponed)):
            alarm.cancel()
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._network.forget(self)
        self.socket.close()

    # --- To the guest ------------------------------------------------------------------------------------------------

    def _put(self, sequence: int, flags: int, payload: bytes = b"", options: bytes = b"") -> None:
        self._owes_answer = False
        self._answered = self._expected
        scale = 0 if flags & SYN else self._our_scale
        window = min(self._room >> scale, 0xFFFF)
        self._told_window = self._largest_window if flags & SYN else window << scale
        header = HEADER.pack(self.path.far_port, self.path.guest_port, sequence,
                             self._expected if flags & ACK else 0,
                             SHORTEST_TCP_HEADER + len(options) << 2, flags, window, 0, 0) + options
        self._network.send_segment(self.path, header, payload, self._segment_size)

    def _send_again(self) -> None:
        """What the guest lacks first, and as it answers what it lacks behind that."""
        self._lost_before = self._next
        self._send_first()

    def _send_first(self) -> None:
        if self._phase is Phase.OFFERED:
            self._send_syn()
        elif self._unacknowledged:
            self._put(self._acknowledged, ACK | PUSH, self._unacknowledged[0])
        elif self._finished:
            self._put(self._next - 1 & 0xFFFF_FFFF, ACK | FIN)

    def _set_alarm(self) -> None:
        if self._alarm is None:
            self._marked = self._acknowledged
            wait = min(FIRST_WAIT * 2 ** self._tries, LONGEST_WAIT)
            self._alarm = self._network.call_in(wait, self.on_alarm)

    def on_alarm(self) -> None:
        self._alarm = None
        if self._phase is Phase.CLOSED or not self._outstanding:
            return
        if self._marked == self._acknowledged:
            self._tries += 1
            if self._tries > MOST_TRIES:
                self._put(self._next, RESET | ACK)
                self._close(reset=True)
                return
            self._send_again()
        self._set_alarm()


def reset_for(segment: Segment) -> bytes:
    """The answer to a segment of no connection (RFC 9293, section 3.5.2)."""
    if segment.flags & ACK:
        sequence, acknowledged, flags = segment.acknowledged, 0, RESET
    else:
        size = len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
        sequence, acknowledged, flags = 0, segment.sequence + size & 0xFFFF_FFFF, RESET | ACK
    return HEADER.pack(segment.destination_port, segment.source_port, sequence, acknowledged,
                       SHORTEST_TCP_HEADER << 2, flags, 0, 0, 0)
