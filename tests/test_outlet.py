"""Output of a guest that never waits for its reader."""

import os
import socket

import pytest

from vm.outlet import ROOM, Outlet

DATA = bytes(range(256)) * 2048


@pytest.fixture(params=["pipe", "terminal", "socket", "non-blocking pipe"])
def ends(request):
    """(read end, write end) of something that takes only so much."""
    if request.param == "terminal":
        read, write = os.openpty()
    elif request.param == "socket":
        read, write = (one.detach() for one in socket.socketpair())
    else:
        read, write = os.pipe()
        os.set_blocking(write, request.param == "pipe")
    yield read, write
    os.close(read)
    os.close(write)


def test_everything_arrives_in_order_and_nothing_waits(ends):
    read, write = ends
    outlet = Outlet(write)
    blocking = os.get_blocking(write)
    for start in range(0, len(DATA), 4096):
        outlet.write(DATA[start:start + 4096])
    assert outlet.full and not outlet.empty
    received = bytearray()
    while not outlet.empty:
        received += os.read(read, 65536)
        outlet.push()
    outlet.close()
    outlet.close()
    os.set_blocking(read, False)
    try:
        while part := os.read(read, 65536):
            received += part
    except BlockingIOError:
        pass
    assert bytes(received).replace(b"\r\n", b"\n") == DATA.replace(b"\r\n", b"\n")
    assert os.get_blocking(write) == blocking and not outlet.full


def test_file_takes_all_at_once(tmp_path):
    with open(tmp_path / "out", "wb") as file:
        outlet = Outlet(file.fileno())
        outlet.write(DATA)
        assert outlet.empty
    assert (tmp_path / "out").read_bytes() == DATA


def test_reader_that_is_gone_is_an_error():
    read, write = os.pipe()
    outlet = Outlet(write)
    outlet.write(bytes(2 * ROOM))
    os.close(read)
    with pytest.raises(BrokenPipeError):
        outlet.write(b"x")
    with pytest.raises(BrokenPipeError):
        Outlet(write).write(b"x")
    os.close(write)


def test_drain_waits_for_the_reader():
    read, write = os.pipe()
    outlet = Outlet(write)
    outlet.write(DATA)
    child = os.fork()
    if child == 0:
        os.close(write)
        outlet.close()
        with open(read, "rb") as reader:
            os._exit(reader.read() != DATA)
    os.close(read)
    outlet.drain()
    outlet.close()
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
