"""Virtio socket device: connections between the guest's programs and the host's, by port numbers alone.

Virtio 1.2, section 5.10. Queue 0 takes the buffers for packets to the guest, queue 1 the guest's packets, queue 2 is
for events, of which there are none. Sockets are streams; what a connection is stands in `vsock_stream`, and what the
host's program has of it in `vsock_ends`.

What the program does is input, of one operation each:

    u8 operation, u32 number of a connection or a port, u32 argument, data

Nothing here grows as the guest likes: there are so many connections, each with so many bytes under way, and so many
answers to packets of no connection. With these waiting for buffers, the guest's packets wait in their queue (5.10.6.2).
Nor do packets go on without an end, where a guest lays buffers for answers over the rings: after so many of them there
is a pause, in which the harts run.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from typing import Any

from vm.devices.port import ProgramPort
from vm.devices.virtio.queue import MAXIMUM_SIZE, Buffer
from vm.devices.virtio.transport import VirtioDevice
from vm.devices.virtio.vsock_ends import Action, VsockConnection, VsockListener
from vm.devices.virtio.vsock_stream import BOTH, BUFFER, HEADER, STREAM, Failure, Header, Op, Phase, Stream
from vm.errors import ConfigurationError, MalformedQueue, SnapshotError

TO_GUEST, FROM_GUEST, EVENTS = 0, 1, 2      # queues
F_STREAM = 0
CONFIG = struct.Struct("<Q")        # guest_cid
HOST_CID = 2
FIRST_CID, LAST_CID = 3, 0xFFFF_FFFE        # 5.10.4: the others are reserved
LAST_PORT = 0xFFFF_FFFE             # the last but one of all: Linux takes that for "any"

OPERATION = struct.Struct("<BII")
LAST_NUMBER = 0xFFFF_FFFF           # of a connection
MOST_CONNECTIONS = 256
MOST_WAITING = 128                  # connections that a listener has not accepted yet
MOST_RESETS = 256                   # answers to packets of no connection that wait for a buffer
RESET_LIMITS = (0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF)      # of the numbers of one of them
FIRST_PORT = 0x4000_0000            # of the host's, for connections to the guest: the next one each time
ANSWER_NS = 8 * 10**9               # until when the guest must answer the end of a connection, as Linux has it
AT_ONCE = 2 * MAXIMUM_SIZE          # packets, before the harts go on: as many as both rings hold
PAUSE_NS = 10_000                   # of the guest, until the next ones
CLOSING, GO_ON = 0, 1               # events: the time of a connection that ends may be over; a pause is


class Vsock(ProgramPort, VirtioDevice):
    """Sockets between programs of the guest (AF_VSOCK) and this one.

    - cid: the guest's address, 3 to 0xffff_fffe; the host is 2.

    `connect_to` goes to a port on which a program of the guest listens, `listen` waits for programs of the guest. What
    they return is like sockets of Python, but that who waits lets the machine run: `seconds=` limits that in guest time
    and `timeout=` in the host's. Nothing here can be called from within callbacks of the machine.

    Connections are part of the machine's state: of a fork, or a machine that was restored, `connections` has those of
    that state, and what a program held before a restore raises ConnectionResetError.

    Raises ConfigurationError for an address that no guest can have.
    """

    device_id = 19
    queue_count = 3
    state = VirtioDevice.state + ("cid", "listening", "connections_state", "resets", "next_number", "next_port",
                                   "packets")
    setup = ("cid",)
    unsaved = VirtioDevice.unsaved + ProgramPort.unsaved + ("_streams", "_by_ports", "_resets")

    def __init__(self, cid: int = FIRST_CID):
        if not isinstance(cid, int) or not FIRST_CID <= cid <= LAST_CID:
            raise ConfigurationError(f"cid={cid!r}: the address of a guest is a number from {FIRST_CID} to "
                                     f"{LAST_CID:#x}")
        self.cid = cid
        self.listening: list[int] = []      # ports
        self.next_number = 1
        self.next_port = FIRST_PORT
        self.packets = 0
        self._streams: dict[int, Stream] = {}       # by number, in the order in which they are served
        self._by_ports: dict[tuple[int, int], Stream] = {}      # that are not over: (host's port, guest's port)
        self._resets: deque[tuple[int, int, int]] = deque()     # host's port, guest's port, type
        super().__init__()

    # --- For the host's program --------------------------------------------------------------------------------------

    def connect_to(self, port: int, *, seconds: float = 60, timeout: float | None = None) -> VsockConnection:
        """Connect to a port of the guest, and wait for the answer.

        - seconds, timeout: limits of guest and host time, of this and of what the connection waits for later.

        Raises ConnectionRefusedError where nobody listens there, or no driver runs the device; ExpectTimeout and
        ExpectStopped as `Console.expect` does; ConfigurationError where there are too many connections.
        """
        __tracebackhide__ = True
        refuse_port(port)
        self._refuse_more()
        if not self._running:
            raise ConnectionRefusedError(f"port {port} of the guest: no driver runs its virtio socket device")
        number = self.next_number
        self._act("connect_to", Action.CONNECT, number, port)
        connection = VsockConnection(self, self._streams[number], seconds, timeout)
        connection.wait_for_answer()
        return connection

    def listen(self, port: int, *, seconds: float = 60, timeout: float | None = None) -> VsockListener:
        """Let the guest's programs connect to a port of the host (of address 2), also before it is booted.

        `seconds` and `timeout` are the limits of `accept`. Raises ConfigurationError where somebody listens there.
        """
        refuse_port(port)
        if port in self.listening:
            raise ConfigurationError(f"port {port} of the host: somebody listens there already")
        self._act("listen", Action.LISTEN, port)
        return VsockListener(self, port, seconds, timeout)

    @property
    def connections(self) -> list[VsockConnection]:
        """Those that have been made or accepted and not been closed, each as a new object."""
        return [VsockConnection(self, stream) for stream in self._streams.values() if stream.held and not stream.closed]

    def waiting(self, port: int) -> list[Stream]:
        """Connections to a port that nobody has accepted, the oldest first."""
        return sorted((stream for stream in self._streams.values() if stream.host_port == port and not stream.held),
                      key=lambda stream: stream.number)

    def has(self, stream: Stream) -> bool:
        """Whether it is one of the device's, as it is now."""
        return self._streams.get(stream.number) is stream

    def act(self, what: str, action: Action, stream: Stream, argument: int = 0, data: bytes = b"") -> None:
        """The program does something with a connection, by a method of that name."""
        self._act(what, action, stream.number, argument, data)

    def _act(self, what: str, action: Action, number: int, argument: int = 0, data: bytes = b"") -> None:
        self.tell(what, OPERATION.pack(action, number, argument) + data)

    def stop_listening(self, port: int) -> None:
        self._act("close", Action.LISTEN_NO_MORE, port)

    def _refuse_more(self) -> None:
        if len(self._streams) >= MOST_CONNECTIONS:
            raise ConfigurationError(f"there are {MOST_CONNECTIONS} connections to the guest: close some of them, and "
                                     "let the machine run until the guest has read what they had to send")

    # --- What it has said --------------------------------------------------------------------------------------------

    def hear(self, data: bytes) -> None:
        """An operation has come in. One on a connection that has ended meanwhile is none any more."""
        action, number, argument = OPERATION.unpack_from(data)
        stream = self._streams.get(number)
        if action == Action.CONNECT:
            self._ask(argument)
        elif action == Action.LISTEN:
            self.listening = sorted({*self.listening, number})
        elif action == Action.LISTEN_NO_MORE:
            self._stop_listening(number)
        elif stream is not None:
            self._change(stream, Action(action), argument, data[OPERATION.size:])
        self._exchange()

    def _ask(self, port: int) -> None:
        while (self.next_port, port) in self._by_ports:
            self._count_port()
        self._add(Stream(self.next_number, self.next_port, port, Phase.ASKING))
        self._count_port()

    def _count_port(self) -> None:
        self.next_port = FIRST_PORT if self.next_port == LAST_PORT else self.next_port + 1

    def _add(self, stream: Stream) -> None:
        self._streams[stream.number] = stream
        self._by_ports[stream.ports] = stream
        self.next_number = self.next_number % LAST_NUMBER + 1

    def _stop_listening(self, port: int) -> None:
        self.listening = [other for other in self.listening if other != port]
        for stream in self.waiting(port):
            self._reset(stream)
            self._streams.pop(stream.number, None)

    def _change(self, stream: Stream, action: Action, argument: int, data: bytes) -> None:
        if action == Action.ACCEPT:
            stream.held = True
        elif action == Action.SEND and not stream.deaf:
            stream.outgoing += data
        elif action == Action.TAKE:
            stream.take(argument)
        elif action == Action.SHUT:
            stream.shut_down(argument & BOTH)
        elif action == Action.CLOSE:
            stream.closed = True
            stream.shut_down(BOTH)
            if stream.phase in (Phase.ASKING, Phase.ASKED):
                self._reset(stream)
            if stream.phase is Phase.OVER:
                self._streams.pop(stream.number, None)

    # --- Connections -------------------------------------------------------------------------------------------------

    def _end(self, stream: Stream, failure: Failure = Failure.NONE) -> None:
        """For the guest it is over. The program may still read what has come."""
        stream.end(failure)
        del self._by_ports[stream.ports]
        if stream.closed or not (stream.held or stream.incoming):
            del self._streams[stream.number]
        if not any(other.deadline_ns for other in self._by_ports.values()):
            self.events.cancel(self, CLOSING)

    def _reset(self, stream: Stream, failure: Failure = Failure.NONE) -> None:
        """The same, and the guest is told so, if it has ever heard of it."""
        if stream.phase is not Phase.OVER:
            if stream.phase is not Phase.ASKING:
                self._resets.append((*stream.ports, STREAM))
            self._end(stream, failure)

    def on_event(self, event: int, data: int) -> None:
        if event == GO_ON:
            self.packets = 0
        else:
            self._reset_unanswered()
        self._exchange()

    def _reset_unanswered(self) -> None:
        """Connections of which the guest has not answered the end in time."""
        now = self.clock.now_ns()
        for stream in list(self._by_ports.values()):
            if stream.deadline_ns and stream.deadline_ns <= now:
                self._reset(stream)

    # --- Packets -----------------------------------------------------------------------------------------------------

    def features(self) -> int:
        return 1 << F_STREAM

    def config(self) -> bytes:
        return CONFIG.pack(self.cid)

    def on_notify(self, index: int) -> None:
        self._exchange()

    def _exchange(self) -> None:
        """Take what the guest has sent and give it what there is, until neither goes on, or both pause."""
        while True:
            before = [queue.index for queue in self.queues]
            self.serve(FROM_GUEST)
            self.serve(TO_GUEST)
            if before == [queue.index for queue in self.queues]:
                break
        self.happened()

    @property
    def _pauses(self) -> bool:
        return self.packets >= AT_ONCE

    def _count_packet(self) -> None:
        self.packets += 1
        if self._pauses:
            self.events.schedule(PAUSE_NS, self, GO_ON)

    def handle(self, index: int) -> None:
        if index == FROM_GUEST:
            self._take()
        elif index == TO_GUEST:
            self._give()

    def _take(self) -> None:
        queue = self.queues[FROM_GUEST]
        for chain in queue.chains():
            if self._pauses or len(self._resets) >= MOST_RESETS:
                return
            header, payload = chain.readable.split(HEADER.size)
            if header.size < HEADER.size:
                raise MalformedQueue(f"a packet of {header.size} bytes, and a header has {HEADER.size}")
            self._receive(Header(*HEADER.unpack(header.read())), payload)
            queue.push(chain, 0)
            self._count_packet()

    def _receive(self, header: Header, payload: Buffer) -> None:
        if (header.source_cid, header.target_cid) != (self.cid, HOST_CID):
            return                          # nobody else can be reached here
        if header.op == Op.RW and header.size > payload.size:
            raise MalformedQueue(f"a packet of {header.size} bytes of data, in a buffer with {payload.size}")
        stream = self._by_ports.get((header.target_port, header.source_port))
        if header.type != STREAM:
            self._answer_reset(header)
        elif stream is not None:
            stream.hear_credit(header)
            self._receive_of(stream, header, payload)
        elif header.op == Op.REQUEST and self._has_room(header.target_port):
            stream = Stream(self.next_number, header.target_port, header.source_port, Phase.OPEN)
            stream.hear_credit(header)
            self._add(stream)
        else:
            self._answer_reset(header)

    def _has_room(self, port: int) -> bool:
        return (port in self.listening and len(self._streams) < MOST_CONNECTIONS
                and len(self.waiting(port)) < MOST_WAITING)

    def _answer_reset(self, header: Header) -> None:
        if header.op != Op.RST:
            self._resets.append((header.target_port, header.source_port, header.type))

    def _receive_of(self, stream: Stream, header: Header, payload: Buffer) -> None:
        """A packet of a connection. What does not belong there resets it."""
        op, is_open = header.op, stream.phase is Phase.OPEN
        if op == Op.RST:
            ends_well = is_open and stream.shut_told == BOTH
            self._end(stream, Failure.NONE if ends_well else Failure.RESET if is_open else Failure.REFUSED)
        elif stream.phase is Phase.ASKED and op == Op.RESPONSE:
            stream.phase = Phase.OPEN
        elif is_open and op == Op.RW and stream.admits(header.size):
            stream.receive(payload.split(header.size)[0].read())
        elif is_open and op == Op.CREDIT_REQUEST:
            stream.owes_credit = True
        elif is_open and op == Op.SHUTDOWN:
            stream.guest_shut |= header.flags & BOTH
            if stream.guest_shut == BOTH:
                self._reset(stream)
        elif not (is_open and op == Op.CREDIT_UPDATE):
            self._reset(stream, Failure.RESET)

    def _give(self) -> None:
        queue = self.queues[TO_GUEST]
        while not self._pauses:
            stream = None if self._resets else next((one for one in self._streams.values() if one.speaks), None)
            if not self._resets and stream is None:
                return
            chain = queue.next()
            if chain is None:
                return
            room = chain.writable.size - HEADER.size
            if room < 0:
                raise MalformedQueue(f"a buffer for packets of {chain.writable.size} bytes, and a header has "
                                     f"{HEADER.size}")
            packet = self._next_reset() if stream is None else self._next_of(stream, room)
            queue.push(chain, chain.writable.write(packet))
            self._count_packet()

    def _next_reset(self) -> bytes:
        host_port, guest_port, kind = self._resets.popleft()
        return HEADER.pack(HOST_CID, self.cid, host_port, guest_port, 0, kind, Op.RST, 0, 0, 0)

    def _next_of(self, stream: Stream, room: int) -> bytes:
        op, flags, data = stream.next_packet(room)
        if op is Op.RW:                     # the others come first then
            self._streams[stream.number] = self._streams.pop(stream.number)
        if op is Op.SHUTDOWN and flags == BOTH:
            stream.deadline_ns = self.clock.now_ns() + ANSWER_NS
            self.events.schedule(ANSWER_NS, self, CLOSING)
        return HEADER.pack(HOST_CID, self.cid, *stream.ports, len(data), STREAM, op, flags, BUFFER,
                           stream.taken) + data

    # --- Life and state ----------------------------------------------------------------------------------------------

    def _lose_all(self, why: str) -> None:
        for stream in self._streams.values():
            stream.end(Failure.RESET, lost=why)
        self._streams.clear()
        self._by_ports.clear()
        self._resets.clear()
        self.happened()

    def reset(self) -> None:
        """Connections end; who listens goes on."""
        if any(stream.deadline_ns for stream in self._by_ports.values()):
            self.events.cancel(self, CLOSING)
        if self._pauses:
            self.events.cancel(self, GO_ON)
        self.packets = 0                    # since the last pause
        self._lose_all("the guest's driver has reset its device")
        super().reset()

    def disconnect_outside(self) -> None:
        super().disconnect_outside()
        self.listening = []

    def close(self) -> None:
        self._lose_all("the machine is closed")

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        super().refuse_unfit(saved)
        connections, listening, resets = saved["connections_state"], saved["listening"], saved["resets"]
        if not isinstance(connections, list):
            raise damaged("connections_state", connections)
        for one in connections:
            Stream.refuse_damaged(one)
        streams = [Stream.loaded(one) for one in connections]
        numbers = {stream.number for stream in streams}
        paths = [stream.ports for stream in streams if stream.phase is not Phase.OVER]
        fits = {
            "cid": within(saved["cid"], FIRST_CID, LAST_CID),
            "listening": (isinstance(listening, list) and all(within(port, 0, LAST_PORT) for port in listening)
                          and listening == sorted({*listening})),
            "connections_state": len(numbers) == len(streams) <= MOST_CONNECTIONS and len({*paths}) == len(paths),
            "resets": isinstance(resets, list) and all(map(is_reset, resets)),
            "next_number": within(saved["next_number"], 1, LAST_NUMBER) and saved["next_number"] not in numbers,
            "next_port": within(saved["next_port"], FIRST_PORT, LAST_PORT),
            "packets": within(saved["packets"], 0, AT_ONCE),
        }
        for name, does in fits.items():
            if not does:
                raise damaged(name, saved[name])

    @property
    def connections_state(self) -> list[tuple[Any, ...]]:
        return [stream.save() for stream in self._streams.values()]

    @connections_state.setter
    def connections_state(self, saved: list[tuple[Any, ...]]) -> None:
        self._lose_all("the machine has gone to another state; `connections` of the device has those that are open in "
                       "this one")
        streams = [Stream.loaded(one) for one in saved]
        self._streams = {stream.number: stream for stream in streams}
        self._by_ports = {stream.ports: stream for stream in streams if stream.phase is not Phase.OVER}

    @property
    def resets(self) -> list[tuple[int, int, int]]:
        return list(self._resets)

    @resets.setter
    def resets(self, saved: list[tuple[int, int, int]]) -> None:
        self._resets = deque(saved)


def damaged(name: str, value: Any) -> SnapshotError:
    return SnapshotError(f"the saved state of a Vsock is damaged: {name} is {value!r:.200}")


def within(value: Any, least: int, most: int) -> bool:
    """Whether it is a whole number, and one of these."""
    return type(value) is int and least <= value <= most


def is_reset(value: Any) -> bool:
    """Whether it is one of `resets`: host's port, guest's port, type."""
    return (isinstance(value, tuple) and len(value) == len(RESET_LIMITS)
            and all(within(number, 0, most) for number, most in zip(value, RESET_LIMITS, strict=True)))


def refuse_port(port: int) -> None:
    """Raise ConfigurationError for what is no port."""
    if not isinstance(port, int) or not 0 <= port <= LAST_PORT:
        raise ConfigurationError(f"port {port!r}: a number from 0 to {LAST_PORT:#x}")
