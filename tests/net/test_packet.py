"""What is left to do to a frame, and doing it. The oracle is scapy, which builds the same packets field by field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from vm.errors import MalformedPacket
from vm.net.packet import (
    NEEDS_CHECKSUM,
    TCP_OVER_IPV4,
    TCP_OVER_IPV6,
    WITH_ECN,
    Offload,
    Packet,
    checksum,
    finished,
    unpacked,
)

ETHERNET = Ether(dst="52:54:00:12:34:56", src="52:54:00:00:00:02")
OVER = {4: IP(src="10.0.2.2", dst="10.0.2.15", id=7, ttl=64), 6: IPv6(src="fec0::2", dst="fec0::15")}


@given(st.binary(max_size=80))
def test_checksum(data):
    assert checksum(data) == scapy_checksum(data)


@pytest.mark.parametrize("data, value", [(b"", 0xFFFF), (bytes(9), 0xFFFF), (b"\xFF\xFF", 0), (b"\xFF\xFE\0\1", 0)])
def test_checksum_of_zero_in_both_forms(data, value):
    assert checksum(data) == value


@pytest.mark.parametrize("transport", [UDP(sport=1, dport=2), TCP(sport=1, dport=2, seq=3, flags="A")])
@pytest.mark.parametrize("version", [4, 6])
def test_a_checksum_is_stored(version, transport):
    """The driver has put the sum of the pseudo header in its place."""
    whole = bytes(ETHERNET / OVER[version] / transport / Raw(b"payload"))
    start = 14 + (20 if version == 4 else 40)
    place = start + (6 if isinstance(transport, UDP) else 16)
    addresses = whole[start - 8:start] if version == 4 else whole[22:54]
    size = len(whole) - start
    protocol = 6 if isinstance(transport, TCP) else 17
    pseudo = checksum(addresses + size.to_bytes(4, "big") + bytes((0, protocol))) ^ 0xFFFF
    partial = whole[:place] + pseudo.to_bytes(2, "big") + whole[place + 2:]
    assert list(finished(Packet(partial, Offload(NEEDS_CHECKSUM, 0, 0, 0, start, place - start)))) == [whole]


@pytest.mark.parametrize("options", [[], [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]])
@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("version, size", [(4, 3000), (4, 1448), (4, 1), (6, 3000), (6, 2896)])
def test_segments(version, size, tagged, options):
    ethernet = ETHERNET / Dot1Q(vlan=5) if tagged else ETHERNET
    payload = bytes(index % 251 for index in range(size))

    def tcp(sequence, flags):
        return TCP(sport=80, dport=4000, seq=sequence, ack=9, flags=flags, window=100, options=options)

    sent = bytes(ethernet / OVER[version] / tcp(0xFFFF_FF00, "FPAC") / Raw(payload))
    expected = []
    for number, start in enumerate(range(0, size, 1448)):
        network = OVER[version].copy()
        if version == 4:
            network.id = 7 + number
        flags = "A" + ("C" if start == 0 else "") + ("FP" if start + 1448 >= size else "")
        segment = tcp(0xFFFF_FF00 + start & 0xFFFF_FFFF, flags)
        expected.append(bytes(ethernet / network / segment / Raw(payload[start:start + 1448])))
    kind = (TCP_OVER_IPV4 if version == 4 else TCP_OVER_IPV6) | WITH_ECN
    assert list(finished(Packet(sent, Offload(NEEDS_CHECKSUM, kind, 0, 1448)))) == expected


def test_nothing_left_to_do():
    assert list(finished(Packet(b"frame"))) == [b"frame"]


TCP4 = bytes(ETHERNET / OVER[4] / TCP() / Raw(b"payload"))


@pytest.mark.parametrize("frame, offload", [
    (TCP4, Offload(NEEDS_CHECKSUM, 0, 0, 0, 13, 0)), (TCP4, Offload(NEEDS_CHECKSUM, 0, 0, 0, 34, len(TCP4))),
    (TCP4, Offload(NEEDS_CHECKSUM, 0, 0, 0, 0xFFFF, 0xFFFF)), (TCP4, Offload(0, TCP_OVER_IPV4, 0, 255)),
    (TCP4, Offload(0, TCP_OVER_IPV6, 0, 1000)), (TCP4, Offload(0, 3, 0, 1000)),
    (TCP4[:40], Offload(0, TCP_OVER_IPV4, 0, 1000)),
    (TCP4[:54], Offload(0, TCP_OVER_IPV4, 0, 1000)), (TCP4[:14], Offload(0, TCP_OVER_IPV4, 0, 1000)),
    (TCP4[:14] + b"\x41" + TCP4[15:], Offload(0, TCP_OVER_IPV4, 0, 1000)),
    (TCP4[:46] + b"\xF0" + TCP4[47:], Offload(0, TCP_OVER_IPV4, 0, 1000)),
    (TCP4[:46] + b"\x10" + TCP4[47:], Offload(0, TCP_OVER_IPV4, 0, 1000)),
])
def test_what_cannot_be_done(frame, offload):
    with pytest.raises(MalformedPacket):
        list(finished(Packet(frame, offload)))


@given(st.binary(min_size=14, max_size=200), st.tuples(*[st.integers(0, 255)] * 2, *[st.integers(0, 300)] * 4))
def test_anything_is_finished_or_refused(frame, fields):
    packet = Packet(frame, Offload(*fields))
    assert unpacked(packet.pack()) == packet
    try:
        pieces = list(finished(packet))
    except MalformedPacket:
        return
    assert pieces and all(len(piece) >= 14 for piece in pieces)
