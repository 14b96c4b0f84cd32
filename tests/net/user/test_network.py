"""The user-mode network but for TCP: addresses, names, UDP, echo, and who may be reached. Scapy plays the guest."""

import socket
from ipaddress import ip_address

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from tests.net.user.wire import (
    ADDRESS,
    ADDRESS6,
    GATEWAY,
    GATEWAY6,
    GATEWAY_MAC,
    MAC,
    NAME_SERVER,
    NAME_SERVER6,
    Peer,
    Wire,
)
from vm.errors import ConfigurationError, MalformedPacket
from vm.inputs import Inputs
from vm.net import Packet, User
from vm.net.user import echo, names, policy, udp

HOST = ("host",)
EVERYBODY = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff")


@pytest.fixture
def wire():
    with Wire(allow=HOST) as wire:
        yield wire


@pytest.fixture
def server():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(20)
        yield sock


def has_right_checksums(packet):
    """Scapy leaves out what is None, and fills it in."""
    again = packet.copy()
    for layer in (IP, UDP, ICMP, TCP):
        if layer in again:
            del again[layer].chksum
    for layer in (ICMPv6EchoReply, ICMPv6ND_NA, ICMPv6ND_RA, ICMPv6DestUnreach):
        if layer in again:
            del again[layer].cksum
    return bytes(again) == bytes(packet)


# --- Who has which address -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("address", [GATEWAY, NAME_SERVER])
def test_arp(wire, address):
    wire.send(EVERYBODY / ARP(op="who-has", hwsrc=MAC, psrc=ADDRESS, pdst=address))
    reply = wire.wait()
    assert (reply.src, reply.dst) == (GATEWAY_MAC, MAC)
    assert (reply.op, reply.hwsrc, reply.psrc, reply.hwdst, reply.pdst) == (2, GATEWAY_MAC, address, MAC, ADDRESS)


def test_nobody_answers_for_others(wire):
    wire.send(EVERYBODY / ARP(op="who-has", hwsrc=MAC, psrc=ADDRESS, pdst="10.0.2.9"))
    wire.send(EVERYBODY / ARP(op="is-at", hwsrc=MAC, psrc=ADDRESS, pdst=GATEWAY))
    assert wire.nothing_comes()


def asks_for_address(wire, kind, *options, client="0.0.0.0"):
    wire.send(EVERYBODY / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67)
              / BOOTP(chaddr=bytes.fromhex(MAC.replace(":", "")), xid=77, ciaddr=client)
              / DHCP(options=[("message-type", kind), *options, "end"]))


def told(packet):
    return {option[0]: option[1:] for option in packet[DHCP].options if isinstance(option, tuple)}


def test_dhcp(wire):
    asks_for_address(wire, "discover")
    offer = wire.wait()
    assert has_right_checksums(offer)
    assert (offer[IP].src, offer[IP].dst, offer[UDP].sport, offer[UDP].dport) == (GATEWAY, "255.255.255.255", 67, 68)
    assert (offer[BOOTP].op, offer[BOOTP].xid, offer[BOOTP].yiaddr) == (2, 77, ADDRESS)
    assert told(offer)["message-type"] == (2,)
    asks_for_address(wire, "request", ("server_id", GATEWAY), ("requested_addr", ADDRESS))
    options = told(wire.wait())
    assert options["message-type"] == (5,)
    assert options["server_id"] == options["router"] == (GATEWAY,)
    assert options["subnet_mask"] == ("255.255.255.0",) and options["name_server"] == (NAME_SERVER,)
    assert options["lease_time"] == (86400,) and options["interface-mtu"] == (1500,)


def test_dhcp_renews(wire):
    asks_for_address(wire, "request", client=ADDRESS)
    assert told(wire.wait())["message-type"] == (5,)


def test_dhcp_refuses_another_address(wire):
    asks_for_address(wire, "request", ("requested_addr", "10.0.2.99"))
    answer = wire.wait()
    assert told(answer) == {"message-type": (6,), "server_id": (GATEWAY,)} and answer[BOOTP].yiaddr == "0.0.0.0"


def test_dhcp_informs_without_a_lease(wire):
    asks_for_address(wire, "inform", client="10.0.2.20")
    answer = wire.wait()
    assert "lease_time" not in told(answer) and answer[BOOTP].yiaddr == "0.0.0.0"


@pytest.mark.parametrize("kind, options", [("request", [("server_id", "10.0.2.1")]), ("release", []), ("decline", [])])
def test_dhcp_has_nothing_to_say(wire, kind, options):
    asks_for_address(wire, kind, *options)
    assert wire.nothing_comes()


def test_the_host_name_is_told():
    with Wire(host_name="guest-1") as wire:
        asks_for_address(wire, "discover")
        assert told(wire.wait())["hostname"] == (b"guest-1",)


def test_another_network():
    with Wire(net="192.168.7.0/26", net6="fd00:7::/64") as wire:
        asks_for_address(wire, "discover")
        offer = wire.wait()
        assert offer[BOOTP].yiaddr == "192.168.7.15" and told(offer)["subnet_mask"] == ("255.255.255.192",)
        wire.send(EVERYBODY / IPv6(src="fe80::1:2", dst="ff02::2", hlim=255) / ICMPv6ND_RS())
        assert wire.wait()[ICMPv6NDOptPrefixInfo].prefix == "fd00:7::"


def test_router_advertisement(wire):
    wire.send(EVERYBODY / IPv6(src="fe80::1:2", dst="ff02::2", hlim=255) / ICMPv6ND_RS())
    answer = wire.wait()
    assert has_right_checksums(answer)
    assert (answer[IPv6].src, answer[IPv6].dst, answer[IPv6].hlim) == ("fe80::2", "fe80::1:2", 255)
    assert answer[ICMPv6ND_RA].routerlifetime > 0
    prefix = answer[ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == ("fec0::", 64, 1, 1)
    assert answer[ICMPv6NDOptRDNSS].dns == [NAME_SERVER6]
    assert answer[ICMPv6NDOptMTU].mtu == 1500 and answer[ICMPv6NDOptSrcLLAddr].lladdr == GATEWAY_MAC


@pytest.mark.parametrize("target, router", [(GATEWAY6, 1), ("fe80::2", 1), (NAME_SERVER6, 0)])
def test_neighbour_discovery(wire, target, router):
    wire.send(EVERYBODY / IPv6(src=ADDRESS6, dst="ff02::1:ff00:2", hlim=255) / ICMPv6ND_NS(tgt=target))
    answer = wire.wait()
    assert has_right_checksums(answer)
    assert (answer[IPv6].src, answer[IPv6].dst) == (target, ADDRESS6)
    assert (answer[ICMPv6ND_NA].tgt, answer[ICMPv6ND_NA].R, answer[ICMPv6ND_NA].S) == (target, router, 1)
    assert answer.lladdr == GATEWAY_MAC


def test_neighbour_discovery_from_afar_is_ignored(wire):
    """RFC 4861, section 7.1.1: a router would have counted a hop."""
    wire.send(EVERYBODY / IPv6(src=ADDRESS6, dst=GATEWAY6, hlim=254) / ICMPv6ND_NS(tgt=GATEWAY6))
    assert wire.nothing_comes()


# --- Echo ------------------------------------------------------------------------------------------------------------

def test_the_gateway_answers_an_echo(wire):
    wire.send(IP(src=ADDRESS, dst=GATEWAY) / ICMP(id=5, seq=6) / b"payload")
    reply = wire.wait()
    assert has_right_checksums(reply)
    assert (reply[IP].src, reply[IP].dst) == (GATEWAY, ADDRESS)
    assert (reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq, bytes(reply[ICMP].payload)) == (0, 5, 6, b"payload")


def test_the_gateway_answers_an_echo_over_ipv6(wire):
    wire.send(IPv6(src=ADDRESS6, dst=GATEWAY6) / ICMPv6EchoRequest(id=5, seq=6, data=b"payload"))
    reply = wire.wait()
    assert has_right_checksums(reply)
    answer = reply[ICMPv6EchoReply]
    assert (reply[IPv6].src, answer.id, answer.seq, answer.data) == (GATEWAY6, 5, 6, b"payload")


def may_ping():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
        return True
    except OSError:
        return False


@pytest.mark.skipif(not may_ping(), reason="this host lets nobody ping without privileges")
def test_an_echo_of_the_world(wire):
    wire.send(IP(src=ADDRESS, dst="127.0.0.1") / ICMP(id=5, seq=6) / b"payload")
    reply = wire.wait()
    assert has_right_checksums(reply)
    assert (reply[IP].src, reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq) == ("127.0.0.1", 0, 5, 6)
    assert bytes(reply[ICMP].payload) == b"payload"


# --- UDP -------------------------------------------------------------------------------------------------------------

def test_datagrams_both_ways(wire, server):
    port = server.getsockname()[1]
    wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=5000, dport=port) / b"question")
    question, peer = server.recvfrom(100)
    assert question == b"question"
    for answer in (b"answer", b"another"):
        server.sendto(answer, peer)
        packet = wire.wait()
        assert has_right_checksums(packet)
        assert (packet[IP].src, packet[IP].dst) == (GATEWAY, ADDRESS)
        assert (packet[UDP].sport, packet[UDP].dport, bytes(packet[UDP].payload)) == (port, 5000, answer)
    wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=5000, dport=port) / b"more")
    assert server.recvfrom(100) == (b"more", peer)


def test_nobody_elses_datagrams_come_in(wire, server):
    wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=5000, dport=server.getsockname()[1]) / b"question")
    _, peer = server.recvfrom(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"forged", peer)
    assert wire.nothing_comes()


def test_nobody_listens(wire, server):
    port = server.getsockname()[1]
    server.close()
    wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=5000, dport=port) / b"question")
    packet = wire.wait()
    assert has_right_checksums(packet)
    assert (packet[IP].src, packet[ICMP].type, packet[ICMP].code) == (GATEWAY, 3, 3)
    quoted = IP(bytes(packet[ICMP].payload))
    assert (quoted.src, quoted[UDP].sport, quoted[UDP].dport) == (ADDRESS, 5000, port)


@pytest.mark.parametrize("size", [1473, 9000, 65507])
def test_large_datagrams_are_cut_and_put_together(wire, server, size):
    data = bytes(index % 253 for index in range(size))
    port = server.getsockname()[1]
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    pieces = fragment(IP(src=ADDRESS, dst=GATEWAY, id=9) / UDP(sport=5000, dport=port) / data, fragsize=1480)
    wire.send(*reversed(pieces))
    received, peer = server.recvfrom(1 << 16)
    assert received == data
    server.sendto(data, peer)
    parts = []
    while not parts or parts[-1][IP].flags.MF:
        parts.append(wire.wait())
        assert len(parts[-1]) <= 1514 and has_right_checksums(parts[-1]) or UDP in parts[-1]
    whole = b"".join(bytes(part[IP].payload) for part in parts)
    assert [part[IP].frag for part in parts] == [185 * index for index in range(len(parts))]
    assert whole[8:] == data and len({part[IP].id for part in parts}) == 1


def test_large_datagrams_over_ipv6(wire, server):
    data = bytes(index % 253 for index in range(5000))
    port = server.getsockname()[1]
    message = bytes(UDP(bytes((IPv6(src=ADDRESS6, dst=GATEWAY6) / UDP(sport=5000, dport=port) / data)[UDP])))
    for offset in range(0, len(message), 1400):
        part = message[offset:offset + 1400]
        wire.send(IPv6(src=ADDRESS6, dst=GATEWAY6)
                  / IPv6ExtHdrFragment(nh=17, id=3, offset=offset // 8, m=offset + 1400 < len(message)) / Raw(part))
    received, peer = server.recvfrom(1 << 16)
    assert received == data
    server.sendto(data, peer)
    whole = b""
    while True:
        packet = wire.wait()
        assert len(packet) <= 1514
        whole += bytes(packet[IPv6ExtHdrFragment].payload)
        if not packet[IPv6ExtHdrFragment].m:
            break
    assert whole[8:] == data


def test_overlapping_fragments_make_no_datagram(wire, server):
    port = server.getsockname()[1]
    first, *rest = fragment(IP(src=ADDRESS, dst=GATEWAY, id=9) / UDP(sport=5000, dport=port) / bytes(4000), 1480)
    forged = first.copy()
    forged.frag = 100
    wire.send(first, forged, *rest)
    assert wire.net._flows == {}


def test_fragments_of_many_datagrams_do_not_pile_up(wire):
    for number in range(100):
        wire.send(IP(src=ADDRESS, dst=GATEWAY, id=number, flags="MF", proto=17) / Raw(bytes(1480)))
    assert len(wire.net._reassembly._partial) == 16


def test_flows_end_when_they_are_not_used(monkeypatch, wire, server):
    monkeypatch.setattr(udp, "IDLE", 0.02)
    wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=5000, dport=server.getsockname()[1]) / b"question")
    assert len(wire.net._flows) == 1
    wire.settle(lambda: not wire.net._flows)


def test_the_oldest_flow_makes_room(monkeypatch, wire, server):
    monkeypatch.setattr("vm.net.user.network.MOST_FLOWS", 2)
    for source in (1, 2, 3):
        wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=source, dport=server.getsockname()[1]))
    assert [path.guest_port for path in wire.net._flows] == [2, 3]


# --- Names -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("source, address", [(ADDRESS, NAME_SERVER), (ADDRESS6, NAME_SERVER6)])
def test_questions_for_names_are_passed_on(monkeypatch, server, source, address):
    monkeypatch.setattr("vm.net.user.network.DOMAIN", server.getsockname()[1])
    with Wire(dns=["127.0.0.1"]) as wire:           # what is configured is asked, whatever the guest may reach itself
        network = (IPv6 if ":" in source else IP)(src=source, dst=address)
        wire.send(network / UDP(sport=5000, dport=server.getsockname()[1]) / DNS(id=3, qd=DNSQR(qname="example.org")))
        question, peer = server.recvfrom(1000)
        assert DNS(question).qd[0].qname == b"example.org."
        server.sendto(bytes(DNS(id=3, qr=1)), peer)
        answer = wire.wait(lambda packet: UDP in packet)
        assert (answer.payload.src, DNS(bytes(answer[UDP].payload)).id) == (address, 3)


def test_the_name_server_serves_nothing_else(wire):
    wire.send(IP(src=ADDRESS, dst=NAME_SERVER) / UDP(sport=5000, dport=5353) / b"x")
    assert (wire.wait()[ICMP].type, wire.net._flows) == (3, {})


def test_servers_of_the_host():
    text = "# a comment\nsearch example.org\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver nowhere\n"
    assert [str(address) for address in names.servers_in(text)] == ["192.0.2.1"]       # fe80::1 says not on which link


# --- Who may be reached ----------------------------------------------------------------------------------------------

def test_the_host_is_out_of_reach_unless_allowed(server):
    port = server.getsockname()[1]
    with Wire() as wire:
        for address in (GATEWAY, "127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.1.1"):
            wire.send(IP(src=ADDRESS, dst=address) / UDP(sport=5000, dport=port) / b"x")
            packet = wire.wait()
            assert packet[ICMP].type == 3, address
            Peer(wire, port, destination=address).send("S")
            assert (wire.wait()[ICMP].type, wire.net._connections) == (3, {}), address
        for address in ("::1", "::ffff:127.0.0.1", "fe80::99", GATEWAY6):
            Peer(wire, port, source=ADDRESS6, destination=address).send("S")
            assert ICMPv6DestUnreach in wire.wait() and wire.net._connections == {}, address


def test_restricted(server):
    with Wire(restrict=True, allow=["all"], dns=["127.0.0.1"]) as wire:
        for address in (GATEWAY, "192.0.2.1", NAME_SERVER):
            wire.send(IP(src=ADDRESS, dst=address) / UDP(sport=5000, dport=53) / b"x")
            assert wire.wait()[ICMP].type == 3
        wire.send(IP(src=ADDRESS, dst=GATEWAY) / ICMP())
        assert wire.wait()[ICMP].type == 0


# --- Forwarded ports -------------------------------------------------------------------------------------------------

def test_a_forwarded_port_of_tcp():
    with Wire(hostfwd=["tcp:127.0.0.1:0-:22"]) as wire:
        port = wire.net.forwarded[0].port
        with socket.create_connection(("127.0.0.1", port)) as caller:
            asked = wire.wait()
            assert asked[ARP].pdst == ADDRESS       # nobody has heard of the guest yet
            wire.send(Ether(src=MAC, dst=GATEWAY_MAC) / ARP(op="is-at", hwsrc=MAC, psrc=ADDRESS, pdst=GATEWAY))
            syn = wire.wait(lambda packet: TCP in packet)
            assert (syn[IP].src, syn[IP].dst, syn[TCP].dport, syn[TCP].flags) == (GATEWAY, ADDRESS, 22, "S")
            assert syn[TCP].sport == caller.getsockname()[1]
            peer = Peer(wire, syn[TCP].sport, source_port=22, options=[("MSS", 1460)])
            peer.expected = syn[TCP].seq + 1
            peer.send("SA", options=peer.options)
            assert peer.wait().flags == "A"
            caller.sendall(b"hello")
            assert peer.receive(5) == b"hello"
            peer.send("PA", b"ssh")
            assert caller.recv(10) == b"ssh"


def test_a_guest_that_refuses(wire):
    with Wire(hostfwd=["tcp::0-10.0.2.20:22"]) as wire:
        with socket.create_connection(("127.0.0.1", wire.net.forwarded[0].port)) as caller:
            syn = wire.wait(lambda packet: TCP in packet)
            assert syn[IP].dst == "10.0.2.20"
            wire.send(IP(src="10.0.2.20", dst=GATEWAY)
                      / TCP(sport=22, dport=syn[TCP].sport, flags="RA", ack=syn[TCP].seq + 1))
            with pytest.raises(ConnectionResetError):
                caller.recv(1)


def test_a_forwarded_port_of_udp():
    with Wire(hostfwd=["udp:127.0.0.1:0-:53"]) as wire:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            caller.settimeout(20)
            caller.sendto(b"question", ("127.0.0.1", wire.net.forwarded[0].port))
            packet = wire.wait(lambda packet: UDP in packet)
            assert (packet[IP].src, packet[UDP].dport, bytes(packet[UDP].payload)) == (GATEWAY, 53, b"question")
            wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=53, dport=packet[UDP].sport) / b"answer")
            assert caller.recv(100) == b"answer"


def test_a_port_that_is_taken(server):
    port = server.getsockname()[1]
    net = User(hostfwd=["udp:127.0.0.1:0-:1", f"udp:127.0.0.1:{port}-:2"])
    inputs = Inputs()
    with pytest.raises(ConfigurationError, match=f"udp port {port} of 127.0.0.1"):
        net.plug(lambda packet: None, inputs)
    assert not net.plugged and not inputs.watching and net._doors == []


@pytest.mark.parametrize("settings, text", [
    ({"hostfwd": ["tcp:2222:22"]}, "hostfwd=tcp:2222:22"), ({"hostfwd": ["tcp:nowhere:1-:2"]}, "nowhere"),
    ({"hostfwd": ["tcp::65536-:2"]}, "from 1 to 65535"), ({"hostfwd": ["sctp::1-:2"]}, "tcp or udp"),
    ({"hostfwd": ["tcp::1-:0"]}, "from 1 to 65535"), ({"allow": ["everything"]}, "allow=everything"),
    ({"allow": ["10.0.0.1/8"]}, "allow=10.0.0.1/8"), ({"dns": ["localhost"]}, "dns=localhost"),
    ({"net": "10.0.2.0/29"}, "net=10.0.2.0/29"), ({"net": "10.0.2.1/24"}, "net=10.0.2.1/24"),
    ({"net6": "fec0::/48"}, "net6=fec0::/48"),
])
def test_bad_settings(settings, text):
    with pytest.raises(ConfigurationError, match=text):
        User(**settings)


# --- Nonsense --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("packet", [
    IP(src=ADDRESS, dst=GATEWAY, len=5) / UDP(), IP(src=ADDRESS, dst=GATEWAY, len=600) / UDP(),
    IP(src=ADDRESS, dst=GATEWAY, version=5) / UDP(), IP(src=ADDRESS, dst=GATEWAY, ihl=3) / UDP(),
    IP(src=ADDRESS, dst=GATEWAY) / UDP(len=7), IP(src=ADDRESS, dst=GATEWAY) / UDP(len=100),
    IP(src=ADDRESS, dst=GATEWAY, proto=6) / Raw(b"short"), IP(src=ADDRESS, dst=GATEWAY) / TCP(dataofs=4),
    IP(src=ADDRESS, dst=GATEWAY) / TCP(dataofs=15), IPv6(src=ADDRESS6, dst=GATEWAY6, plen=99) / UDP(),
    IPv6(src=ADDRESS6, dst=GATEWAY6, nh=0) / Raw(b"\x11\xFF"), IPv6(src=ADDRESS6, dst=GATEWAY6, nh=44) / Raw(b"\x11"),
])
def test_what_is_no_packet(wire, packet):
    with pytest.raises(MalformedPacket):
        wire.net.send(Packet(bytes(Ether(src=MAC, dst=GATEWAY_MAC) / packet)))


@pytest.mark.parametrize("frame", [
    EVERYBODY / Raw(b"x"), EVERYBODY / ARP(hwlen=4, pdst=GATEWAY), EVERYBODY / Raw(bytes(50)),
    Ether(src=MAC, type=0x0806) / Raw(b"short"),
    EVERYBODY / IP(src=ADDRESS, dst="255.255.255.255") / UDP(dport=67) / b"x",
    EVERYBODY / IP(src=ADDRESS, dst="224.0.0.1") / UDP(dport=5353) / b"x",
    EVERYBODY / IP(src=ADDRESS, dst=GATEWAY, proto=132) / b"x", EVERYBODY / IP(src=ADDRESS, dst="10.0.2.255") / ICMP(),
])
def test_what_nobody_answers(wire, frame):
    wire.send(frame)
    wire.received = [packet for packet in wire.received if ICMP not in packet]
    assert wire.nothing_comes(0.01) and not wire.net._flows


def test_a_twin_has_no_forwarded_ports(wire):
    with Wire(hostfwd=["tcp::0-:22"], allow=["private"], net="10.9.0.0/24") as first:
        twin = first.net.twin()
        assert twin.forwarded == () and twin.policy.allow == ("private",)
        assert str(twin.addresses.guest) == "10.9.0.15"


# --- What would harm the host ----------------------------------------------------------------------------------------

def test_a_datagram_larger_than_ipv4_has(wire):
    for offset in range(0, 65528, 1480):
        size = min(1480, 65528 - offset)
        wire.send(IP(src=ADDRESS, dst=GATEWAY, id=9, proto=17, frag=offset // 8,
                     flags="MF" if offset + size < 65528 else 0) / Raw(bytes(size)))
    assert wire.nothing_comes(0.01) and wire.net._flows == {}


def test_headers_without_end(wire):
    rest = b"\x00\x00" + bytes(6)
    wire.send(IPv6(src=ADDRESS6, dst=GATEWAY6, nh=0) / Raw(rest * 8000))
    assert wire.nothing_comes(0.01)


def test_datagrams_and_echoes_of_the_same_numbers(monkeypatch, wire, server):
    """Port 0 and identifier 5 of one program, port 5 to port 0 of another."""
    sockets = []

    def echo_socket(network, path, address):
        sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sockets[-1].connect(server.getsockname())
        return echo.EchoFlow(network, path, sockets[-1])

    monkeypatch.setattr(echo.EchoFlow, "to", echo_socket)
    wire.send(IP(src=ADDRESS, dst="127.0.0.1") / ICMP(id=5))
    wire.send(IP(src=ADDRESS, dst="127.0.0.1") / UDP(sport=5, dport=0) / b"x")
    assert len(wire.net._echoes) == 1
    wire.net.unplug()
    assert wire.net._echoes == wire.net._flows == {} and sockets[0].fileno() == -1


def test_addresses_of_the_host_that_no_way_begins_at(monkeypatch):
    """A second address of an interface: what goes there comes from the first."""
    monkeypatch.setattr(policy, "is_way_to_itself", lambda address: False)
    monkeypatch.setattr(policy, "can_be_bound", lambda address: str(address) == "198.51.100.7")
    assert not policy.Policy().allows(ip_address("198.51.100.7"))
    assert policy.Policy().allows(ip_address("198.51.100.8"))
    monkeypatch.setattr(policy, "can_be_bound", lambda address: True)       # ip_nonlocal_bind: it says nothing
    assert policy.Policy().allows(ip_address("198.51.100.8"))


def test_where_nothing_can_be_found_out_an_address_is_the_host_s(monkeypatch):
    def no_room(*arguments):
        raise OSError("too many open files")

    monkeypatch.setattr(policy, "probe", no_room)
    assert not policy.Policy().allows(ip_address("198.51.100.7"))


def test_files_are_left_for_the_rest_of_the_process(monkeypatch, wire, server):
    monkeypatch.setattr("vm.net.user.network.LEFT", 1 << 40)
    wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=5000, dport=server.getsockname()[1]) / b"x")
    assert wire.net._flows == {}
    Peer(wire, server.getsockname()[1]).send("S")
    assert wire.wait()[TCP].flags == "RA"


def test_a_router_is_not_looked_for_by_ipv4(wire):
    wire.send(IP(src=ADDRESS, dst=GATEWAY, ttl=255) / ICMP(type=133) / bytes(20))
    assert wire.nothing_comes(0.01)


def test_a_reset_of_the_card_ends_what_was_under_way(wire, server):
    wire.send(IP(src=ADDRESS, dst=GATEWAY) / UDP(sport=5000, dport=server.getsockname()[1]) / b"x")
    wire.net.reset()
    assert wire.net._flows == {} and wire.net.plugged


@pytest.mark.parametrize("settings, text", [({"mtu": 1279}, "mtu=1279"), ({"mtu": 65522}, "mtu=65522"),
                                            ({"host_name": "x" * 64}, "host_name="), ({"host_name": "ü"}, "ASCII")])
def test_settings_that_no_packet_has_room_for(settings, text):
    with pytest.raises(ConfigurationError, match=text):
        User(**settings)


def test_servers_in_a_file_that_is_no_text(tmp_path, monkeypatch):
    path = tmp_path / "resolv.conf"
    path.write_bytes(b"\xff\xfe\nnameserver 192.0.2.7\n")
    monkeypatch.setattr(names, "RESOLVERS", path)
    assert str(names.NameServers().address()) == "192.0.2.7"
