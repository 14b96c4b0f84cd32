"""Virtio socket device: its connections are state, which goes to other devices; and what a recording allows."""

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

import vm
from tests.devices.virtio_driver import STATUS, WRITE
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


@pytest.mark.parametrize("name, value", [
    ("cid", -1), ("cid", 2), ("cid", "3"), ("cid", True), ("listening", None), ("listening", [-1]),
    ("listening", [5000, 5000]), ("listening", ["5000"]), ("listening", [1 << 32]), ("connections_state", None),
    ("resets", None), ("resets", [(1, 2)]), ("resets", [(1, 2, 1 << 16)]), ("resets", [(-1, 2, 1)]), ("resets", [7]),
    ("next_number", 0), ("next_number", 1), ("next_number", 1 << 32), ("next_port", 0), ("next_port", 0xFFFF_FFFF),
    ("packets", -1), ("packets", 513),
])
def test_a_damaged_state_is_refused(guest, name, value):
    """Before anything has changed."""
    connection = guest.opened()
    before = guest.device.save()
    with pytest.raises(SnapshotError, match=f"the saved state of a Vsock is damaged: {name} is"):
        guest.device.load(before | {"listening": [5001]} | {name: value})
    assert guest.device.save() == before and "open" in repr(connection)


@pytest.mark.parametrize("same", ["number", "ports"])
def test_connections_that_cannot_be_at_once_are_refused(guest, same):
    guest.opened()
    guest.opened()
    saved = guest.device.save()
    first, second = saved["connections_state"]
    saved["connections_state"][1] = (first[0], *second[1:]) if same == "number" else (second[0], *first[1:])
    with pytest.raises(SnapshotError, match="damaged: connections_state is"):
        guest.device.load(saved)
    assert len(guest.device.connections) == 2


def test_a_snapshot_of_a_machine_is_refused_before_anything_has_changed():
    with vm.Machine(memory="16M") as machine:
        machine.attach(Vsock())
        saved = machine.snapshot()
        saved.state.parts["virtio0"]["cid"] = -1
        with vm.Machine(memory="16M") as other:
            device = Vsock()
            other.attach(device)
            with pytest.raises(SnapshotError, match="cid is -1"):
                other.restore(saved)
            assert device.cid == 3


def test_a_pause_survives_a_snapshot_and_ends_with_a_reset(board, guest, monkeypatch):
    monkeypatch.setattr("vm.devices.virtio.vsock.AT_ONCE", 1)
    guest.post(RW, 900, 5000)
    guest.driver.notify(1)
    assert guest.device.resets and len(board.events.queue) == 1
    twin = board.connect(guest.device.twin())
    twin.load(guest.device.save())
    twin.serve(0)
    assert twin.resets
    twin.on_event(1, 0)                                 # as the event does that is saved with the machine
    assert not twin.resets
    board.events.cancel(twin, 1)
    guest.driver.set(STATUS, 0)
    assert board.events.queue == []


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
