"""Echo requests of a guest, passed on by the host's unprivileged ICMP sockets, where it has them (icmp(7))."""

from __future__ import annotations

import socket
from typing import NamedTuple, Protocol

from vm.net.user.addresses import Address
from vm.net.user.headers import ICMP, ICMPV6, Datagram, icmp_message
from vm.net.user.host import FlowNetwork, IdleEndpoint, Interest
from vm.net.user.tcp import Sockets

REQUEST_V4, REPLY_V4, REQUEST_V6, REPLY_V6 = 8, 0, 128, 129     # types
IDLE = 30.0                                 # host seconds
LARGEST = 65535
AT_ONCE = 64


class Echo(NamedTuple):
    """A request, or a reply."""

    identifier: int


class Network(FlowNetwork, Protocol):
    """What a flow asks of the network that it is part of."""

    def send_ip(self, datagram: Datagram) -> None: ...


def echo_of(datagram: Datagram) -> Echo | None:
    """The request that it is, of eight bytes at least."""
    wanted = REQUEST_V4 if datagram.protocol == ICMP else REQUEST_V6
    if datagram.payload[:2] != bytes((wanted, 0)):
        return None
    return Echo(int.from_bytes(datagram.payload[4:6], "big"))


def echo_reply(request: Datagram) -> Datagram:
    """Of whom it was sent to."""
    return reply_from(request.destination, request.source, request.payload[4:])


def reply_from(source: bytes, destination: bytes, rest: bytes) -> Datagram:
    """`rest` is the identifier, the number and what was sent along."""
    is_v6 = len(source) == 16
    message = icmp_message(source, destination, REPLY_V6 if is_v6 else REPLY_V4, 0, rest)
    return Datagram(source, destination, ICMPV6 if is_v6 else ICMP, message)


class EchoFlow(IdleEndpoint):
    """The requests of one program of the guest to one address."""

    def __init__(self, network: Network, path: Sockets, sock: socket.socket):
        super().__init__(network, sock, IDLE)
        self.path = path                    # `guest_port` is the identifier, which the host's socket has its own for
        self._network = network

    @classmethod
    def to(cls, network: Network, path: Sockets, address: Address) -> EchoFlow | None:
        """None where the host has no such sockets for this process, or no way there."""
        family, protocol = ((socket.AF_INET6, socket.IPPROTO_ICMPV6) if address.version == 6
                            else (socket.AF_INET, socket.IPPROTO_ICMP))
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
        except OSError:
            return None
        try:
            sock.connect((str(address), 0))
        except OSError:
            sock.close()
            return None
        return cls(network, path, sock)

    def send(self, message: bytes) -> None:
        self.note_sent()
        try:
            self.socket.send(message)
        except OSError:
            pass                            # no answer comes, as on any network

    def on_ready(self, interest: Interest) -> None:
        for _ in range(AT_ONCE):
            try:
                message = self.socket.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue
            self.note_received()
            rest = self.path.guest_port.to_bytes(2, "big") + message[6:]
            self._network.send_ip(reply_from(self.path.far, self.path.guest, rest))
