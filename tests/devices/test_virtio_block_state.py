"""What a virtio block device keeps apart from its image: discard, snapshots, forks, formats."""

import os
import struct
import tracemalloc

import pytest

from tests.devices.block_driver import (
    DISCARD,
    FLUSH,
    IN,
    IOERR,
    LATENCY,
    OK,
    SECTORS,
    WRITE_ZEROES,
    Disk,
    pattern,
    ranges,
)
from tests.devices.virtio_driver import CONFIG, WRITE
from vm import disks
from vm.devices.virtio import BlockDevice
from vm.disks.disk import open_disk
from vm.errors import ConfigurationError, SnapshotError

# --- Discard on exit --------------------------------------------------------------------------------------------------

def test_discard_leaves_the_image_alone(attach, image):
    disk = attach(discard=True)
    assert disk.write(2, b"w" * 512) == OK
    assert disk.request(WRITE_ZEROES, payload=ranges((5, 3, 1)))[0] == OK
    assert disk.request(DISCARD, payload=ranges((16, 8, 0)))[0] == OK
    assert disk.request(FLUSH)[0] == OK
    assert disk.read(0, 10) == pattern(2) + b"w" * 512 + pattern(2, 3) + bytes(1536) + pattern(2, 8)
    assert image.read_bytes() == pattern(SECTORS)


def test_overlay_serves_pieces_at_any_border(attach):
    disk = attach(discard=True)
    disk.write(1, b"w" * 512)
    header = disk.place(struct.pack("<IIQ", IN, 0, 0))[0]
    buffer = disk.place(bytes(1537))[0]
    disk.queues[0].offer([(header, 16, 0), (buffer, 700, WRITE), (buffer + 700, 300, WRITE),
                          (buffer + 1000, 537, WRITE)])
    disk.notify()
    disk.board.advance(ns=LATENCY)
    assert disk.memory.read(buffer, 1537) == pattern(1) + b"w" * 512 + pattern(1, 2) + bytes([OK])


def test_overlay_of_a_large_image_costs_what_is_written(tmp_path):
    """A sparse image of 1 TiB has 2 billion sectors."""
    image = tmp_path / "large.img"
    image.touch()
    os.truncate(image, 1 << 40)
    disk = open_disk(image, discard=True)
    tracemalloc.start()
    try:
        disk.write((1 << 40) - 512, [memoryview(b"e" * 512)])
        disk.zero(0, 1 << 30, unmap=True)
        sectors = bytearray(1024)
        disk.read((1 << 40) - 1024, memoryview(sectors))
        assert sectors == bytes(512) + b"e" * 512
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
        disk.close()


def test_overlay_is_state(board, attach, image):
    disk = attach(discard=True)
    disk.write(2, b"w" * 512)
    disk.request(WRITE_ZEROES, payload=ranges((200, 56, 1)))
    saved = disk.device.save()
    plain = saved["contents"].plain()
    assert plain["size"] == SECTORS * 512
    assert plain["clusters"] == {0: pattern(2) + b"w" * 512 + pattern(5, 3), **dict.fromkeys(range(25, 32), b"")}
    twin = board.connect(BlockDevice(image, discard=True))
    twin.disk.write(0, [memoryview(b"o" * 512)])        # undone by load
    twin.load(saved | {"contents": plain})
    assert twin.save()["contents"].plain() == plain
    data = bytearray(2048)
    twin.disk.read(0, memoryview(data))
    assert data == pattern(2) + b"w" * 512 + pattern(1, 3)
    twin.close()


def test_state_of_another_kind_of_disk_is_refused(attach, board, image):
    saved = attach(discard=True).device.save()
    other = BlockDevice(image, read_only=True)
    for refuse in (lambda: other.load(saved), lambda: other.disk.refuse_unfit(saved["contents"])):
        with pytest.raises(SnapshotError, match="attach it without read_only"):
            refuse()
    with pytest.raises(SnapshotError, match="contents missing"):
        other.load({name: value for name, value in saved.items() if name != "contents"})
    other.close()


def test_several_machines_share_an_image_with_discard(image):
    first, second = BlockDevice(image, discard=True), BlockDevice(image, discard=True)
    first.close()
    second.close()


# --- Snapshots and forks ----------------------------------------------------------------------------------------------

def held(device, sector, count=1):
    """What a disk holds, past the driver: a state that is loaded has queues that another driver set up."""
    data = bytearray(512 * count)
    device.disk.read(512 * sector, memoryview(data))
    return bytes(data)


@pytest.mark.parametrize("options", [{}, {"discard": True}])
def test_state_goes_back_and_forth(attach, image, options):
    """The disk is as it was when its state is loaded; and the file, if it is written through."""
    disk = attach(**options)
    disk.write(2, b"a" * 512)
    saved = disk.device.save()
    disk.write(2, b"b" * 512)
    later = disk.device.save()
    assert saved["contents"] != later["contents"]
    disk.device.load(saved)
    assert held(disk.device, 2) == b"a" * 512 and disk.device.save() == saved
    assert image.read_bytes()[1024:1536] == (pattern(1, 2) if options else b"a" * 512)
    disk.device.load(later)
    assert held(disk.device, 2) == b"b" * 512 and disk.device.save() == later


@pytest.mark.parametrize("options", [{}, {"discard": True}, {"read_only": True}])
def test_twin_shares_the_image(attach, board, image, options):
    """It begins with the image as it was and takes over a state; what it writes is its own."""
    disk = attach(serial="S", **options)
    saved = disk.device.save()
    if not options.get("read_only"):
        disk.write(2, b"a" * 512)
    with_write = disk.device.save()
    twin = disk.device.twin()
    assert (twin.serial, twin.read_only, twin.features()) == ("S", disk.device.read_only, disk.device.features())
    twin.load(with_write)
    assert held(twin, 0, 4) == disk.read(0, 4)
    twin.load(saved)
    assert held(twin, 0, 4) == pattern(4)
    other = Disk(board, twin).start()
    if not options.get("read_only"):
        assert other.write(3, b"t" * 512) == OK
    assert disk.read(3) == pattern(1, 3)
    twin.close()
    assert disk.read(3) == pattern(1, 3)


def test_qcow2_by_its_magic_and_by_name(board, tmp_path):
    path = tmp_path / "disk.qcow2"
    disks.create(path, "1M", format="qcow2")
    for format in (None, "qcow2"):
        device = BlockDevice(path, format=format)
        assert Disk(board, device).start().get(CONFIG, 8) == 2048
        device.close()
    device = BlockDevice(path, format="raw", read_only=True)
    assert Disk(board, device).start().read(0)[:4] == b"QFI\xfb"
    device.close()
    with pytest.raises(ConfigurationError, match="format 'vmdk' is unknown; there is raw, qcow2"):
        BlockDevice(path, format="vmdk")


def test_damage_is_an_error_of_the_request(board, tmp_path):
    """The rest of the disk goes on."""
    path = tmp_path / "disk.qcow2"
    disks.create(path, "1G", format="qcow2")
    device = BlockDevice(path)
    Disk(board, device).start().write(0, b"w" * 512)
    device.close()
    with open(path, "r+b") as file:
        file.seek(4 << 16)                                  # the L2 table; see tests/disks/test_durability.py
        file.write(struct.pack(">Q", 1 << 63 | 0x1200))
    disk = Disk(board, BlockDevice(path)).start()
    assert disk.request(IN, 0, length=512)[0] == IOERR and disk.write(0, bytes(512)) == IOERR
    assert disk.read(1 << 20) == bytes(512)
    disk.device.close()


def test_a_disk_that_has_shrunk_comes_back_from_plain_data(tmp_path):
    """What was behind its end is kept, for whoever goes back to when it was longer."""
    image = tmp_path / "disk.img"
    image.write_bytes(b"x" * 16384)
    device = BlockDevice(image)
    device.save()
    device.disk.write(8192, [memoryview(b"y" * 4096)])
    device.disk.resize(4096)
    saved = device.save()
    plain = saved | {"contents": saved["contents"].plain()}
    assert max(plain["contents"]["clusters"]) * 4096 >= plain["contents"]["size"]
    device.load(plain)
    assert not device.differs(saved)
    device.close()
