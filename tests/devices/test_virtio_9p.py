"""Virtio 9P device (virtio 1.2, section 5.9; Linux's net/9p/trans_virtio.c): messages of 9P2000.L over one queue."""

import os
import struct
from pathlib import Path

import pytest

import vm
from tests.devices.conftest import outside
from tests.devices.virtio_driver import CONFIG, NEEDS_RESET, RAM, STATUS, WRITE, Driver
from tests.share.client import NO_FID, Client, message, s
from vm.devices.virtio import SharedFolder
from vm.devices.virtio.queue import Buffer
from vm.errors import ConfigurationError, LogError, SnapshotError
from vm.images.linux import SHARE_OPTIONS
from vm.inputs import Inputs

F_MOUNT_TAG = 1


class DriverClient(Client):
    """Its messages go through the queue, in pieces of any size."""

    def __init__(self, driver):
        super().__init__(None)
        self.driver = driver
        self.pieces = [1 << 20]         # sizes of descriptors: of the message, then of the room
        self.room = 8192

    def exchange(self, request, room=None):
        driver, (queue,) = self.driver, self.driver.queues
        driver.free = RAM + 0x4_0000
        address, size = driver.place(request)
        segments = [(address + at, min(self.pieces[0], size - at), 0) for at in range(0, size, self.pieces[0])]
        room = self.room if room is None else room
        reply, _ = driver.place(bytes(room))
        segments += [(reply + at, min(self.pieces[-1], room - at), WRITE) for at in range(0, room, self.pieces[-1])]
        queue.offer(segments)
        driver.notify()
        (_, written), = queue.completed()
        return driver.memory.read(reply, written)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "file").write_bytes(bytes(range(256)) * 100)
    return tmp_path / "shared"


@pytest.fixture
def device(folder):
    device = SharedFolder(folder, tag="home")
    yield device
    device.close()


@pytest.fixture
def driver(board, device):
    return Driver(board, device).start(size=64)


def test_the_tag(driver):
    assert driver.offered_features() & 0xFFFFFF == F_MOUNT_TAG
    assert [driver.get(CONFIG, 2), *(driver.get(CONFIG + 2 + at, 1) for at in range(5))] == [4, *b"home", 0]


def test_requests(driver, folder):
    client = DriverClient(driver).start()
    fid = client.open("file", flags=2)
    assert client.read(fid, 1, 5000) == (folder / "file").read_bytes()[1:5001]
    assert client.write(fid, 3, b"changed") == 7
    assert (folder / "file").read_bytes()[:12] == bytes([0, 1, 2]) + b"changed" + bytes([10, 11])
    assert driver.acknowledge() == 1


@pytest.mark.parametrize("pieces", [(1, 1000), (11, 11), (23, 300), (5, 4096), (64, 7000)])
def test_messages_in_pieces(driver, folder, pieces):
    """2.7.4: how a message is laid out in descriptors is the driver's choice. Many are copied, few are read into."""
    client = DriverClient(driver).start()
    fid = client.open("file", flags=2)
    client.pieces, client.room = pieces, min(8192, 20 * pieces[1])
    room = client.room
    assert client.read(fid, 7, 8192) == (folder / "file").read_bytes()[7:7 + room - 11]
    assert client.write(fid, 0, b"text") == 4
    assert (folder / "file").read_bytes()[:5] == b"text\4"


def test_what_is_read_goes_where_the_reply_is_and_nowhere_else(driver, device, folder):
    """Behind what was read the guest's memory stays as it is."""
    client = DriverClient(driver).start()
    fid = client.open("file")
    client.driver.memory.write(RAM + 0x8_0000, b"\xee" * 64)
    request = driver.place(message(116, struct.pack("<IQI", fid, 25_600 - 10, 50)))
    driver.queues[0].offer([(*request, 0), (RAM + 0x8_0000, 64, WRITE)])
    driver.notify()
    assert driver.queues[0].completed()[-1][1] == 21
    assert driver.memory.read(RAM + 0x8_0000, 64) == (
        struct.pack("<IBHI", 21, 117, 1, 10) + bytes(range(246, 256)) + b"\xee" * 43)


def test_several_requests_at_once_are_answered_in_order(driver):
    DriverClient(driver).start()
    queue = driver.queues[0]
    replies = []
    for tag in (5, 9, 7):
        replies.append(driver.place(bytes(200))[0])
        queue.offer([(*driver.place(message(24, struct.pack("<IQ", 0, 0), tag)), 0), (replies[-1], 200, WRITE)])
    driver.notify()
    assert [length for _, length in queue.completed()] == [160, 160, 160]
    assert [struct.unpack("<IBH", driver.memory.read(reply, 7)) for reply in replies] == [
        (160, 25, tag) for tag in (5, 9, 7)]


@pytest.mark.parametrize("request_size, room", [(6, 100), (0, 100), (20, 10), (20, 0)])
def test_a_request_without_room_needs_a_reset(driver, request_size, room):
    segments = [(RAM + 0x4_0000, request_size, 0)] * (request_size > 0)
    driver.queues[0].offer(segments + [(RAM + 0x5_0000, room, WRITE)] * (room > 0))
    driver.notify()
    assert driver.get(STATUS) & NEEDS_RESET


def test_a_request_longer_than_was_settled_is_refused(driver, device):
    client = DriverClient(driver).start(msize=4096)
    body = struct.pack("<IQI", 0, 0, 5000) + bytes(5000)
    assert client.exchange(message(118, body)) == message(7, struct.pack("<I", 90))     # EMSGSIZE
    driver.queues[0].offer([(RAM, 1 << 19, 0)] * 8 + [(RAM + 0x5_0000, 100, WRITE)])
    driver.notify()
    assert driver.queues[0].completed()[-1][1] == 11


def test_memory_that_is_not_there_needs_a_reset(driver):
    client = DriverClient(driver).start()
    fid = client.open("file")
    queue = driver.queues[0]
    queue.offer([(*driver.place(message(116, struct.pack("<IQI", fid, 0, 500))), 0), (0x1000, 4096, WRITE)])
    driver.notify()
    assert driver.get(STATUS) & NEEDS_RESET


def test_a_reset_ends_the_session(driver, device):
    client = DriverClient(driver).start()
    client.open("file")
    descriptors = len(os.listdir("/proc/self/fd"))
    driver.set(STATUS, 0)
    assert device.session["fids"] == [] and len(os.listdir("/proc/self/fd")) == descriptors - 1


def test_a_twin_shares_the_folder_and_no_fids(board, driver, device, folder):
    client = DriverClient(driver).start()
    fid = client.open("file")
    twin = board.connect(device.twin())
    assert (twin.path, twin.tag, twin.session["fids"]) == (str(folder), "home", [])
    twin.load(device.save())
    assert twin.save() == device.save() and not twin.differs(device.save())
    client.clunk(fid)
    folder.rename(folder.parent / "away")           # it is that folder, wherever it is
    third = device.twin()
    assert DriverClient(Driver(board, third).start(size=64)).start().open("file")
    third.close()
    assert len(twin.session["fids"]) == 2 and len(device.session["fids"]) == 1
    twin.close()


def test_a_buffer_of_pages_that_touch_is_one(board):
    buffer = Buffer(board.memory, [(RAM, 11), (RAM + 4096, 4096), (RAM + 8192, 100), (RAM + 8292, 8), (RAM + 4000, 96)])
    assert buffer.merged().segments == [(RAM, 11), (RAM + 4096, 4204), (RAM + 4000, 96)]
    assert buffer.merged().size == buffer.size


@pytest.mark.parametrize("tag", ["", "two words", "t\xe4g", "x" * 256, "a\nb"])
def test_tags_that_are_none(folder, tag):
    with pytest.raises(ConfigurationError, match="the name by which a guest mounts"):
        SharedFolder(folder, tag=tag)


def test_what_is_no_folder(folder):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigurationError, match="file: cannot be shared .Not a directory.; name a folder"):
        SharedFolder(folder / "file")
    with pytest.raises(ConfigurationError, match="owner="):
        SharedFolder(folder, owner=(0, -1))
    assert len(os.listdir("/proc/self/fd")) == before


def test_it_comes_and_goes(folder):
    """Detached it is as new, and can be attached again, here or elsewhere."""
    with vm.Machine(memory="4M") as machine, vm.Machine(memory="4M") as other:
        device = SharedFolder(folder)
        name = machine.attach(device)
        assert name in machine.inputs.sources
        machine.detach(device)
        assert name not in machine.inputs.sources
        other.attach(device)
        device.close()


class Losing:
    """A history that keeps what comes in from the machine."""

    asks = True

    def __init__(self):
        self.lost = []

    def enter(self, source, data):
        self.lost.append(data)


def test_replies_come_in_while_a_history_is_kept(board, driver, device):
    """One after the other, by way of the inputs; what is lost with the history is asked for again."""
    DriverClient(driver).start()
    inputs = Inputs()
    inputs.history = Losing()
    device.connect_outside(outside(inputs.add("virtio0", device.accept), inputs=inputs))
    queue = driver.queues[0]
    for tag in (5, 6):
        request = message(24, struct.pack("<IQ", 0, 0), tag)
        queue.offer([(*driver.place(request), 0), (*driver.place(bytes(200)), WRITE)])
    driver.notify()
    driver.notify()
    assert queue.completed() == [] and device.awaiting
    assert [struct.unpack_from("<IBH", data) for data in inputs.history.lost] == [(160, 25, 5)]
    inputs.admit("virtio0", inputs.history.lost[0])
    assert [length for _, length in queue.completed()] == [160] and not device.awaiting
    board.advance(ns=0)
    assert [struct.unpack_from("<IBH", data)[2] for data in inputs.history.lost] == [5, 6]
    inputs.history.asks = False                     # the answer is known, and comes by itself
    board.advance(ns=10**9)
    assert len(inputs.history.lost) == 2 and device.awaiting
    inputs.history = None
    board.advance(ns=10**9)
    assert [length for _, length in queue.completed()] == [160] and not device.awaiting
    inputs.admit("virtio0", b"nobody waits for this")
    assert queue.completed() == []


class Admitting:
    """A history that lets all come in at once."""

    asks = True

    def __init__(self, inputs):
        self.inputs = inputs

    def enter(self, source, data):
        self.inputs.admit(source, data)


@pytest.mark.parametrize("reply", [b"\0", message(105, bytes(13)), message(101, struct.pack("<I", 1 << 31) + s("x"))])
def test_a_reply_of_a_damaged_log_is_told_of(driver, device, reply):
    inputs = Inputs()
    inputs.history = Losing()
    device.connect_outside(outside(inputs.add("virtio0", device.accept), inputs=inputs))
    before = device.session
    driver.queues[0].offer([(*driver.place(message(100, struct.pack("<I", 8192) + s("9P2000.L"))), 0),
                            (*driver.place(bytes(200)), WRITE)])
    driver.notify()
    with pytest.raises(LogError, match="the log has a reply of the shared folder 'home' that no server gives"):
        inputs.admit("virtio0", reply)
    assert device.session == before and driver.queues[0].completed() == []


@pytest.mark.parametrize("records", [False, True])
def test_requests_that_take_long_take_turns_with_the_harts(board, driver, device, records):
    """So much for one notification, whatever the driver asks for; the rest after a while, and so in each run."""
    fid = DriverClient(driver).start().open()
    if records:
        inputs = Inputs()
        inputs.history = Admitting(inputs)
        device.connect_outside(outside(inputs.add("virtio0", device.accept), inputs=inputs))
    queue = driver.queues[0]
    for kind, body in [(40, struct.pack("<IQI", fid, 0, 100))] * 3 + [(24, struct.pack("<IQ", 0, 0))] * 4:
        queue.offer([(*driver.place(message(kind, body)), 0), (*driver.place(bytes(200)), WRITE)])
    driver.notify()
    driver.notify()
    board.advance(ns=0)
    driver.notify()
    assert len(queue.completed()) == 1 and device.resting
    board.advance(ns=99_999)
    assert queue.completed() == []
    board.advance(ns=1)
    assert len(queue.completed()) == 1
    saved = device.save()
    board.advance(ns=100_000)
    board.advance(ns=100_000)
    assert len(queue.completed()) == 5 and not device.resting and device.taken == 0
    device.load(saved)
    assert device.resting
    driver.set(STATUS, 0)                           # which forgets what there was to do
    board.advance(ns=10**9)
    assert not device.resting


def test_many_short_requests_are_answered_at_once(driver):
    DriverClient(driver).start()
    for _ in range(30):
        driver.queues[0].offer([(*driver.place(message(24, struct.pack("<IQ", 0, 0))), 0),
                                (*driver.place(bytes(200)), WRITE)])
    driver.notify()
    assert len(driver.queues[0].completed()) == 30


@pytest.mark.parametrize("damage", [
    {"session": None}, {"session": {}}, {"awaiting": 1}, {"taken": None}, {"resting": b""},
    {"session": {"message_size": 4096, "deletions": 0, "fids": [(1, b"../secret", 0, 0, 0)]}}])
def test_a_damaged_state_is_refused(driver, device, folder, damage):
    (folder.parent / "secret").write_text("the host's own")
    DriverClient(driver).start()
    before = device.save()
    for refuse in (device.refuse_unfit, device.load):
        with pytest.raises(SnapshotError, match="SharedFolder"):
            refuse(before | damage)
    assert device.save() == before


def test_the_page_mounts_as_our_guest_does():
    """The options stand in two places, one of which people read."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "folders.md"
    assert f"-o {SHARE_OPTIONS}\n" in page.read_text()


def test_a_version_before_there_is_any_session(driver):
    client = DriverClient(driver)
    body = struct.pack("<II", 0, NO_FID) + s("root") + s("") + struct.pack("<I", 0)
    assert client.exchange(message(104, body))[4] == 105        # at the least size of messages
