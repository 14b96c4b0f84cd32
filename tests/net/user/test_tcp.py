"""TCP of the user-mode network (RFC 9293), between a guest that scapy plays and sockets of this process."""

import resource
import socket
import struct
import threading
from functools import partial

import pytest
from scapy.layers.inet import ICMP, IP, TCP

from tests.net.user.wire import ADDRESS6, GATEWAY6, Peer, Wire
from vm.net.user import tcp

HOST = ("host",)        # the loopback addresses may be reached, by way of the gateway


@pytest.fixture
def wire():
    with Wire(allow=HOST) as wire:
        yield wire


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def impatient(monkeypatch):
    """What is not answered is soon sent again, and soon given up."""
    monkeypatch.setattr(tcp, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(tcp, "MOST_TRIES", 3)


@pytest.fixture
def port(listener):
    return listener.getsockname()[1]


@pytest.fixture
def opened(wire, listener, port):
    """A connection, and its far end."""
    peer = Peer(wire, port)
    peer.connect()
    sock, _ = listener.accept()
    sock.settimeout(20)
    with sock:
        yield peer, sock


def received(sock, wire, size):
    """So many bytes at the far end, while the network runs."""
    data = b""
    sock.setblocking(False)

    def enough():
        nonlocal data
        try:
            data += sock.recv(size)
        except BlockingIOError:
            pass
        return len(data) >= size
    wire.settle(enough)
    sock.settimeout(20)
    return data


def test_the_guest_connects_and_both_sides_talk(wire, opened):
    peer, sock = opened
    peer.send("PA", b"question")
    assert sock.recv(100) == b"question"
    answer = peer.wait()
    assert (answer.flags, answer.ack, len(answer.payload)) == ("A", peer.sequence, 0)
    sock.sendall(b"answer")
    assert peer.receive(6) == b"answer"


def test_the_offer_has_the_size_of_segments_and_scales_the_window_if_asked(wire, port):
    segment = Peer(wire, port).connect()
    assert dict(segment.options) == {"MSS": 1460}
    segment = Peer(wire, port, source_port=4001, options=[("MSS", 1000), ("WScale", 3)]).connect()
    assert dict(segment.options) == {"MSS": 1460, "NOP": None, "WScale": tcp.OUR_SCALE}


def test_over_ipv6(wire, listener, port):
    peer = Peer(wire, port, source=ADDRESS6, destination=GATEWAY6)
    assert dict(peer.connect().options) == {"MSS": 1440}
    sock, _ = listener.accept()
    with sock:
        peer.send("PA", b"six")
        assert sock.recv(10) == b"six"
        sock.sendall(bytes(5000))
        assert peer.receive(5000) == bytes(5000)


def test_nobody_listens(wire, listener, port):
    listener.close()
    peer = Peer(wire, port)
    peer.send("S")
    segment = peer.wait()
    assert (segment.flags, segment.ack) == ("RA", peer.sequence)
    assert wire.net._connections == {}


def test_nobody_answers(monkeypatch, wire):
    """The guest's own patience ends it."""
    monkeypatch.setattr(socket.socket, "connect_ex", lambda self, address: tcp.errno.ETIMEDOUT)
    Peer(wire, 80).send("S")
    assert wire.nothing_comes() and wire.net._connections == {}


@pytest.mark.parametrize("error, code", [("ENETUNREACH", 0), ("EHOSTUNREACH", 1), ("EACCES", 13)])
def test_there_is_no_way(monkeypatch, wire, error, code):
    monkeypatch.setattr(socket.socket, "connect_ex", lambda self, address: getattr(tcp.errno, error))
    Peer(wire, 80).send("S")
    packet = wire.wait()
    assert (packet[ICMP].type, packet[ICMP].code) == (3, code)
    quoted = IP(bytes(packet[ICMP].payload))
    assert (quoted.dst, quoted[TCP].dport) == ("10.0.2.2", 80)


def test_a_syn_that_is_sent_again_is_answered_again(wire, listener, port):
    peer = Peer(wire, port)
    peer.send("S")
    first = peer.wait()
    peer.sequence -= 1
    peer.send("S")
    assert bytes(peer.wait()) == bytes(first)
    peer.answer(first)
    listener.accept()[0].close()


def test_much_both_ways(wire, opened):
    peer, sock = opened
    data = bytes(index * 7 % 256 for index in range(300_000))
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    assert peer.receive(len(data)) == data
    sender.join()
    for start in range(0, len(data), 1460):
        peer.send("A", data[start:start + 1460])
    assert received(sock, wire, len(data)) == data


def test_no_more_is_sent_than_the_guest_has_room_for(wire, listener, port):
    peer = Peer(wire, port, window=3000)
    peer.connect()
    sock, _ = listener.accept()
    with sock:
        sock.sendall(bytes(10_000))
        sizes = [len(peer.wait(lambda segment: len(segment.payload)).payload) for _ in range(6)]
        assert sum(sizes) == 3000 and wire.nothing_comes()
        peer.expected += 3000
        peer.send(window=0)
        assert wire.nothing_comes()
        peer.send(window=1000)
        assert sum(len(peer.wait(lambda segment: len(segment.payload)).payload) for _ in range(2)) == 1000


def test_the_guests_window_is_scaled(wire, listener, port):
    peer = Peer(wire, port, window=1000, options=[("MSS", 1460), ("WScale", 4)])
    peer.connect()
    sock, _ = listener.accept()
    with sock:
        sock.sendall(bytes(50_000))
        total = 0
        while total < 16_000:
            total += len(peer.wait(lambda segment: len(segment.payload)).payload)
        assert total == 16_000 and wire.nothing_comes()


def test_what_the_far_end_does_not_take_closes_the_window(wire, opened):
    """And opens it again when it is taken."""
    peer, sock = opened
    sent, window = 0, None
    while window != 0:
        peer.send("A", bytes(1460))
        sent += 1460
        window = peer.wait().window
        assert sent < 1 << 26
    reader = threading.Thread(target=lambda: list(iter(partial(sock.recv, 1 << 16), b"")))
    reader.start()
    answer = peer.wait(lambda segment: segment.window > 0)
    peer.sequence = answer.ack              # behind what had no room any more
    peer.send("FA")
    wire.settle(lambda: not reader.is_alive())


@pytest.mark.parametrize("offset", [-8, -3, 5, 1 << 31])
def test_what_comes_twice_or_out_of_turn(wire, opened, offset):
    """What is known is passed over, what is behind a gap is lost; either is answered with what is expected."""
    peer, sock = opened
    peer.send("A", b"01234567")
    peer.wait()
    peer.send("A", b"abcdefgh", sequence=peer.sequence + offset & 0xFFFF_FFFF)
    new = {-8: b"", -3: b"defgh"}.get(offset, b"")
    assert peer.wait().ack == peer.sequence + len(new)
    assert received(sock, wire, 8 + len(new)) == b"01234567" + new


def test_the_guest_has_no_more_to_say(wire, opened):
    """Half of the connection goes on."""
    peer, sock = opened
    peer.send("FA", b"last words")
    assert sock.recv(100) == b"last words" and sock.recv(100) == b""
    assert peer.wait().ack == peer.sequence
    sock.sendall(b"reply")
    assert peer.receive(5) == b"reply"
    sock.close()
    end = peer.wait(lambda segment: "F" in segment.flags)
    peer.expected = end.seq + 1
    peer.send()
    assert wire.net._connections == {}


def test_the_far_end_has_no_more_to_say(wire, opened):
    peer, sock = opened
    sock.sendall(b"bye")
    sock.shutdown(socket.SHUT_WR)
    assert peer.receive(3) == b"bye"
    end = peer.wait(lambda segment: "F" in segment.flags)
    peer.expected = end.seq + 1
    peer.send("PA", b"still here")
    assert sock.recv(100) == b"still here"
    peer.send("FA")
    assert peer.wait(lambda segment: segment.ack == peer.sequence).flags == "A"
    assert sock.recv(10) == b"" and wire.net._connections == {}


def test_the_guest_resets(wire, opened):
    peer, sock = opened
    peer.send("R")
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    assert wire.net._connections == {}


def test_somebody_elses_reset_does_nothing(wire, opened):
    peer, sock = opened
    peer.send("R", sequence=peer.sequence + (1 << 30))
    peer.send("PA", b"on")
    assert sock.recv(10) == b"on"


def test_the_far_end_resets(wire, opened):
    peer, sock = opened
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert peer.wait(lambda segment: "R" in segment.flags).seq == peer.expected
    assert wire.net._connections == {}


@pytest.mark.parametrize("flags, answer", [("A", "R"), ("PA", "R"), ("F", "RA"), ("SA", "R")])
def test_segments_of_no_connection(wire, flags, answer):
    """RFC 9293, section 3.10.7.1."""
    peer = Peer(wire, 80)
    peer.expected = 77
    peer.send(flags, b"xy")
    segment = peer.wait()
    assert segment.flags == answer
    assert segment.seq == 77 if answer == "R" else segment.ack == peer.sequence
    peer.send("R")
    assert wire.nothing_comes()


def test_what_is_lost_on_the_way_to_the_guest_is_sent_again(impatient, wire, opened):
    peer, sock = opened
    sock.sendall(b"precious")
    lost = peer.wait(lambda segment: len(segment.payload))
    again = peer.wait(lambda segment: len(segment.payload))
    assert (again.seq, bytes(again.payload)) == (lost.seq, b"precious")
    peer.expected += 8
    peer.send()
    sock.shutdown(socket.SHUT_WR)
    end = peer.wait(lambda segment: "F" in segment.flags)
    assert peer.wait(lambda segment: "F" in segment.flags).seq == end.seq == peer.expected


def test_three_answers_alike_say_that_something_is_lost(wire, opened):
    peer, sock = opened
    sock.sendall(bytes(500))
    lost = peer.wait(lambda segment: len(segment.payload))
    for _ in range(2):
        peer.send()
    assert wire.nothing_comes(), wire.received
    peer.send()
    assert peer.wait().seq == lost.seq


def test_what_is_lost_together_is_sent_again_without_waiting_for_each(monkeypatch, wire, opened):
    """As it is acknowledged, one after the other, up to what was sent before the loss was seen."""
    monkeypatch.setattr(tcp, "FIRST_WAIT", 1000)
    peer, sock = opened
    lost = []
    for index in range(4):
        sock.sendall(bytes([index]) * 500)
        lost.append(peer.wait(lambda segment: len(segment.payload)).seq)
    for _ in range(3):
        peer.send()
    for sequence in lost:
        again = peer.wait(lambda segment: len(segment.payload))
        assert (again.seq, len(again.payload)) == (sequence, 500)
        peer.expected = sequence + 500
        peer.send()
    assert wire.nothing_comes(), wire.received
    sock.sendall(b"more")
    assert bytes(peer.wait(lambda segment: len(segment.payload)).payload) == b"more"
    assert wire.nothing_comes(), wire.received


def test_a_guest_that_has_gone_is_given_up(impatient, wire, opened):
    peer, sock = opened
    sock.sendall(b"anybody there?")
    assert peer.wait(lambda segment: "R" in segment.flags)
    with pytest.raises(ConnectionResetError):
        sock.recv(1)


def test_a_thousand_connections_at_once(wire, listener, port):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    listener.listen(1024)
    try:
        peers = [Peer(wire, port, source_port=10_000 + index) for index in range(1000)]
        socks = []
        for peer in peers:
            peer.connect()
            socks.append(listener.accept()[0])
        for index, sock in enumerate(socks):
            sock.sendall(str(index).encode())
        for index, peer in enumerate(peers):
            assert peer.receive(len(str(index))) == str(index).encode()
        for sock in socks:
            sock.close()
    finally:
        wire.net.unplug()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_than_the_process_has_room_for_are_refused(monkeypatch, wire, port):
    monkeypatch.setattr("vm.net.user.network.MOST_CONNECTIONS", 1)
    Peer(wire, port).connect()
    second = Peer(wire, port, source_port=4001)
    second.send("S")
    assert second.wait().flags == "RA"


def test_unplugging_ends_connections(wire, opened):
    peer, sock = opened
    wire.net.unplug()
    with pytest.raises(ConnectionResetError):
        sock.recv(1)


def test_no_more_is_kept_for_a_guest_than_a_limit(monkeypatch, wire, listener, port):
    """Whatever window it names: 64 KiB << 14 are a gigabyte."""
    monkeypatch.setattr(tcp, "MOST_UNACKNOWLEDGED", 100_000)
    peer = Peer(wire, port, options=[("MSS", 1460), ("WScale", 14)])
    peer.connect()
    sock, _ = listener.accept()
    with sock:
        sock.setblocking(False)
        sent = 0
        while wire.net._connections and sent < 1 << 20:
            try:
                sent += sock.send(bytes(1 << 16))
            except BlockingIOError:
                break
            wire.inputs.poll(0.001)
        connection = next(iter(wire.net._connections.values()))
        assert sum(map(len, connection._unacknowledged)) <= 100_000


def test_a_guest_with_tiny_segments_gets_few_at_a_time(wire, listener, port):
    peer = Peer(wire, port, options=[("MSS", 1)])
    peer.connect()
    sock, _ = listener.accept()
    with sock:
        sock.sendall(bytes(10_000))
        while not wire.received:
            wire.inputs.poll(0.01)
        assert len(wire.received) <= tcp.AT_ONCE
        assert peer.receive(100) == bytes(100)


def test_the_window_opens_again_though_it_was_rounded_to_nothing(wire, listener, port):
    peer = Peer(wire, port, options=[("MSS", 1460), ("WScale", 7)])
    peer.connect()
    sock, _ = listener.accept()
    with sock:
        connection = next(iter(wire.net._connections.values()))
        connection._backlog += bytes(tcp.ROOM - 100)
        peer.send("A", b"x")
        assert peer.wait().window == 0 or not connection._backlog
        assert received(sock, wire, tcp.ROOM - 99)
        assert 2 * connection._told_window >= connection._largest_window


def test_the_last_words_of_a_far_end_that_takes_nothing_more(wire, opened):
    peer, sock = opened
    sock.sendall(b"413 too large")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.net.flush()
    peer.receive(13)
    sock.close()
    peer.send("A", b"more")
    assert peer.wait(lambda segment: "R" in segment.flags)
    assert wire.net._connections == {}
