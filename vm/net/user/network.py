"""The user-mode network: a guest's packets become what ordinary sockets of the host do, without any privilege.

It is a wire with a gateway and a name server on it. What the guest sends to them they answer; all else is passed on by
sockets of this process, as far as `Policy` lets it. Nobody outside reaches the guest but through forwarded ports.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, TypeVar

from vm.errors import ConfigurationError
from vm.inputs import Alarm
from vm.net.link import Deliver, SocketLink
from vm.net.packet import (
    ETHERNET_HEADER,
    IPV4,
    IPV6,
    NEEDS_CHECKSUM,
    TCP,
    TCP_OVER_IPV4,
    TCP_OVER_IPV6,
    Offload,
    Packet,
)
from vm.net.user import dhcp, neighbours
from vm.net.user.addresses import Address, Addresses
from vm.net.user.echo import EchoFlow, echo_of, echo_reply
from vm.net.user.forward import Forward, forward_of
from vm.net.user.fragments import Reassembly
from vm.net.user.headers import (
    ARP,
    BROADCAST,
    ICMP,
    ICMPV6,
    NO_NETWORK,
    NO_PORT,
    PROHIBITED,
    UDP,
    Datagram,
    Unreachable,
    datagram_of,
    ip_header,
    ip_packets,
    is_group,
    pseudo_sum,
    transport_checksum,
    unreachable,
    whole_packet,
)
from vm.net.user.host import READ, Endpoint, Interest
from vm.net.user.names import NameServers
from vm.net.user.policy import ALL_BUT_LOCAL, Policy
from vm.net.user.tcp import RESET, SYN, Connection, Segment, Sockets, reset_for, segment_of
from vm.net.user.udp import DOMAIN, Caller, Door, Flow, UserDatagram, user_datagram_of

if TYPE_CHECKING:
    from vm.inputs import Inputs

AnyNetwork = TypeVar("AnyNetwork", IPv4Network, IPv6Network)
AnyFlow = TypeVar("AnyFlow", Flow, EchoFlow)

MOST_CONNECTIONS = 8192             # of TCP, if the process may have so many files open
MOST_FLOWS = 1024                   # pairs of sockets of UDP, and of programs that send echo requests
LEFT = 64                           # files that the process can still open when guests can open no more
TCP_CHECKSUM = 16                   # where it stands in the header
LISTENING = 128                     # callers at a forwarded port that have not been asked in yet
SMALLEST_MTU, LARGEST_MTU = 1280, 65521
LONGEST_NAME = 63
EPHEMERAL = 49152                   # the first port of those that anybody may take


class User(SocketLink):
    """A network of its own for one guest, which reaches the world as this process does.

    - hostfwd: ports of the host that lead into the guest, as "tcp:127.0.0.1:2222-:22"; `forwarded` has them, with the
      numbers that were free where 0 was asked for.
    - allow: what the guest may reach: networks, "all", "host", "private" or "default" (vm.net.user.policy).
    - restrict: nothing: only the gateway, the name server and forwarded ports are there.
    - dns: the name servers that questions are passed on to, instead of those in /etc/resolv.conf.
    - net, net6: the networks that the guest sees.
    - host_name: that DHCP tells the guest.

    Raises ConfigurationError for what none of these can be.
    """

    def __init__(self, hostfwd: Iterable[str] = (), allow: Iterable[str] = (ALL_BUT_LOCAL,), restrict: bool = False,
                 dns: Iterable[str] = (), net: str = "10.0.2.0/24", net6: str = "fec0::/64", host_name: str = "",
                 mtu: int = 1500):
        self.addresses = Addresses(network_of("net", net, IPv4Network), network_of("net6", net6, IPv6Network))
        if not SMALLEST_MTU <= mtu <= LARGEST_MTU:
            raise ConfigurationError(f"mtu={mtu}: choose from {SMALLEST_MTU}, which IPv6 needs, to {LARGEST_MTU}")
        if not host_name.isascii() or len(host_name) > LONGEST_NAME:
            raise ConfigurationError(f"host_name={host_name!r}: is not ASCII of at most {LONGEST_NAME} bytes")
        self.policy = Policy(allow)
        self.restrict = restrict
        self.host_name = host_name
        self.mtu = mtu
        self.forwarded: tuple[Forward, ...] = ()
        self.callers: dict[Sockets, Caller] = {}
        self._forwards = tuple(forward_of(text) for text in hostfwd)
        self._settings = {"allow": tuple(allow), "restrict": restrict, "dns": tuple(dns), "net": net, "net6": net6,
                          "host_name": host_name, "mtu": mtu}
        self._names = NameServers(dns)
        self._connections: dict[Sockets, Connection] = {}
        self._flows: dict[Sockets, Flow] = {}
        self._echoes: dict[Sockets, EchoFlow] = {}
        self._doors: list[Endpoint] = []
        self._touched: dict[Sockets, Connection] = {}      # since the last `flush`
        self._reassembly = Reassembly()
        self._guest_mac = BROADCAST
        self._guest4 = self.addresses.guest.packed
        self._identification = 0

    # --- Life --------------------------------------------------------------------------------------------------------

    def plug(self, deliver: Deliver, inputs: Inputs) -> None:
        super().plug(deliver, inputs)
        try:
            self.forwarded = tuple(map(self._open, self._forwards))
        except BaseException:
            self.unplug()
            raise

    def unplug(self) -> None:
        if not self.plugged:
            return
        self.reset()
        for door in list(self._doors):
            door.abandon()
        self.forwarded = ()
        super().unplug()

    def reset(self) -> None:
        for endpoint in (*self._connections.values(), *self._flows.values(), *self._echoes.values()):
            endpoint.abandon()
        self.callers.clear()
        self._touched.clear()

    def _expecting(self) -> bool:
        """Whether anything may come at any time: from the far end of a connection, or through a forwarded port."""
        return bool(self._connections or self._doors) or any(
            flow.expecting for flows in (self._flows, self._echoes) for flow in flows.values())

    def twin(self) -> User:
        """Another network like this, without its forwarded ports: these are taken."""
        return User(**self._settings)               # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"<User network {self.addresses.network}: {len(self._connections)} connections>"

    # --- What the network's parts ask for ----------------------------------------------------------------------------

    def call_in(self, seconds: float, action: Callable[[], None]) -> Alarm:
        return self._inputs.call_in(seconds, action)

    def watch(self, endpoint: Endpoint, interest: Interest) -> None:
        if interest == endpoint.interest:
            return
        if not endpoint.interest:
            self._selector.register(endpoint.socket, interest, endpoint)
        elif interest:
            self._selector.modify(endpoint.socket, interest, endpoint)
        else:
            self._selector.unregister(endpoint.socket)
        endpoint.interest = interest

    def forget(self, endpoint: Endpoint) -> None:
        self.watch(endpoint, Interest(0))
        if isinstance(endpoint, Connection):
            self._connections.pop(endpoint.path, None)
        elif isinstance(endpoint, Flow):
            self._flows.pop(endpoint.path, None)
        elif isinstance(endpoint, EchoFlow):
            self._echoes.pop(endpoint.path, None)
        else:
            self._doors.remove(endpoint)

    def _on_ready(self) -> None:
        for key, events in self._selector.select(0):
            if key.data.interest:                   # the one before may have ended it
                key.data.on_ready(Interest(events))

    # --- To the guest ------------------------------------------------------------------------------------------------

    def send_segment(self, path: Sockets, segment: bytes, payload: bytes, segment_size: int) -> None:
        """Its checksum is left to whoever needs one, and cutting it, too."""
        size = len(segment) + len(payload)
        value = pseudo_sum(path.far, path.guest, TCP, size)
        header = ip_header(path.far, path.guest, TCP, size, identification=self._next_identification())
        is_v6 = len(path.far) == 16
        start = ETHERNET_HEADER + len(header)
        frame = (self._ethernet(IPV6 if is_v6 else IPV4) + header + segment[:TCP_CHECKSUM] + value.to_bytes(2, "big")
                 + segment[TCP_CHECKSUM + 2:] + payload)
        if len(payload) > segment_size:
            kind = TCP_OVER_IPV6 if is_v6 else TCP_OVER_IPV4
            offload = Offload(NEEDS_CHECKSUM, kind, start + len(segment), segment_size, start, TCP_CHECKSUM)
        else:
            offload = Offload(NEEDS_CHECKSUM, checksum_start=start, checksum_offset=TCP_CHECKSUM)
        self.deliver(Packet(frame, offload))

    def send_datagram(self, path: Sockets, payload: bytes) -> None:
        ports = path.far_port.to_bytes(2, "big") + path.guest_port.to_bytes(2, "big")
        message = ports + (8 + len(payload)).to_bytes(2, "big") + bytes(2) + payload
        value = transport_checksum(path.far, path.guest, UDP, message) or 0xFFFF
        message = message[:6] + value.to_bytes(2, "big") + payload
        self.send_ip(Datagram(path.far, path.guest, UDP, message))

    def send_ip(self, datagram: Datagram) -> None:
        kind = IPV6 if len(datagram.source) == 16 else IPV4
        numbered = datagram._replace(identification=self._next_identification())
        for packet in ip_packets(numbered, self.mtu):
            self.deliver(Packet(self._ethernet(kind) + packet))

    def refuse(self, path: Sockets, why: Unreachable, lost: bytes) -> None:
        sender = self.addresses.gateway6 if len(path.far) == 16 else self.addresses.gateway
        self.send_ip(unreachable(why, path.far if why is NO_PORT else sender.packed, lost))

    def _next_identification(self) -> int:
        self._identification = self._identification + 64 & 0xFFFF       # as many as a frame may be cut into
        return self._identification

    def _look_for(self, guest: bytes) -> None:
        """It has said nothing yet, so that its card is not known: it is asked."""
        if len(guest) == 16:
            self.send_ip(neighbours.neighbour_question(guest, self.addresses))
        else:
            self.deliver(Packet(self._ethernet(ARP) + neighbours.arp_question(guest, self.addresses)))

    def _ethernet(self, kind: int) -> bytes:
        return self._guest_mac + self.addresses.mac.to_bytes(6, "big") + kind.to_bytes(2, "big")

    # --- From the guest ----------------------------------------------------------------------------------------------

    def send(self, packet: Packet) -> None:
        frame = packet.frame
        self._guest_mac = frame[6:12]
        kind = int.from_bytes(frame[12:14], "big")
        if kind == ARP:
            answer = neighbours.arp_answer(frame, self.addresses)
            if answer is not None:
                self.deliver(Packet(self._ethernet(ARP) + answer))
        elif kind in (IPV4, IPV6):
            datagram = datagram_of(frame)
            whole = self._reassembly.add(datagram) if datagram.is_fragment else datagram
            if whole is not None:
                self._take(whole)

    def flush(self) -> None:
        """All that the guest sent together has been taken."""
        touched, self._touched = self._touched, {}
        for connection in touched.values():
            connection.settle()

    def _take(self, datagram: Datagram) -> None:
        if datagram.protocol == TCP:
            self._take_segment(datagram, segment_of(datagram.payload))
        elif datagram.protocol == UDP:
            self._take_datagram(datagram, user_datagram_of(datagram.payload))
        elif datagram.protocol in (ICMP, ICMPV6) and len(datagram.payload) >= 8:
            self._take_icmp(datagram)

    def _take_segment(self, datagram: Datagram, segment: Segment) -> None:
        path = Sockets(datagram.source, segment.source_port, datagram.destination, segment.destination_port)
        connection = self._connections.get(path)
        if connection is not None:
            connection.take(segment)
            self._touched[path] = connection
        elif segment.flags & ~0xC0 == SYN:              # besides what is said of congestion
            self._connect(path, segment, datagram)
        elif not segment.flags & RESET:
            self.send_segment(path, reset_for(segment), b"", 1)

    def _connect(self, path: Sockets, segment: Segment, datagram: Datagram) -> None:
        packet = whole_packet(datagram)
        address = self._reachable(path)
        if address is None:
            self.refuse(path, PROHIBITED, packet)
            return
        sock = self._socket(address, socket.SOCK_STREAM) if len(self._connections) < MOST_CONNECTIONS else None
        if sock is None:
            self.send_segment(path, reset_for(segment), b"", 1)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._connections[path] = Connection(self, path, sock)
        connection.connect(segment, (str(address), path.far_port), packet)

    def _take_datagram(self, datagram: Datagram, message: UserDatagram) -> None:
        path = Sockets(datagram.source, message.source_port, datagram.destination, message.destination_port)
        packet = whole_packet(datagram)
        known = self.callers.get(path) or self._flows.get(path)
        if known is not None:
            known.send(message.payload, packet)
        elif message.destination_port == dhcp.SERVER_PORT and len(datagram.source) == 4:
            self._serve_dhcp(message.payload)
        elif not is_group(datagram.destination):
            flow = self._flow(path, packet)
            if flow is not None:
                flow.send(message.payload, packet)

    def _flow(self, path: Sockets, packet: bytes) -> Flow | None:
        address = self._reachable(path)
        if address is None:
            self.refuse(path, NO_PORT if path.far in self.addresses.own else PROHIBITED, packet)
            return None
        sock = self._socket(address, socket.SOCK_DGRAM)
        if sock is None:
            return None
        try:
            sock.connect((str(address), path.far_port))
        except OSError:
            sock.close()
            self.refuse(path, NO_NETWORK, packet)
            return None
        make_room(self._flows)
        flow = self._flows[path] = Flow(self, path, sock)
        return flow

    def _serve_dhcp(self, message: bytes) -> None:
        reply = dhcp.answer(message, self.addresses, self.mtu, self.host_name)
        if reply is not None:
            server = self.addresses.gateway.packed
            self.send_datagram(Sockets(BROADCAST[:4], dhcp.CLIENT_PORT, server, dhcp.SERVER_PORT), reply)

    def _take_icmp(self, datagram: Datagram) -> None:
        for answer in neighbours.discovery_answers(datagram, self.addresses, self.mtu):
            self.send_ip(answer)
        echo = echo_of(datagram)
        if echo is None or is_group(datagram.destination):
            return
        if datagram.destination in self.addresses.own:
            self.send_ip(echo_reply(datagram))
            return
        path = Sockets(datagram.source, echo.identifier, datagram.destination, 0)
        flow = self._echoes.get(path)
        if flow is None:
            address = self._reachable(path)
            if address is None:
                self.refuse(path, PROHIBITED, whole_packet(datagram))
                return
            make_room(self._echoes)
            flow = EchoFlow.to(self, path, address)
            if flow is None:
                return                              # this host lets nobody ping
            self._echoes[path] = flow
        flow.send(datagram.payload)

    # --- The host's side ---------------------------------------------------------------------------------------------

    def _reachable(self, path: Sockets) -> Address | None:
        """The host's address for what the guest wants to reach; None if it may not."""
        if path.far in self.addresses.name_servers:
            return self._names.address() if path.far_port == DOMAIN and not self.restrict else None
        if self.restrict:
            return None
        if path.far in self.addresses.gateways:
            return ip_address("127.0.0.1") if self.policy.allows_host else None
        address = ip_address(path.far)
        inside = self.addresses.are_inside(path.far)
        return address if not inside and self.policy.allows(address) else None

    def _socket(self, address: Address, kind: int) -> socket.socket | None:
        """None where the process has no room for one, but for what else it needs, or the host no such protocol."""
        try:
            sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, kind)
        except OSError:
            return None
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most != resource.RLIM_INFINITY and sock.fileno() >= most - LEFT:     # the lowest number that is free
            sock.close()
            return None
        return sock

    def _open(self, forward: Forward) -> Forward:
        kind = socket.SOCK_STREAM if forward.protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in forward.host else socket.AF_INET
        sock = socket.socket(family, kind)
        try:
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((forward.host, forward.port))
            if kind == socket.SOCK_STREAM:
                sock.listen(LISTENING)
        except OSError as error:
            sock.close()
            raise ConfigurationError(f"hostfwd: {forward.protocol} port {forward.port} of {forward.host}: "
                                     f"{error.strerror}; choose another, or 0 for one that is free") from error
        opened = forward._replace(port=sock.getsockname()[1])
        self._doors.append(Listener(self, sock, opened) if kind == socket.SOCK_STREAM else Door(self, sock, opened))
        return opened

    def path_for_caller(self, forward: Forward, port: int) -> Sockets:
        guest = ip_address(forward.guest).packed if forward.guest else self._guest4
        far = (self.addresses.gateway6 if len(guest) == 16 else self.addresses.gateway).packed
        taken = self._connections if forward.protocol == "tcp" else self.callers
        path = Sockets(guest, forward.guest_port, far, port)
        number = EPHEMERAL
        while path in taken:
            path = path._replace(far_port=number)
            number += 1
        return path

    def let_in(self, forward: Forward, sock: socket.socket, port: int) -> None:
        """Somebody has come to a forwarded port of TCP."""
        if len(self._connections) >= MOST_CONNECTIONS:
            sock.close()
            return
        path = self.path_for_caller(forward, port)
        if self._guest_mac == BROADCAST:
            self._look_for(path.guest)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._connections[path] = Connection(self, path, sock)
        connection.offer()


def make_room(flows: dict[Sockets, AnyFlow]) -> None:
    """For another one: the oldest goes."""
    if len(flows) >= MOST_FLOWS:
        next(iter(flows.values())).abandon()


def network_of(name: str, text: str, kind: type[AnyNetwork]) -> AnyNetwork:
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigurationError(f"{name}={text}: {error}") from error


class Listener(Endpoint):
    """A forwarded port of TCP."""

    def __init__(self, network: User, sock: socket.socket, forward: Forward):
        super().__init__(sock)
        self._network = network
        self._forward = forward
        network.watch(self, READ)

    def on_ready(self, interest: Interest) -> None:
        try:
            sock, address = self.socket.accept()
        except OSError:
            return                                  # it has gone already, or this process has no room
        self._network.let_in(self._forward, sock, address[1])

    def abandon(self) -> None:
        self._network.forget(self)
        self.socket.close()
