"""Virtio network device (virtio 1.2, section 5.1): queue 0 receives, queue 1 transmits."""

import struct
from decimal import Decimal

import pytest
from scapy.utils import rdpcap

from tests.devices.conftest import outside
from tests.devices.virtio_driver import (
    CONFIG,
    CONFIG_GENERATION,
    F_VERSION_1,
    NEEDS_RESET,
    RAM,
    STATUS,
    WRITE,
    Driver,
)
from vm.devices.virtio import Network
from vm.errors import ConfigurationError
from vm.inputs import Inputs
from vm.net import Link, Offload, Packet

F_CSUM, F_GUEST_CSUM, F_MTU, F_MAC, F_GUEST_TSO4, F_MRG_RXBUF, F_STATUS = (1 << bit for bit in (0, 1, 3, 5, 7, 15, 16))
NEEDS_CSUM, DATA_VALID = 1, 2
TCPV4 = 1
FRAME = bytes.fromhex("525400123456 525400000002 9000") + bytes(range(46))


class Wire(Link):
    """Keeps what the guest sends."""

    def __init__(self):
        self.sent = []

    def send(self, packet):
        self.sent.append(packet)


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def card(wire):
    return plugged(Network(wire))


def plugged(card):
    """A card as a machine has it."""
    inputs = Inputs()
    card.plug_in(inputs)
    card.connect_outside(outside(card.accept, inputs=inputs))
    return card


@pytest.fixture
def driver(board, card):
    return Driver(board, card).start(features=F_MAC | F_STATUS | F_MTU, queues=2)


def header(flags=0, kind=0, header_size=0, segment=0, start=0, offset=0, buffers=None):
    fields = struct.pack("<BBHHHH", flags, kind, header_size, segment, start, offset)
    return fields + (b"" if buffers is None else struct.pack("<H", buffers))


def offered(driver, *sizes):
    """Buffers for frames, one descriptor each: their addresses."""
    buffers = [driver.place(bytes(size)) for size in sizes]
    for buffer in buffers:
        driver.queues[0].offer([(*buffer, WRITE)])
    driver.notify(0)
    return [address for address, _ in buffers]


def sends(driver, *parts):
    driver.queues[1].offer([(*driver.place(part), 0) for part in parts])
    driver.notify(1)


def test_a_frame_is_sent(driver, wire):
    sends(driver, header(buffers=0), FRAME)
    assert wire.sent == [Packet(FRAME)]
    assert driver.queues[1].completed() == [(0, 0)]
    assert driver.acknowledge() == 1


def test_a_frame_in_pieces_with_its_header(driver, wire):
    """2.7.4: how a message is laid out in descriptors is the driver's choice."""
    message = header(buffers=0) + FRAME
    sends(driver, message[:5], message[5:20], message[20:])
    assert wire.sent == [Packet(FRAME)]


def test_what_is_left_to_do_goes_along(driver, wire):
    sends(driver, header(NEEDS_CSUM, TCPV4, 54, 1448, 34, 16, buffers=0) + FRAME)
    assert wire.sent == [Packet(FRAME, Offload(NEEDS_CSUM, TCPV4, 54, 1448, 34, 16))]


def test_a_frame_is_received(driver, card):
    address, = offered(driver, 2000)
    card.take_frame(Packet(FRAME))
    assert driver.queues[0].completed() == [(0, 12 + len(FRAME))]
    assert driver.memory.read(address, 12 + len(FRAME)) == header(buffers=1) + FRAME
    assert driver.acknowledge() == 1


def test_the_header_of_a_legacy_driver_has_no_count(board, wire):
    card = Network(wire)
    card.legacy = True
    card.plug_in(Inputs())
    assert card._header_size == 10
    driver = Driver(board, card)
    driver.set(0x28, 4096)
    driver.set(STATUS, 1)
    driver.set(STATUS, 3)
    driver.set(0x20, F_MRG_RXBUF)
    assert card._header_size == 12


def test_a_frame_waits_for_a_buffer(driver, card):
    card.take_frame(Packet(FRAME))
    card.take_frame(Packet(FRAME[::-1]))
    first, second = offered(driver, 2000, 2000)
    assert driver.queues[0].completed() == [(0, 12 + len(FRAME)), (1, 12 + len(FRAME))]
    assert driver.memory.read(first + 12, len(FRAME)) == FRAME
    assert driver.memory.read(second + 12, len(FRAME)) == FRAME[::-1]


def test_more_frames_than_there_is_room_for_are_lost(driver, card):
    for _ in range(1030):
        card.take_frame(Packet(FRAME))
    assert len(card.waiting) == 1024
    assert card.dropped == 6


def test_frames_without_a_driver_are_lost(board, card):
    driver = Driver(board, card)
    card.take_frame(Packet(FRAME))
    assert card.waiting == [] and card.dropped == 1
    driver.start(queues=2)
    card.take_frame(Packet(FRAME))
    assert len(card.waiting) == 1


def test_one_frame_in_merged_buffers(board, card):
    driver = Driver(board, card).start(features=F_MRG_RXBUF, queues=2)
    frame = FRAME[:14] + bytes(range(256)) * 5
    card.take_frame(Packet(frame))
    first, second = offered(driver, 600, 600)
    assert driver.queues[0].completed() == []           # too few: none is used up
    third, = offered(driver, 600)
    assert driver.queues[0].completed() == [(0, 600), (1, 600), (2, 12 + len(frame) - 1200)]
    message = b"".join(driver.memory.read(address, 600) for address in (first, second, third))
    assert message[:12 + len(frame)] == header(buffers=3) + frame


def test_a_frame_that_fits_no_ring_is_dropped(board, card):
    driver = Driver(board, card).start(features=F_MRG_RXBUF, queues=2, size=2)
    offered(driver, 100, 100)
    card.take_frame(Packet(FRAME[:14] + bytes(300)))
    assert card.dropped == 1 and card.waiting == []
    card.take_frame(Packet(FRAME))
    assert driver.queues[0].completed() == [(0, 12 + len(FRAME))]


def test_a_buffer_too_small_without_merging(driver, card):
    """The frame is lost, the buffer serves the next one."""
    offered(driver, 100)
    card.take_frame(Packet(FRAME[:14] + bytes(300)))
    assert driver.queues[0].completed() == [] and card.dropped == 1
    card.take_frame(Packet(FRAME))
    assert driver.queues[0].completed() == [(0, 12 + len(FRAME))]


@pytest.mark.parametrize("queue, segments", [
    (0, [(RAM + 0x6_0000, 8, WRITE)]), (0, [(RAM + 0x6_0000, 100, 0)]), (1, [(RAM + 0x6_0000, 11, 0)]),
])
def test_a_buffer_without_room_for_a_header_needs_a_reset(driver, card, queue, segments):
    driver.queues[queue].offer(segments)
    driver.notify(queue)
    card.take_frame(Packet(FRAME))
    assert driver.get(STATUS) & NEEDS_RESET


@pytest.mark.parametrize("size", [0, 13, 65550, 1 << 20])
def test_what_is_no_frame_is_not_sent(driver, wire, size):
    address, _ = driver.place(header(buffers=0))
    driver.queues[1].offer([(address, 12, 0), (RAM, size, 0)])
    driver.notify(1)
    assert wire.sent == [] and driver.queues[1].completed() == [(0, 0)]
    sends(driver, header(buffers=0), FRAME)
    assert wire.sent == [Packet(FRAME)]


def test_what_the_driver_does_not_take_on_is_done(driver, card):
    """A checksum is stored where the guest has not said that it does without (5.1.6.4)."""
    address, = offered(driver, 2000)
    card.take_frame(Packet(FRAME, Offload(NEEDS_CSUM, checksum_start=14, checksum_offset=0)))
    received = driver.memory.read(address, 12 + len(FRAME))
    words = struct.unpack(">23H", FRAME[14:])
    total = sum(words)
    folded = (total & 0xFFFF) + (total >> 16)
    assert received[:12] == header(buffers=1)
    assert received[26:28] == (~folded & 0xFFFF).to_bytes(2, "big")


def test_checksums_are_left_to_a_driver_that_takes_them_on(board, card):
    driver = Driver(board, card).start(features=F_GUEST_CSUM, queues=2)
    address, = offered(driver, 2000)
    card.take_frame(Packet(FRAME, Offload(NEEDS_CSUM, checksum_start=14, checksum_offset=6)))
    assert driver.memory.read(address, 12) == header(NEEDS_CSUM, start=14, offset=6, buffers=1)


def test_configuration(board, wire):
    card = Network(wire, mac=0x02_00_00_00_00_07, mtu=9000)
    driver = Driver(board, card)
    wanted = F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_GUEST_TSO4 | F_MRG_RXBUF | F_STATUS | F_VERSION_1
    assert driver.offered_features() & wanted == wanted
    assert card.config() == bytes.fromhex("020000000007 0100 0100 2823")
    assert driver.get(CONFIG + 10, 2) == 9000


def test_a_pulled_cable(driver, card, wire):
    generation = driver.get(CONFIG_GENERATION)
    card.set_link(False)
    assert driver.get(CONFIG + 6, 2) == 0 and driver.get(CONFIG_GENERATION) != generation
    assert driver.acknowledge() == 2
    card.take_frame(Packet(FRAME))
    sends(driver, header(buffers=0), FRAME)
    assert wire.sent == [] and card.dropped == 1
    card.set_link(True)
    sends(driver, header(buffers=0), FRAME)
    assert len(wire.sent) == 1


def test_state_keeps_waiting_frames(board, driver, card):
    packet = Packet(FRAME, Offload(DATA_VALID))
    card.take_frame(packet)
    saved = driver.device.save()
    twin = board.connect(Network())
    twin.load(saved)
    assert twin.save() == saved


@pytest.mark.parametrize("arguments, text", [
    ({"mac": 0x0100_0000_0000}, "mac=0x10000000000"), ({"mac": 1 << 48}, "48 bits"), ({"mac": 0}, "mac=0x0"),
    ({"mtu": 67}, "mtu=67"), ({"mtu": 65536}, "mtu=65536"),
])
def test_bad_arguments(arguments, text):
    with pytest.raises(ConfigurationError, match=text):
        Network(**arguments)


def test_one_device_a_link(wire, card):
    with pytest.raises(ConfigurationError, match="one of its own"):
        Network(wire).plug_in(Inputs())
    card.link.unplug()
    Network(wire).plug_in(Inputs())


def test_a_fork_has_another_address():
    card = Network()
    card.renew(0x1234_5678_9ABC_DEF0)
    assert card.mac == 0x5254_00BC_DEF0 | 0x0200_0000_0000


def test_a_capture_has_both_directions_in_the_guest_s_time(board, wire, tmp_path):
    """Scapy reads it."""
    path = tmp_path / "frames.pcap"
    card = plugged(Network(wire, pcap=path))
    driver = Driver(board, card).start(features=F_MAC, queues=2)
    offered(driver, 2000)
    board.clock.ns = 5_000_000_001
    sends(driver, header(buffers=0), FRAME)
    board.clock.ns = 6_500_000_002
    card.take_frame(Packet(FRAME[::-1]))
    read = rdpcap(str(path))                # whole before it is closed
    assert [bytes(packet) for packet in read] == [FRAME, FRAME[::-1]]
    assert [packet.time for packet in read] == [Decimal("5.000000001"), Decimal("6.500000002")]
    card.close()


def test_a_capture_that_cannot_be_written(tmp_path):
    with pytest.raises(ConfigurationError, match="frames.pcap: the capture cannot be written"):
        Network(pcap=tmp_path / "no" / "frames.pcap")


def test_a_full_disk_ends_the_capture_and_nothing_else(board, wire, caplog):
    card = plugged(Network(wire, pcap="/dev/full"))
    sends(Driver(board, card).start(features=F_MAC, queues=2), header(buffers=0), FRAME)
    assert wire.sent == [Packet(FRAME)] and "/dev/full: the capture ends" in caplog.text
    card.close()
