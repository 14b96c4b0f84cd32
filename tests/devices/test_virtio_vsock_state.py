"""Virtio socket device: its connections are state, which goes to other devices; and what a recording allows."""

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

import vm
from tests.devices.virtio_driver import WRITE
from tests.devices.vsock_driver import REQUEST, RW, Guest
from vm.devices.virtio import Vsock
from vm.errors import ConfigurationError, SnapshotError


@pytest.fixture
def guest(board):
    return Guest(board)


def test_the_state_goes_to_another_device(board):
    guest = Guest(board)
    guest.device.listen(5000)
    connection = guest.opened(room=4)
    connection.sendall(b"12345678")
    guest.send(RW, 1024, connection.local_port, b"unread", room=4)
    guest.send(REQUEST, 900, 5000)
    saved = guest.device.save()
    twin = guest.device.twin()
    twin.connect(clock=board.clock, events=board.events, memory=board.memory)
    twin.load(saved)
    assert twin.save() == saved and not twin.differs(saved)
    twin.connect_outside(guest.device._outside._replace(enter=twin.accept))
    again, = twin.connections
    assert again.recv(100) == b"unread"
    assert [stream.guest_port for stream in twin.waiting(5000)] == [900]
    assert connection.recv(100) == b"unread"            # the first device has its own


def test_who_held_a_connection_before_a_restore_is_told(guest):
    connection = guest.opened()
    saved = guest.device.save()
    connection.sendall(b"x")
    guest.device.load(saved)
    assert "has gone to another state" in repr(connection)
    for use in (lambda: connection.recv(1), lambda: connection.sendall(b"x"), connection.shutdown):
        with pytest.raises(ConnectionResetError, match="the machine has gone to another state"):
            use()
    connection.close()
    again, = guest.device.connections
    guest.send(RW, 1024, again.local_port, b"goes on")
    assert again.recv(100) == b"goes on"


def test_operations_on_what_is_no_more_do_nothing(guest):
    """A log has them where the guest has reset a connection between two of them."""
    saved = guest.device.save()
    for action in range(4, 9):
        guest.device.accept(struct.pack("<BII", action, 99, 1) + b"data")
    assert not guest.device.differs(saved)


@pytest.mark.parametrize("damage", [
    lambda one: one[:-1], lambda one: ("x", *one[1:]), lambda one: (*one[:3], 9, *one[4:]),
    lambda one: (*one[:6], "no bytes", *one[7:]), lambda one: (*one[:6], bytes(1 << 20), *one[7:]),
    lambda one: (one[0], 1 << 32, *one[2:]), lambda one: (*one[:5], "bored", *one[6:]),
])
def test_connections_of_a_damaged_state_are_refused(guest, damage):
    guest.opened()
    saved = guest.device.save()
    saved["connections_state"] = [damage(saved["connections_state"][0])]
    with pytest.raises(SnapshotError, match="the saved state of a connection is damaged"):
        guest.device.twin().load(saved)


def test_a_device_is_pulled_out():
    with vm.Machine(memory="16M") as machine:
        device = Vsock()
        machine.attach(device)
        listener = device.listen(5000)
        assert machine.detach(device) is device and device.listening == []
        listener.close()
        with pytest.raises(ConfigurationError, match="not attached"):
            device.listen(5000)
        machine.attach(device)
        device.listen(5000)


def test_another_thread_than_that_of_a_recording_is_told():
    """What it says comes in at the next run: so nothing that follows would be right."""
    with vm.Machine(memory="16M") as machine:
        device = Vsock()
        machine.attach(device)
        with machine.record(), ThreadPoolExecutor() as other:
            with pytest.raises(vm.MachineBusy, match=r"listen\(\) was called from another thread"):
                other.submit(device.listen, 5000).result()
            assert device.listening == []


def test_buffers_for_events_stay(guest):
    address, length = guest.driver.place(bytes(4))
    guest.driver.queues[2].offer([(address, length, WRITE)])
    guest.driver.notify(2)
    assert guest.driver.queues[2].completed() == []
