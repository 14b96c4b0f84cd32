"""What crosses between a network device and what it is plugged into: an Ethernet frame, and what is left to do to it.

A driver may leave checksums to the device, and the cutting of a long payload into segments (virtio 1.2, 5.1.6.2). Most
frames never leave the host, so that nobody ever does either: `Offload` goes along with the frame as the driver gave it,
and `finished` does the work where somebody needs plain frames, as a capture or another program's machine.

Addresses and ports are in the frame as on a wire, big-endian; no frame has its check sequence.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vm.errors import MalformedPacket

NEEDS_CHECKSUM, DATA_VALID = 1, 2                   # Offload.flags
NOT_SEGMENTED, TCP_OVER_IPV4, TCP_OVER_IPV6 = 0, 1, 4       # Offload.segmentation
WITH_ECN = 0x80                                     # there, too

ETHERNET_HEADER = 14
IPV4, IPV6, VLAN = 0x0800, 0x86DD, 0x8100           # EtherTypes
IPV6_HEADER = 40
TCP = 6
SHORTEST_IPV4_HEADER = SHORTEST_TCP_HEADER = 20
LARGEST = 0xFFFF + ETHERNET_HEADER                  # bytes of a frame
SMALLEST_SEGMENT = 256                              # that a frame is cut into: of smaller ones there would be too many

FIN, PUSH, CONGESTION_WINDOW_REDUCED = 0x01, 0x08, 0x80     # TCP flags


class Offload(NamedTuple):
    """What the sender has left to do; the fields of struct virtio_net_hdr, in its order.

    - flags: NEEDS_CHECKSUM: from `checksum_start` to the end, to be stored `checksum_offset` behind that. DATA_VALID:
      the sender has seen that all checksums are right.
    - segmentation: NOT_SEGMENTED, or of which protocol the payload is, to be cut to `segment_size` bytes
    - header_size: a hint, as drivers fill it in
    """

    flags: int = 0
    segmentation: int = NOT_SEGMENTED
    header_size: int = 0
    segment_size: int = 0
    checksum_start: int = 0
    checksum_offset: int = 0


NOTHING = Offload()
HEADER = struct.Struct("<BBHHHH")


class Packet(NamedTuple):
    """One frame on its way."""

    frame: bytes
    offload: Offload = NOTHING

    def pack(self) -> bytes:
        """All of it as bytes, as `unpacked` takes them."""
        return HEADER.pack(*self.offload) + self.frame


def unpacked(data: bytes) -> Packet:
    """Raises MalformedPacket for what is too short to be one, or too long."""
    refuse_size(len(data) - HEADER.size)
    return Packet(data[HEADER.size:], Offload(*HEADER.unpack_from(data)))


def refuse_size(size: int) -> None:
    """Raise MalformedPacket if no frame has so many bytes."""
    if not ETHERNET_HEADER <= size <= LARGEST:
        raise MalformedPacket(f"a frame of {size} bytes: Ethernet has from {ETHERNET_HEADER} to {LARGEST}")


def checksum(data: bytes, start: int = 0) -> int:
    """The Internet checksum (RFC 1071) of some bytes; `start` is a sum of 16-bit words to begin with."""
    if len(data) % 2:
        data += b"\0"
    # 2**16 is 1 modulo 0xFFFF, so that a number is the sum of its 16-bit digits; that of 0 and 0xFFFF is the same.
    total = (int.from_bytes(data, "big") + start) % 0xFFFF
    return 0xFFFF - total if total else 0 if any(data) or start else 0xFFFF


def finished(packet: Packet) -> Iterator[bytes]:
    """The frames that go over a wire: cut, and with their checksums. Raises MalformedPacket for what makes no sense."""
    frame, offload = packet
    if offload.segmentation & ~WITH_ECN == NOT_SEGMENTED:
        yield with_checksum(frame, offload) if offload.flags & NEEDS_CHECKSUM else frame
    else:
        yield from segments(frame, offload)


def with_checksum(frame: bytes, offload: Offload) -> bytes:
    """What stands in the checksum's place already is summed, too: drivers put the pseudo header's sum there."""
    start, place = offload.checksum_start, offload.checksum_start + offload.checksum_offset
    if not ETHERNET_HEADER <= start <= place <= len(frame) - 2:
        raise MalformedPacket(f"a checksum from {start} on, at {place}, of a frame of {len(frame)} bytes")
    return frame[:place] + (checksum(frame[start:]) or 0xFFFF).to_bytes(2, "big") + frame[place + 2:]


def segments(frame: bytes, offload: Offload) -> Iterator[bytes]:
    """The payload of a TCP segment in several, each with headers of its own (5.1.6.2.1)."""
    network = ETHERNET_HEADER + 4 * (frame[12:14] == VLAN.to_bytes(2, "big"))
    version = 4 if offload.segmentation & ~WITH_ECN == TCP_OVER_IPV4 else 6
    transport = network + (network_header_size(frame, network) if version == 4 else IPV6_HEADER)
    if len(frame) < transport + SHORTEST_TCP_HEADER or frame[network] >> 4 != version:
        raise MalformedPacket(f"TCP over IPv{version} to be segmented, in a frame that is none")
    payload = transport + 4 * (frame[transport + 12] >> 4)
    if not transport + SHORTEST_TCP_HEADER <= payload < len(frame) or offload.segment_size < SMALLEST_SEGMENT:
        raise MalformedPacket(f"a TCP header of {payload - transport} bytes, to be followed by segments of "
                              f"{offload.segment_size}, in a frame of {len(frame)}")
    number = int.from_bytes(frame[network + 4:network + 6], "big")
    sequence = int.from_bytes(frame[transport + 4:transport + 8], "big")
    flags = frame[transport + 13]
    for index, start in enumerate(range(payload, len(frame), offload.segment_size)):
        end = min(start + offload.segment_size, len(frame))
        headers = bytearray(frame[:payload])
        headers[transport + 4:transport + 8] = (sequence + start - payload & 0xFFFF_FFFF).to_bytes(4, "big")
        headers[transport + 13] = (flags & ~(CONGESTION_WINDOW_REDUCED if index else 0)
                                   & ~(FIN | PUSH if end < len(frame) else 0))
        set_lengths(headers, network, transport, end - start, number + index & 0xFFFF)
        set_tcp_checksum(headers, network, transport, frame[start:end])
        yield bytes(headers) + frame[start:end]


def network_header_size(frame: bytes, network: int) -> int:
    """Bytes of the IPv4 header there; of what is none, more than a frame has."""
    size = 4 * (frame[network] & 15) if network < len(frame) else 0
    return size if size >= SHORTEST_IPV4_HEADER else LARGEST


def set_lengths(headers: bytearray, network: int, transport: int, payload_size: int, number: int) -> None:
    """In the IP header: how much follows it; for IPv4 also which datagram it is, and its checksum."""
    size = len(headers) + payload_size
    if headers[network] >> 4 == 6:
        headers[network + 4:network + 6] = (size - transport).to_bytes(2, "big")
        return
    headers[network + 2:network + 4] = (size - network).to_bytes(2, "big")
    headers[network + 4:network + 6] = number.to_bytes(2, "big")
    headers[network + 10:network + 12] = bytes(2)
    headers[network + 10:network + 12] = checksum(bytes(headers[network:transport])).to_bytes(2, "big")


def set_tcp_checksum(headers: bytearray, network: int, transport: int, payload: bytes) -> None:
    first, last = (network + 8, network + 40) if headers[network] >> 4 == 6 else (network + 12, network + 20)
    headers[transport + 16:transport + 18] = bytes(2)
    pseudo = bytes(headers[first:last]) + struct.pack(">II", len(headers) - transport + len(payload), TCP)
    value = checksum(pseudo + bytes(headers[transport:]) + payload)
    headers[transport + 16:transport + 18] = value.to_bytes(2, "big")
