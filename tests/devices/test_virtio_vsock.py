"""Virtio socket device (virtio 1.2, section 5.10): queue 0 receives, queue 1 transmits, queue 2 is for events."""

import random
import socket
import struct

import pytest

from tests.devices.virtio_driver import (
    CONFIG,
    DEVICE_ID,
    NEEDS_RESET,
    QUEUE_DRIVER,
    QUEUE_READY,
    QUEUE_SEL,
    STATUS,
    WRITE,
    Driver,
)
from tests.devices.vsock_driver import (
    CREDIT_REQUEST,
    CREDIT_UPDATE,
    GUEST,
    HEADER,
    HOST,
    PAUSE_NS,
    REQUEST,
    RESPONSE,
    ROOM,
    RST,
    RW,
    SEQPACKET,
    SHUTDOWN,
    TX_AREA,
    Guest,
)
from vm.devices.virtio import Vsock
from vm.errors import ConfigurationError, ExpectStopped, ExpectTimeout
from vm.stop import Stop, StopReason

BUFFER = 256 << 10                  # what the host has room for


@pytest.fixture
def guest(board):
    return Guest(board)


def ops(packets):
    return [packet.op for packet in packets]


def test_id_and_address(board):
    driver = Driver(board, Vsock(cid=77))
    assert driver.get(DEVICE_ID) == 19
    assert driver.get(CONFIG) | driver.get(CONFIG + 4) << 32 == 77
    assert driver.offered_features() & 1                # F_STREAM


@pytest.mark.parametrize("cid", [-1, 0, 2, 0xFFFF_FFFF, "3"])
def test_addresses_that_no_guest_can_have(cid):
    with pytest.raises(ConfigurationError, match="the address of a guest"):
        Vsock(cid)


# --- The host connects ------------------------------------------------------------------------------------------------

def test_the_host_connects(guest):
    connection = guest.opened(1024)
    assert (connection.port, connection.local_port) == (1024, 0x4000_0000)
    assert guest.opened(1024).local_port == 0x4000_0001
    assert len(guest.device.connections) == 2


def test_data_goes_both_ways(guest):
    connection = guest.opened()
    connection.sendall(b"to the guest")
    packet, = guest.packets()
    assert packet[:9] == (HOST, GUEST, connection.local_port, 1024, 12, 1, RW, 0, BUFFER)
    assert packet.data == b"to the guest"
    guest.send(RW, 1024, connection.local_port, b"to the host")
    assert connection.recv(6) == b"to the"
    assert connection.recv(100) == b" host"


def test_who_waits_lets_the_machine_run(guest):
    connection = guest.opened()
    guest.script.append(lambda: None)
    guest.script.append(lambda: guest.send(RW, 1024, connection.local_port, b"late"))
    guest.script.append(lambda: pytest.fail("it runs on"))
    assert connection.recv(100) == b"late"


def test_exactly_so_many_bytes(guest):
    connection = guest.opened()
    guest.send(RW, 1024, connection.local_port, b"one ")
    guest.script.append(lambda: guest.send(RW, 1024, connection.local_port, b"two three"))
    assert connection.recv_exactly(7) == b"one two"
    guest.send(SHUTDOWN, 1024, connection.local_port, flags=2)
    with pytest.raises(EOFError, match="port 1024 of the guest ended after 6 of 7 bytes"):
        connection.recv_exactly(7)


def test_nobody_listens(guest):
    def refuse():
        packet, = guest.packets()
        guest.send(RST, 1024, packet.source_port)
    guest.script.append(refuse)
    with pytest.raises(ConnectionRefusedError, match="port 1024 of the guest: .*nobody listens there"):
        guest.device.connect_to(1024)
    assert guest.device.connections_state == []


def test_no_driver(board):
    device = board.connect(Vsock())
    with pytest.raises(ConnectionRefusedError, match="no driver runs"):
        device.connect_to(1024)


def test_a_device_of_no_machine(board):
    device = Vsock()
    Driver(board, device).start(queues=3)
    with pytest.raises(ConfigurationError, match="the Vsock is not attached to a machine"):
        device.connect_to(1024)


@pytest.mark.parametrize("stop, error", [
    (StopReason.DEADLINE, (ExpectTimeout, "did not answer in 3 seconds of its time")),
    (StopReason.TIMEOUT, (ExpectTimeout, "did not answer in 4 seconds of the host")),
    (StopReason.IDLE, (ExpectTimeout, "did not answer: it waits")),
    (StopReason.POWER_OFF, (ExpectStopped, "stopped with power-off before it answered")),
])
def test_no_answer(guest, stop, error):
    """The connection is given up, and the guest hears of that."""
    guest.run = lambda seconds, timeout: Stop(stop, 0, 0, 0)
    guest.device.connect_outside(guest.device._outside._replace(run=guest.run))
    with pytest.raises(error[0], match=error[1]):
        guest.device.connect_to(1024, seconds=3, timeout=4)
    assert ops(guest.packets()) == [REQUEST, RST]
    assert guest.device.connections_state == []


@pytest.mark.parametrize("port", [-1, 0xFFFF_FFFF, "1024"])
def test_what_is_no_port(guest, port):
    for method in (guest.device.connect_to, guest.device.listen):
        with pytest.raises(ConfigurationError, match="a number from 0 to"):
            method(port)


def test_as_many_connections_as_there_may_be(guest):
    connections = [guest.opened(port) for port in range(256)]
    with pytest.raises(ConfigurationError, match="there are 256 connections to the guest"):
        guest.device.connect_to(256)
    connections[7].close()
    guest.packets()
    guest.send(RST, 7, connections[7].local_port)
    assert guest.opened(256).port == 256


# --- The guest connects -----------------------------------------------------------------------------------------------

def test_the_guest_connects(guest):
    with guest.device.listen(5000) as listener:
        guest.send(REQUEST, 900, 5000)
        packet, = guest.packets()
        assert (packet.op, packet.source_port, packet.target_port) == (RESPONSE, 5000, 900)
        guest.send(RW, 900, 5000, b"hello")
        connection = listener.accept()
        assert (connection.port, connection.local_port, connection.recv(100)) == (900, 5000, b"hello")


def test_connections_are_accepted_in_their_order(guest):
    listener = guest.device.listen(5000)
    for port in (901, 902, 903):
        guest.send(REQUEST, port, 5000)
    assert [listener.accept().port for _ in range(3)] == [901, 902, 903]
    with pytest.raises(ExpectTimeout, match="nobody in the guest connected to port 5000 in 60 seconds"):
        listener.accept()


def test_where_nobody_listens_the_guest_is_refused(guest):
    guest.send(REQUEST, 900, 5000)
    guest.device.listen(5000).close()
    guest.send(REQUEST, 901, 5000)
    assert [(packet.op, packet.source_port, packet.target_port) for packet in guest.packets()] == [
        (RST, 5000, 900), (RST, 5000, 901)]


def test_a_port_is_listened_to_once(guest):
    listener = guest.device.listen(5000)
    with pytest.raises(ConfigurationError, match="somebody listens there already"):
        guest.device.listen(5000)
    listener.close()
    with pytest.raises(ConfigurationError, match="this listener is closed"):
        listener.accept()
    guest.device.listen(5000)


def test_a_listener_that_closes_resets_who_waits(guest):
    listener = guest.device.listen(5000)
    guest.send(REQUEST, 900, 5000)
    listener.close()
    assert ops(guest.packets()) == [RESPONSE, RST]
    assert guest.device.connections_state == []


def test_so_many_connections_wait(guest):
    guest.device.listen(5000)
    for port in range(130):
        guest.send(REQUEST, port, 5000)
        guest.packets()
    assert len(guest.device.waiting(5000)) == 128


def test_those_that_end_before_they_are_accepted_take_no_room(guest):
    guest.device.listen(5000)
    for port in range(300):
        guest.send(REQUEST, port, 5000)
        guest.send(SHUTDOWN, port, 5000, flags=3)
        assert ops(guest.packets()) == [RESPONSE, RST]
    assert guest.device.connections_state == []


def test_who_listens_hears_of_a_guest_that_begins_anew(guest):
    listener = guest.device.listen(5000)
    guest.send(REQUEST, 900, 5000)
    connection = listener.accept()
    guest.driver.set(STATUS, 0)
    with pytest.raises(ConnectionResetError, match="the guest's driver has reset its device"):
        connection.recv(1)
    assert guest.device.listening == [5000] and guest.device.connections == []


# --- Ends -------------------------------------------------------------------------------------------------------------

def test_the_guest_sends_no_more(guest):
    connection = guest.opened()
    guest.send(RW, 1024, connection.local_port, b"last")
    guest.send(SHUTDOWN, 1024, connection.local_port, flags=2)
    assert [connection.recv(100) for _ in range(3)] == [b"last", b"", b""]
    connection.sendall(b"still heard")
    assert guest.packets()[0].data == b"still heard"


def test_the_guest_reads_no_more(guest):
    connection = guest.opened()
    guest.send(SHUTDOWN, 1024, connection.local_port, flags=1)
    with pytest.raises(BrokenPipeError, match="it reads no more"):
        connection.sendall(b"x")


def test_the_guest_closes(guest):
    """A clean end is answered by RST (5.10.6.5); what came before is read."""
    connection = guest.opened()
    guest.send(RW, 1024, connection.local_port, b"last")
    guest.send(SHUTDOWN, 1024, connection.local_port, flags=1)
    guest.send(SHUTDOWN, 1024, connection.local_port, flags=2)      # hints are permanent: that is both
    assert ops(guest.packets()) == [RST]
    assert [connection.recv(100) for _ in range(2)] == [b"last", b""]
    with pytest.raises(BrokenPipeError):
        connection.send(b"x")
    connection.close()
    assert guest.device.connections_state == []


def test_the_host_sends_no_more(guest):
    connection = guest.opened(room=4)
    connection.sendall(b"12345")
    connection.shutdown()
    assert ops(guest.packets()) == [RW]                 # the rest comes first
    guest.send(CREDIT_UPDATE, 1024, connection.local_port, taken=4)
    assert [(packet.op, packet.flags, packet.data) for packet in guest.packets()] == [(RW, 0, b"5"), (SHUTDOWN, 2, b"")]
    with pytest.raises(BrokenPipeError, match="this end was shut for sending"):
        connection.sendall(b"x")
    guest.send(RW, 1024, connection.local_port, b"answer")
    assert connection.recv(100) == b"answer"


def test_the_host_closes(guest):
    connection = guest.opened()
    connection.sendall(b"last")
    connection.close()
    connection.close()
    assert [(packet.op, packet.flags) for packet in guest.packets()] == [(RW, 0), (SHUTDOWN, 3)]
    guest.send(RW, 1024, connection.local_port, b"for nobody")
    guest.send(RST, 1024, connection.local_port)
    assert guest.packets() == [] and guest.device.connections_state == []
    with pytest.raises(ConfigurationError, match="this connection is closed"):
        connection.recv(1)


def test_an_end_that_is_not_answered_is_a_reset(board, guest):
    """Within an implementation-specific time (5.10.6.5): Linux has 8 seconds."""
    connection = guest.opened()
    connection.close()
    assert ops(guest.packets()) == [SHUTDOWN]
    board.advance(ns=8 * 10**9 - 1)
    assert guest.packets() == []
    board.advance(ns=1)
    assert ops(guest.packets()) == [RST]
    assert guest.device.connections_state == []


def test_an_end_that_is_answered_leaves_no_event(board, guest):
    connection = guest.opened()
    connection.close()
    guest.send(RST, 1024, connection.local_port)
    assert board.events.queue == []


def test_the_guest_resets(guest):
    connection = guest.opened()
    guest.send(RW, 1024, connection.local_port, b"last")
    guest.send(RST, 1024, connection.local_port)
    assert connection.recv(100) == b"last"
    for use in (lambda: connection.recv(1), lambda: connection.sendall(b"x"), connection.shutdown):
        with pytest.raises(ConnectionResetError, match="the guest has reset the connection"):
            use()


@pytest.mark.parametrize("how", [5, "wr", None])
def test_what_is_no_way_to_shut_down(guest, how):
    with pytest.raises(ConfigurationError, match=r"socket.SHUT_WR"):
        guest.opened().shutdown(how)


def test_the_host_reads_no_more(guest):
    """What comes all the same is for nobody, and costs the guest no credit."""
    connection = guest.opened()
    connection.shutdown(socket.SHUT_RD)
    assert [(packet.op, packet.flags) for packet in guest.packets()] == [(SHUTDOWN, 1)]
    for _ in range(300):
        guest.send(RW, 1024, connection.local_port, bytes(4096))
    assert guest.packets()[-1].op == CREDIT_UPDATE
    assert connection.recv(1) == b""


# --- Credit (5.10.6.3) ------------------------------------------------------------------------------------------------

def test_the_host_sends_no_more_than_there_is_room_for(guest):
    connection = guest.opened(room=10)
    connection.sendall(b"0123456789abcdef")
    assert [packet.data for packet in guest.packets()] == [b"0123456789"]
    guest.send(CREDIT_UPDATE, 1024, connection.local_port, room=10, taken=4)
    assert [packet.data for packet in guest.packets()] == [b"abcd"]
    guest.send(CREDIT_UPDATE, 1024, connection.local_port, room=10, taken=14)
    assert [packet.data for packet in guest.packets()] == [b"ef"]


def test_who_sends_more_waits_for_room(guest):
    connection = guest.opened(room=0)
    assert connection.send(bytes(BUFFER + 1)) == BUFFER
    assert not connection.writable and connection.send(b"x") == 0
    guest.script.append(lambda: guest.send(CREDIT_UPDATE, 1024, connection.local_port, room=100))
    connection.sendall(b"x")
    with pytest.raises(ExpectTimeout, match="port 1024 of the guest did not read"):
        connection.sendall(bytes(200))


def test_the_guest_hears_of_room_when_much_was_read(guest):
    connection = guest.opened()
    for _ in range(BUFFER // 4096):
        guest.send(RW, 1024, connection.local_port, bytes(4096))
    assert guest.packets() == []
    while guest.device.connections_state[0][6]:         # what has come
        connection.recv(1000)
    updates = guest.packets()
    assert {packet.op for packet in updates} == {CREDIT_UPDATE} and len(updates) == 3
    assert updates[0].room == BUFFER and BUFFER // 4 <= updates[0].taken < BUFFER // 4 + 1000


def test_credit_is_told_when_it_is_asked_for(guest):
    connection = guest.opened()
    guest.send(RW, 1024, connection.local_port, b"12345")
    connection.recv(3)
    guest.send(CREDIT_REQUEST, 1024, connection.local_port)
    assert [(packet.op, packet.room, packet.taken) for packet in guest.packets()] == [(CREDIT_UPDATE, BUFFER, 3)]


def test_a_guest_that_sends_more_than_there_is_room_for_is_reset(guest):
    connection = guest.opened()
    for _ in range(BUFFER // 8192):
        guest.send(RW, 1024, connection.local_port, bytes(8192))
    guest.send(RW, 1024, connection.local_port, b"x")
    assert ops(guest.packets()) == [RST]
    assert len(connection.recv(1 << 20)) == BUFFER
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_counts_wrap(guest):
    """They are modulo 2**32."""
    connection = guest.opened()
    stream = connection._stream
    stream.sent = stream.guest_taken = stream.received = stream.taken = stream.taken_told = (1 << 32) - 5
    connection.sendall(b"0123456789")
    guest.send(RW, 1024, connection.local_port, b"0123456789", taken=(1 << 32) - 5)
    assert connection.recv(100) == b"0123456789"
    connection.sendall(b"more")
    assert [packet.data for packet in guest.packets()] == [b"0123456789", b"more"]
    assert (stream.sent, stream.taken) == (9, 5)


def test_one_connection_does_not_starve_another(guest):
    first, second = guest.opened(), guest.opened()
    first.sendall(bytes(60_000))
    second.sendall(b"short")
    ports = [packet.source_port for _ in range(4) for packet in guest.packets()]
    assert second.local_port in ports[:10] and ports.count(first.local_port) > 10


# --- What nobody should send ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("op", [0, RESPONSE, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST, 8, 0xFFFF])
def test_a_packet_of_no_connection_is_answered_by_a_reset(guest, op):
    guest.send(op, 900, 5000, flags=3)
    assert [(packet.op, packet.source_port, packet.target_port) for packet in guest.packets()] == [(RST, 5000, 900)]


def test_a_reset_of_no_connection_is_not_answered(guest):
    guest.send(RST, 900, 5000)
    assert guest.packets() == []


def test_an_unknown_type_is_answered_by_a_reset_of_that_type(guest):
    """5.10.6.4: a driver or device must."""
    guest.device.listen(5000)
    guest.send(REQUEST, 900, 5000, kind=SEQPACKET)
    guest.send(REQUEST, 900, 5000, kind=0xBEEF)
    assert [(packet.op, packet.type) for packet in guest.packets()] == [(RST, SEQPACKET), (RST, 0xBEEF)]


@pytest.mark.parametrize("addresses", [{"source": 4}, {"target": 3}, {"target": 1}, {"source": 3 | 1 << 32}])
def test_packets_of_others_are_dropped(guest, addresses):
    guest.device.listen(5000)
    guest.send(REQUEST, 900, 5000, **addresses)
    assert guest.packets() == [] and guest.device.connections_state == []


@pytest.mark.parametrize("op", [0, REQUEST, RESPONSE, 8])
def test_what_does_not_belong_to_an_open_connection_resets_it(guest, op):
    connection = guest.opened()
    guest.send(op, 1024, connection.local_port)
    assert ops(guest.packets()) == [RST]
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


@pytest.mark.parametrize("op", [0, REQUEST, SHUTDOWN, RW, CREDIT_UPDATE])
def test_what_does_not_answer_a_request_ends_it(guest, op):
    def answer():
        packet, = guest.packets()
        guest.send(op, 1024, packet.source_port)
    guest.script.append(answer)
    with pytest.raises(ConnectionResetError):
        guest.device.connect_to(1024)
    assert ops(guest.packets()) == [RST]


def test_data_after_the_end_of_sending_resets(guest):
    connection = guest.opened()
    guest.send(SHUTDOWN, 1024, connection.local_port, flags=2)
    guest.send(RW, 1024, connection.local_port, b"x")
    assert ops(guest.packets()) == [RST]


def test_more_data_than_the_buffer_has_breaks_the_rules(guest):
    connection = guest.opened()
    guest.send(RW, 1024, connection.local_port, b"short", size=6)
    assert guest.driver.get(STATUS) & NEEDS_RESET


def test_a_packet_without_a_whole_header_breaks_the_rules(guest):
    guest.driver.queues[1].offer([(TX_AREA, HEADER.size - 1, 0)])
    guest.driver.notify(1)
    assert guest.driver.get(STATUS) & NEEDS_RESET


def test_a_buffer_without_room_for_a_header_breaks_the_rules(board):
    guest = Guest(board, buffers=0)
    guest.give(1, size=HEADER.size - 1)
    guest.send(REQUEST, 900, 5000)
    assert guest.driver.get(STATUS) & NEEDS_RESET


def test_answers_that_nobody_takes_hold_the_queue_up(board):
    """So that they do not grow (5.10.6.2); nothing is lost."""
    guest = Guest(board, buffers=0)
    for port in range(300):
        guest.send(REQUEST, port, 5000)
        if port >= 271:
            break
    assert len(guest.device.resets) == 256
    assert len(guest.driver.queues[1].completed()) == 256
    guest.give(8)
    assert len(guest.device.resets) == 256 and len(guest.driver.queues[1].completed()) == 8
    answered = guest.packets()
    while more := guest.packets():
        answered += more
        board.advance(ns=PAUSE_NS)
    assert [packet.target_port for packet in answered] == list(range(272))


def test_answers_that_make_packets_let_the_harts_go_on(board):
    """Nobody listens, and each answer is written over the rings, so that there are one more packet and one more buffer:
    the ports that it echoes are the index of both available rings, and where the next packet has its ports."""
    count = 3000
    driver = Driver(board, Vsock()).start(queues=3)
    given, sent = driver.queues[:2]
    head, ports, trash = TX_AREA, TX_AREA + 0x100, TX_AREA + 0xF000
    raw = HEADER.pack(GUEST, HOST, 0, 0, 0, 1, CREDIT_UPDATE, 0, ROOM, 0)
    board.memory.write(head, raw)
    for number in range(count):
        board.memory.write(ports + 8 * number, struct.pack("<II", ports + 8 * (number + 1), min(number + 2, count)))
    for index in (0, 1):
        driver.set(QUEUE_SEL, index)
        driver.set(QUEUE_READY, 0)
        driver.set(QUEUE_DRIVER, given.available)
        driver.set(QUEUE_READY, 1)
    sent.chain([(head, 16, 0), (ports, 8, 0), (head + 24, 20, 0)])
    given.chain([(trash, 16, WRITE), (given.available + 2, 2, WRITE), (trash, 2, WRITE),
                 (sent.descriptors + 16, 4, WRITE), (trash, 20, WRITE)])
    given.half(given.available + 2, 1)
    for _ in range(3):
        driver.notify(1)
        assert driver.device.queues[0].index == 256     # and as many packets
    board.advance(ns=PAUSE_NS)
    assert driver.device.queues[0].index == 512
    board.advance(ns=10**6)
    assert driver.device.queues[0].index == count and not driver.get(STATUS) & NEEDS_RESET
    assert board.events.queue == []


def test_a_header_in_pieces(guest):
    """2.7.4: how a message is laid out in descriptors is the driver's choice."""
    connection = guest.opened()
    message = HEADER.pack(GUEST, HOST, 1024, connection.local_port, 5, 1, RW, 0, ROOM, 0) + b"12345"
    parts = []
    for start, stop in ((0, 7), (7, 46), (46, len(message))):
        guest.memory.write(TX_AREA + start, message[start:stop])
        parts.append((TX_AREA + start, stop - start, 0))
    guest.driver.queues[1].offer(parts)
    guest.driver.notify(1)
    assert connection.recv(100) == b"12345"


@pytest.mark.parametrize("seed", range(6))
def test_a_hostile_guest_gets_answers_and_no_more(board, seed):
    """Whatever it sends, what the device keeps is bounded, and well-behaved connections go on."""
    chance = random.Random(seed)
    guest = Guest(board)
    listener = guest.device.listen(5000)
    good = guest.opened(77)
    for _ in range(1500):
        if chance.random() < 0.1:
            address, length = TX_AREA + chance.randrange(0x100), chance.choice([44, 60, 4000])
            guest.memory.write(address, chance.randbytes(length))
            guest.driver.queues[1].offer([(address, length, 0)])
            guest.driver.notify(1)
        else:
            data = chance.randbytes(chance.choice([0, 1, 4000, 8000]))
            guest.send(chance.choice([0, *range(1, 9), 300]), chance.choice([77, 900, 901, 902]),
                       chance.choice([5000, 5001, good.local_port]), data,
                       flags=chance.randrange(5), room=chance.choice([0, 1, ROOM, (1 << 32) - 1]),
                       taken=chance.choice([0, 7, (1 << 32) - 1, chance.randrange(1 << 32)]),
                       kind=chance.choice([1, 1, 1, 2, 77]))
        if chance.random() < 0.3:
            guest.packets()
        for stream in guest.device.waiting(5000)[:1]:
            with listener.accept() as connection:
                assert connection.port == stream.guest_port
        assert not guest.driver.get(STATUS) & NEEDS_RESET
        assert len(guest.device._streams) <= 256 and len(guest.device.resets) <= 512
        assert all(len(stream.incoming) <= BUFFER for stream in guest.device._streams.values())
