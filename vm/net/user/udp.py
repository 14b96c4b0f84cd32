"""UDP between a guest and ordinary sockets of the host (RFC 768).

Each pair of sockets that the guest uses has one of the host's own, connected: nobody else's datagrams come in, and the
host says when nobody listens there. It is closed when it has not been used for a while.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import NamedTuple, Protocol

from vm.errors import MalformedPacket
from vm.net.user.forward import Forward
from vm.net.user.headers import NO_HOST, NO_NETWORK, NO_PORT, PROHIBITED, Unreachable
from vm.net.user.host import READ, Endpoint, FlowNetwork, IdleEndpoint, Interest
from vm.net.user.tcp import Sockets

HEADER = struct.Struct(">HHHH")             # ports, size of all, checksum
LARGEST = 65535
DOMAIN = 53                                 # the port of name servers
IDLE, IDLE_DOMAIN = 60.0, 10.0              # host seconds
AT_ONCE = 64                                # datagrams that one flow may send before it is another's turn
MOST_CALLERS = 1024                         # that a forwarded port remembers

UNREACHABLE = {errno.ECONNREFUSED: NO_PORT, errno.ENETUNREACH: NO_NETWORK, errno.EADDRNOTAVAIL: NO_NETWORK,
               errno.EAFNOSUPPORT: NO_NETWORK, errno.EHOSTUNREACH: NO_HOST, errno.EACCES: PROHIBITED,
               errno.EPERM: PROHIBITED}


class UserDatagram(NamedTuple):
    """From the guest."""

    source_port: int
    destination_port: int
    payload: bytes


def user_datagram_of(data: bytes) -> UserDatagram:
    """Raises MalformedPacket."""
    if len(data) < HEADER.size:
        raise MalformedPacket(f"a UDP datagram of {len(data)} bytes")
    source, destination, size, _ = HEADER.unpack_from(data)
    if not HEADER.size <= size <= len(data):
        raise MalformedPacket(f"a UDP datagram of {size} bytes in a packet of {len(data)}")
    return UserDatagram(source, destination, data[HEADER.size:size])


class Network(FlowNetwork, Protocol):
    """What a flow asks of the network that it is part of."""

    def send_datagram(self, path: Sockets, payload: bytes) -> None:
        """To the guest."""

    def refuse(self, path: Sockets, why: Unreachable, lost: bytes) -> None:
        """Tell the guest why what it sent last does not arrive; `lost` is that, as an IP packet."""


class DoorNetwork(Network, Protocol):
    """And what a forwarded port asks."""

    callers: dict[Sockets, Caller]

    def path_for_caller(self, forward: Forward, port: int) -> Sockets:
        """From the gateway to where the port leads; from the caller's own port, if nobody else is there."""


class Flow(IdleEndpoint):
    """The datagrams of one pair of sockets, until nothing has come for a while."""

    def __init__(self, network: Network, path: Sockets, sock: socket.socket):
        super().__init__(network, sock, IDLE_DOMAIN if path.far_port == DOMAIN else IDLE)
        self.path = path
        self._network = network
        self._last = b""                    # that the guest sent, as a packet

    def send(self, payload: bytes, packet: bytes) -> None:
        """The guest has sent it; `packet` is what it came in."""
        self.note_sent()
        self._last = packet
        try:
            self.socket.send(payload)
        except BlockingIOError:
            pass                            # lost, as on any network that is busy
        except OSError as error:
            self._tell(error)

    def on_ready(self, interest: Interest) -> None:
        for _ in range(AT_ONCE):
            try:
                payload = self.socket.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                self._tell(error)
                return
            self.note_received()
            self._network.send_datagram(self.path, payload)

    def _tell(self, error: OSError) -> None:
        why = UNREACHABLE.get(error.errno or 0)
        if why is not None:
            self._network.refuse(self.path, why, self._last)



class Caller:
    """Somebody on the host's side who came through a forwarded port, as the guest answers to."""

    def __init__(self, door: Door, address: tuple[object, ...]):
        self._door = door
        self._address = address

    def send(self, payload: bytes, packet: bytes) -> None:
        """The guest has answered."""
        try:
            self._door.socket.sendto(payload, self._address)
        except OSError:
            pass                            # lost: whoever called hears nothing, as on any network


class Door(Endpoint):
    """A forwarded port: whoever sends to it is, to the guest, the gateway, with a port of his own."""

    def __init__(self, network: DoorNetwork, sock: socket.socket, forward: Forward):
        super().__init__(sock)
        self.forward = forward
        self._network = network
        self._paths: dict[object, Sockets] = {}        # by who calls, the last one at the end
        network.watch(self, READ)

    def on_ready(self, interest: Interest) -> None:
        for _ in range(AT_ONCE):
            try:
                payload, address = self.socket.recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue                    # what was sent before has not arrived
            path = self._paths.pop(address, None) or self._network.path_for_caller(self.forward, address[1])
            self._paths[address] = path
            self._network.callers[path] = Caller(self, address)
            if len(self._paths) > MOST_CALLERS:
                gone = self._paths.pop(next(iter(self._paths)))
                self._network.callers.pop(gone, None)
            self._network.send_datagram(path, payload)

    def abandon(self) -> None:
        self._network.forget(self)
        self.socket.close()
