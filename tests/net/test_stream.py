"""Frames over a stream: what goes over the socket, byte by byte, and how connections come and go."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from vm.errors import ConfigurationError
from vm.inputs import Inputs
from vm.net import Offload, Packet, Stream, stream
from vm.net.packet import NEEDS_CHECKSUM

FRAME = bytes.fromhex("525400123456 525400000002 9000") + bytes(range(46))
PATIENCE = 20


class End:
    """One end, plugged in; `frames` is what has come."""

    def __init__(self, **where):
        self.link = Stream(**where)
        self.inputs = Inputs()
        self.frames = []
        self.link.plug(lambda packet: self.frames.append(packet.frame), self.inputs)

    def send(self, *packets):
        for packet in packets:
            self.link.send(packet)
        self.link.flush()

    def settle(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "that never came about"
            self.inputs.poll(0.01)


@pytest.fixture
def end():
    end = End(listen="127.0.0.1:0")
    yield end
    end.link.unplug()


@pytest.fixture
def peer(end):
    with connected(end) as sock:
        yield sock


def connected(end):
    """A socket that has connected to the end, and been let in."""
    host, _, port = end.link.address.rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=PATIENCE)
    end.settle(lambda: end.link._peer is not None)
    return sock


def test_the_size_goes_in_front(end, peer):
    end.send(Packet(FRAME))
    assert peer.recv(1000) == (60).to_bytes(4, "big") + FRAME
    peer.sendall((60).to_bytes(4, "big") + FRAME[::-1] + (60).to_bytes(4, "big") + FRAME[:30])
    end.settle(lambda: end.frames)
    peer.sendall(FRAME[30:])
    end.settle(lambda: len(end.frames) == 2)
    assert end.frames == [FRAME[::-1], FRAME]


def test_a_byte_at_a_time(end, peer):
    for byte in (60).to_bytes(4, "big") + FRAME:
        peer.sendall(bytes((byte,)))
        end.inputs.poll(0.001)
    end.settle(lambda: end.frames)
    assert end.frames == [FRAME]


def test_what_is_left_to_do_is_done(end, peer):
    end.send(Packet(FRAME, Offload(NEEDS_CHECKSUM, checksum_start=14, checksum_offset=0)))
    sent = peer.recv(1000)[4:]
    assert sent[:14] == FRAME[:14] and sent[16:] == FRAME[16:] and sent != FRAME


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_two_ends(tmp_path, kind):
    first = End(listen=str(tmp_path / "socket") if kind == "unix" else "127.0.0.1:0")
    second = End(connect=first.link.address)
    first.settle(lambda: first.link._peer is not None)
    frames = [FRAME[:14] + bytes([number]) * (50 + 61 * number) for number in range(200)]
    for end, other in ((first, second), (second, first)):
        for frame in frames:
            end.send(Packet(frame))
            other.inputs.poll(0)
        other.settle(lambda: len(other.frames) == len(frames))      # noqa: B023
        assert other.frames == frames
    assert first.inputs.expecting and second.inputs.expecting
    second.link.unplug()
    first.link.unplug()
    assert not (tmp_path / "socket").exists() and not first.inputs.watching and not second.inputs.expecting


def test_the_next_peer_is_let_in_when_one_has_gone(end, peer):
    second = socket.create_connection(peer.getpeername(), timeout=PATIENCE)
    end.settle(lambda: not end.inputs.wait(0))
    assert second.recv(1) == b""            # one at a time
    peer.close()
    end.settle(lambda: end.link._peer is None)
    end.send(Packet(FRAME))                 # to nobody
    with connected(end) as third:
        end.send(Packet(FRAME))
        assert third.recv(1000)[4:] == FRAME


def test_who_connects_tries_again(monkeypatch):
    monkeypatch.setattr(stream, "AGAIN", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as server:
        end = End(connect=f"127.0.0.1:{server.getsockname()[1]}")
        server.accept()[0].close()
        end.settle(lambda: end.link._peer is None)
        end.settle(lambda: end.link._peer is not None)
        sock, _ = server.accept()
        with sock:
            end.send(Packet(FRAME))
            assert sock.recv(1000)[4:] == FRAME
        end.link.unplug()


@pytest.mark.parametrize("size", [0, 13, 65550, 0xFFFF_FFFF])
def test_a_peer_that_sends_nonsense_is_left(end, peer, size):
    peer.sendall(size.to_bytes(4, "big") + bytes(100))
    end.settle(lambda: end.link._peer is None)
    assert end.frames == []
    with suppress(ConnectionResetError):        # or an end, as what has been read of it is
        assert peer.recv(1000) == b""


def test_a_peer_that_takes_nothing_loses_frames(end, peer):
    """None is cut in the middle."""
    large = FRAME[:14] + bytes(60_000)
    for number in range(300):
        end.send(Packet(large + bytes([number % 256])))
    assert len(end.link._unsent) <= stream.ROOM
    received = bytearray()
    reader = threading.Thread(target=lambda: [received.extend(data) for data in iter(lambda: peer.recv(1 << 16), b"")])
    reader.start()
    end.settle(lambda: not end.link._unsent)
    end.link.unplug()
    reader.join()
    assert len(received) % (4 + 60_015) == 0 and 0 < len(received) // (4 + 60_015) < 300


@pytest.mark.parametrize("where, text", [
    ({}, "either connects or listens"), ({"connect": "a:1", "listen": "b:1"}, "either connects or listens"),
    ({"connect": "host:http"}, "'http' is no port"), ({"listen": ":65536"}, "'65536' is no port"),
    ({"listen": "1234"}, "1234: write a port as 127.0.0.1:1234"),
])
def test_no_address(where, text):
    with pytest.raises(ConfigurationError, match=text):
        Stream(**where)


@pytest.mark.parametrize("where, text", [
    ({"connect": "127.0.0.1:1"}, "127.0.0.1:1: nobody is there"), ({"connect": "./none"}, "./none: nobody is there"),
    ({"listen": "./no/socket"}, "./no/socket: cannot listen there"),
])
def test_nobody_there(where, text):
    link, inputs = Stream(**where), Inputs()
    with pytest.raises(ConfigurationError, match=text):
        link.plug(lambda packet: None, inputs)
    assert not link.plugged and not inputs.watching


def test_a_socket_file_that_somebody_has_removed(tmp_path):
    end = End(listen=str(tmp_path / "socket"))
    (tmp_path / "socket").unlink()
    end.link.unplug()
    assert not end.link.plugged and not end.inputs.watching
