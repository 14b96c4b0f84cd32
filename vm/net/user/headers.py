"""Headers of the packets between a guest and the user-mode network: Ethernet, IPv4, IPv6 and ICMP's errors.

RFC 791 (IPv4), RFC 8200 (IPv6), RFC 792 and 4443 (ICMP). Addresses are bytes as in a packet, 4 or 16, so that their
length says which protocol it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vm.errors import MalformedPacket
from vm.net.packet import ETHERNET_HEADER, IPV4, IPV6_HEADER, SHORTEST_IPV4_HEADER, checksum

ARP = 0x0806                                # EtherType
ICMP, UDP, ICMPV6 = 1, 17, 58               # protocols
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60          # headers between IPv6's and the payload
PASSED_OVER = {HOP_BY_HOP, ROUTING, DESTINATION}
MOST_HEADERS = 8                            # of these, before one is taken for the payload's

HOPS = 64
SAME_LINK = 255                             # hops of what no router has passed on
BROADCAST = b"\xFF" * 6
DONT_FRAGMENT, MORE_FRAGMENTS, FRAGMENT_UNIT = 0x4000, 0x2000, 8
FRAGMENT_HEADER = struct.Struct(">BxHI")    # next header, offset and whether more follow, identification

HEADER_V4 = struct.Struct(">BBHHHBBH4s4s")  # version and size, class, size of all, id, fragment, hops, protocol, sum
HEADER_V6 = struct.Struct(">IHBB16s16s")    # version, class and flow, payload size, next header, hops


class Datagram(NamedTuple):
    """What an IP packet carries, and its place in a larger one if it is a fragment."""

    source: bytes
    destination: bytes
    protocol: int
    payload: bytes
    hops: int = HOPS
    identification: int = 0
    offset: int = 0
    more: bool = False

    @property
    def is_fragment(self) -> bool:
        return self.offset > 0 or self.more


def datagram_of(frame: bytes) -> Datagram:
    """The IP packet of an Ethernet frame. Raises MalformedPacket."""
    return ipv4_of(frame) if frame[12:14] == IPV4.to_bytes(2, "big") else ipv6_of(frame)


def ipv4_of(frame: bytes) -> Datagram:
    if len(frame) < ETHERNET_HEADER + SHORTEST_IPV4_HEADER:
        raise MalformedPacket(f"an IPv4 packet in a frame of {len(frame)} bytes")
    first, _, size, identification, fragment, hops, protocol, _, source, destination = \
        HEADER_V4.unpack_from(frame, ETHERNET_HEADER)
    header = 4 * (first & 15)
    if first >> 4 != 4 or not SHORTEST_IPV4_HEADER <= header <= size <= len(frame) - ETHERNET_HEADER:
        raise MalformedPacket(f"an IPv4 packet of {size} bytes with a header of {header}, in a frame of {len(frame)}")
    payload = frame[ETHERNET_HEADER + header:ETHERNET_HEADER + size]
    return Datagram(source, destination, protocol, payload, hops, identification,
                    (fragment & 0x1FFF) * FRAGMENT_UNIT, bool(fragment & MORE_FRAGMENTS))


def ipv6_of(frame: bytes) -> Datagram:
    if len(frame) < ETHERNET_HEADER + IPV6_HEADER:
        raise MalformedPacket(f"an IPv6 packet in a frame of {len(frame)} bytes")
    first, size, protocol, hops, source, destination = HEADER_V6.unpack_from(frame, ETHERNET_HEADER)
    payload = frame[ETHERNET_HEADER + IPV6_HEADER:ETHERNET_HEADER + IPV6_HEADER + size]
    if first >> 28 != 6 or len(payload) < size:
        raise MalformedPacket(f"an IPv6 packet with {size} bytes of payload, in a frame of {len(frame)}")
    for _ in range(MOST_HEADERS):
        if protocol not in PASSED_OVER:
            break
        following = 8 + 8 * payload[1] if len(payload) >= 8 else 8
        if len(payload) < following:
            raise MalformedPacket(f"an IPv6 header of type {protocol} that does not fit")
        protocol, payload = payload[0], payload[following:]
    if protocol != FRAGMENT:
        return Datagram(source, destination, protocol, payload, hops)
    if len(payload) < FRAGMENT_HEADER.size:
        raise MalformedPacket("an IPv6 fragment without its header")
    protocol, place, identification = FRAGMENT_HEADER.unpack_from(payload)
    return Datagram(source, destination, protocol, payload[FRAGMENT_HEADER.size:], hops, identification,
                    place & ~7, bool(place & 1))


def ip_header(source: bytes, destination: bytes, protocol: int, size: int, hops: int = HOPS, identification: int = 0,
              fragment: int = DONT_FRAGMENT) -> bytes:
    """In front of a payload of `size` bytes."""
    if len(source) == 16:
        return HEADER_V6.pack(6 << 28, size, protocol, hops, source, destination)
    fields = 0x45, 0, SHORTEST_IPV4_HEADER + size, identification, fragment, hops, protocol
    value = checksum(HEADER_V4.pack(*fields, 0, source, destination))
    return HEADER_V4.pack(*fields, value, source, destination)


def ip_packets(datagram: Datagram, mtu: int) -> Iterator[bytes]:
    """It as one IP packet, or as fragments of at most `mtu` bytes."""
    source, destination, protocol, payload, hops, identification, *_ = datagram
    is_v6 = len(source) == 16
    header = IPV6_HEADER if is_v6 else SHORTEST_IPV4_HEADER
    if header + len(payload) <= mtu:
        yield ip_header(source, destination, protocol, len(payload), hops) + payload
        return
    room = (mtu - header - (FRAGMENT_HEADER.size if is_v6 else 0)) // FRAGMENT_UNIT * FRAGMENT_UNIT
    for offset in range(0, len(payload), room):
        part = payload[offset:offset + room]
        more = offset + room < len(payload)
        if is_v6:
            part = FRAGMENT_HEADER.pack(protocol, offset | more, identification) + part
            yield ip_header(source, destination, FRAGMENT, len(part), hops) + part
        else:
            place = offset // FRAGMENT_UNIT | (MORE_FRAGMENTS if more else 0)
            yield ip_header(source, destination, protocol, len(part), hops, identification & 0xFFFF, place) + part


def pseudo_sum(source: bytes, destination: bytes, protocol: int, size: int) -> int:
    """The sum of 16-bit words of the pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1)."""
    return (int.from_bytes(source, "big") + int.from_bytes(destination, "big") + protocol + size) % 0xFFFF


def transport_checksum(source: bytes, destination: bytes, protocol: int, segment: bytes) -> int:
    """Of a TCP, UDP or ICMPv6 packet, the place of the checksum being 0 in it."""
    return checksum(segment, pseudo_sum(source, destination, protocol, len(segment)))


# --- ICMP ------------------------------------------------------------------------------------------------------------

class Unreachable(NamedTuple):
    """Types and codes of the message that something is not reachable: in ICMP, and in ICMPv6."""

    v4: tuple[int, int]
    v6: tuple[int, int]


NO_NETWORK = Unreachable((3, 0), (1, 0))
NO_HOST = Unreachable((3, 1), (1, 3))
NO_PORT = Unreachable((3, 3), (1, 4))
PROHIBITED = Unreachable((3, 13), (1, 1))

MOST_QUOTED = 548                           # of the packet that could not be delivered: 576 for IPv4, with headers


def icmp_message(source: bytes, destination: bytes, kind: int, code: int, rest: bytes) -> bytes:
    """With its checksum, which in ICMPv6 is over a pseudo header, too."""
    message = bytes((kind, code, 0, 0)) + rest
    value = (transport_checksum(source, destination, ICMPV6, message) if len(source) == 16 else checksum(message))
    return message[:2] + value.to_bytes(2, "big") + message[4:]


def unreachable(why: Unreachable, sender: bytes, lost: bytes) -> Datagram:
    """The message to whoever sent `lost`, an IP packet, that it cannot be delivered."""
    is_v6 = lost[0] >> 4 == 6
    destination = lost[8:24] if is_v6 else lost[12:16]
    kind, code = why.v6 if is_v6 else why.v4
    message = icmp_message(sender, destination, kind, code, bytes(4) + lost[:MOST_QUOTED])
    return Datagram(sender, destination, ICMPV6 if is_v6 else ICMP, message)




def whole_packet(datagram: Datagram) -> bytes:
    """It as a packet of the network that sent it, as far as messages about it quote that."""
    header = ip_header(datagram.source, datagram.destination, datagram.protocol, len(datagram.payload), datagram.hops)
    return header + datagram.payload[:MOST_QUOTED]


def is_group(address: bytes) -> bool:
    """Whether more than one may be meant by it: a multicast address, or everybody."""
    return address[0] == 0xFF or len(address) == 4 and address[0] >= 0xE0
