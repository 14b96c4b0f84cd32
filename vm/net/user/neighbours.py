"""Who has which address on the virtual wire: ARP (RFC 826), IPv6 neighbour discovery and router advertisements (RFC
4861, 8106), as far as a gateway answers them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vm.net.packet import ETHERNET_HEADER
from vm.net.user.addresses import GATEWAY, LINK_LOCAL, Addresses
from vm.net.user.headers import ICMPV6, SAME_LINK, Datagram, icmp_message

ARP_PACKET = struct.Struct(">HHBBH6s4s6s4s")        # hardware, protocol, their sizes, operation, sender, target
ETHERNET_IPV4 = 1, 0x0800, 6, 4
REQUEST, REPLY = 1, 2

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 133, 134, 135, 136
SOURCE_ADDRESS, TARGET_ADDRESS, PREFIX, MTU, NAME_SERVERS = 1, 2, 3, 5, 25      # options
ROUTER, SOLICITED, OVERRIDE = 0x80, 0x40, 0x20      # flags of a neighbour advertisement
ON_LINK, AUTONOMOUS = 0x80, 0x40                    # of a prefix
LIFETIME = 1800                                     # seconds of a router, and of what it tells
ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
ALL_ROUTERS = bytes.fromhex("ff020000000000000000000000000002")
SOLICITED_NODES = bytes.fromhex("ff0200000000000000000001ff")


def arp_answer(frame: bytes, addresses: Addresses) -> bytes | None:
    """The reply to a guest that asks for one of ours; to whom it is addressed is for the caller."""
    if len(frame) < ETHERNET_HEADER + ARP_PACKET.size:
        return None
    *kind, operation, sender_mac, sender, _, target = ARP_PACKET.unpack_from(frame, ETHERNET_HEADER)
    if tuple(kind) != ETHERNET_IPV4 or operation != REQUEST or target not in addresses.own:
        return None
    return ARP_PACKET.pack(*ETHERNET_IPV4, REPLY, addresses.mac.to_bytes(6, "big"), target, sender_mac, sender)


def arp_question(target: bytes, addresses: Addresses) -> bytes:
    """Who has this address?"""
    return ARP_PACKET.pack(*ETHERNET_IPV4, REQUEST, addresses.mac.to_bytes(6, "big"), addresses.gateway.packed,
                           bytes(6), target)


def neighbour_question(target: bytes, addresses: Addresses) -> Datagram:
    source = LINK_LOCAL[GATEWAY].packed
    everyone = SOLICITED_NODES + target[13:]
    message = icmp_message(source, everyone, NEIGHBOUR_SOLICITATION, 0,
                           bytes(4) + target + hardware(SOURCE_ADDRESS, addresses))
    return Datagram(source, everyone, ICMPV6, message, SAME_LINK)


def discovery_answers(datagram: Datagram, addresses: Addresses, mtu: int) -> Iterator[Datagram]:
    """To the ICMPv6 messages of a guest that looks for routers and neighbours."""
    kind = datagram.payload[0]
    if datagram.protocol != ICMPV6 or len(datagram.source) != 16 or datagram.hops != SAME_LINK:
        return
    unspecified = not any(datagram.source)
    asker = ALL_NODES if unspecified else datagram.source
    if kind == ROUTER_SOLICITATION:
        yield advertisement(asker, addresses, mtu)
    elif kind == NEIGHBOUR_SOLICITATION and len(datagram.payload) >= 24:
        target = datagram.payload[8:24]
        if target in addresses.own:
            flags = OVERRIDE | (0 if unspecified else SOLICITED) | (ROUTER if target in addresses.gateways else 0)
            rest = bytes((flags, 0, 0, 0)) + target + hardware(TARGET_ADDRESS, addresses)
            yield Datagram(target, asker, ICMPV6, icmp_message(target, asker, NEIGHBOUR_ADVERTISEMENT, 0, rest),
                           SAME_LINK)


def advertisement(destination: bytes, addresses: Addresses, mtu: int) -> Datagram:
    """A router is here, with this prefix and this name server."""
    source = LINK_LOCAL[GATEWAY].packed
    prefix = addresses.network6
    rest = struct.pack(">BBHII", 64, 0, LIFETIME, 0, 0)
    rest += hardware(SOURCE_ADDRESS, addresses)
    rest += struct.pack(">BBHI", MTU, 1, 0, mtu)
    rest += struct.pack(">BBBBIII16s", PREFIX, 4, prefix.prefixlen, ON_LINK | AUTONOMOUS, LIFETIME, LIFETIME, 0,
                        prefix.network_address.packed)
    rest += struct.pack(">BBHI16s", NAME_SERVERS, 3, 0, LIFETIME, addresses.name_server6.packed)
    message = icmp_message(source, destination, ROUTER_ADVERTISEMENT, 0, rest)
    return Datagram(source, destination, ICMPV6, message, SAME_LINK)


def hardware(option: int, addresses: Addresses) -> bytes:
    return bytes((option, 1)) + addresses.mac.to_bytes(6, "big")
