"""Virtio block device (virtio 1.2, section 5.2) on real files."""

import errno
import fcntl
import os
import struct
import subprocess
import sys

import pytest

from tests.devices.block_driver import (
    DISCARD,
    F_BLK_SIZE,
    F_CONFIG_WCE,
    F_DISCARD,
    F_FLUSH,
    F_RO,
    F_SEG_MAX,
    F_WRITE_ZEROES,
    FLUSH,
    GET_ID,
    IN,
    IOERR,
    LATENCY,
    OK,
    OUT,
    SECTORS,
    SECURE_ERASE,
    UNSUPP,
    WRITE_ZEROES,
    pattern,
    ranges,
)
from tests.devices.virtio_driver import (
    CONFIG,
    CONFIG_GENERATION,
    F_INDIRECT_DESC,
    INTERRUPT_STATUS,
    NEEDS_RESET,
    STATUS,
    WRITE,
)
from vm.devices.virtio import BlockDevice
from vm.devices.virtio.transport import CONFIGURATION_CHANGE
from vm.errors import ConfigurationError

# --- Configuration ----------------------------------------------------------------------------------------------------

def test_configuration(attach):
    disk = attach()
    assert disk.get(CONFIG, 8) == SECTORS
    assert disk.get(CONFIG + 12) == 254                     # seg_max: a queue of 256 less header and status
    assert disk.get(CONFIG + 20) == 512                     # blk_size
    assert disk.get(CONFIG + 32, 1) == 1                    # writeback
    assert disk.get(CONFIG + 36) > 0 and disk.get(CONFIG + 40) > 0      # limits of discard
    assert disk.get(CONFIG + 48) > 0 and disk.get(CONFIG + 52) > 0      # limits of write-zeroes
    assert disk.get(CONFIG + 56, 1) == 1                    # write_zeroes_may_unmap


def test_features(attach):
    features = attach().offered_features() & 0xFFFF
    assert features == F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_CONFIG_WCE | F_DISCARD | F_WRITE_ZEROES


def test_features_of_a_read_only_disk(attach):
    features = attach(read_only=True).offered_features() & 0xFFFF
    assert features == F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_CONFIG_WCE


@pytest.mark.parametrize("options", [{}, {"discard": True}])
@pytest.mark.parametrize("sectors", [1, SECTORS - 1, SECTORS + 1, 2 * SECTORS])
def test_new_size_is_told_and_holds(attach, image, sectors, options):
    """Virtio 1.2, 5.2.5: a device may change its capacity, with an interrupt; what is new is zeros."""
    disk = attach(**options)
    generation = disk.get(CONFIG_GENERATION)
    disk.device.resize(512 * sectors)
    assert disk.get(CONFIG, 8) == sectors
    assert disk.get(CONFIG_GENERATION) != generation and disk.acknowledge() == CONFIGURATION_CHANGE
    assert disk.read(sectors - 1) == (pattern(1, sectors - 1) if sectors <= SECTORS else bytes(512))
    assert disk.request(IN, sectors, length=512)[0] == IOERR
    expected = pattern(SECTORS) if options else pattern(SECTORS)[:512 * sectors].ljust(512 * sectors, b"\0")
    assert image.read_bytes() == expected
    disk.device.resize(512 * 3 * SECTORS)
    assert disk.read(sectors) == bytes(512)


@pytest.mark.parametrize("size, options, said", [
    (0, {}, "size=0: a disk has a multiple of 512 bytes"), (-512, {}, "size=-512: "), (513, {}, "size=513: "),
    (1024.0, {}, "size=1024.0: "), ("1G", {}, "size='1G': "), (1 << 62, {}, "cannot get"), (1 << 63, {}, "cannot get"),
    (1024, {"read_only": True}, "read-only"),
])
def test_size_that_a_disk_does_not_get(attach, image, size, options, said):
    disk = attach(**options)
    with pytest.raises(ConfigurationError, match=said):
        disk.device.resize(size)
    assert (disk.get(CONFIG, 8), image.stat().st_size, disk.get(INTERRUPT_STATUS)) == (SECTORS, 512 * SECTORS, 0)


# --- Requests ---------------------------------------------------------------------------------------------------------

def test_read(attach):
    status, data, written = attach().request(IN, 3, length=1024)
    assert (status, data, written) == (OK, pattern(2, 3), 1025)


def test_write(attach, image):
    assert attach().write(254, b"z" * 1024) == OK
    assert image.read_bytes() == pattern(254) + b"z" * 1024


def test_framing_is_free(attach):
    """2.7.4: header, data and status lie in any descriptors, here at odd borders."""
    disk = attach()
    header = disk.place(struct.pack("<IIQ", IN, 0, 7))[0]
    buffer = disk.place(bytes(1025))[0]
    disk.queues[0].offer([(header, 5, 0), (header + 5, 11, 0), (buffer, 100, WRITE), (buffer + 100, 925, WRITE)])
    disk.notify()
    disk.board.advance(ns=LATENCY)
    assert disk.memory.read(buffer, 1025) == pattern(2, 7) + bytes([OK])


def test_indirect_request(attach):
    disk = attach(F_INDIRECT_DESC)
    header, data, status = (disk.place(content) for content in (struct.pack("<IIQ", IN, 0, 9), bytes(512), b"\xff"))
    disk.queues[0].offer_indirect([(*header, 0), (*data, WRITE), (*status, WRITE)], disk.place(bytes(48))[0])
    disk.notify()
    disk.board.advance(ns=LATENCY)
    assert disk.memory.read(*data) == pattern(1, 9)
    assert disk.memory.read(*status) == bytes([OK])


@pytest.mark.parametrize("kind", [IN, OUT])
@pytest.mark.parametrize("sector", [SECTORS, SECTORS - 1, 1 << 55, (1 << 64) - 1])
def test_sector_out_of_range(attach, image, kind, sector):
    disk = attach()
    status = disk.request(kind, sector, **({"length": 1024} if kind == IN else {"payload": bytes(1024)}))[0]
    assert status == IOERR
    assert image.read_bytes() == pattern(SECTORS)


def test_transfer_of_half_a_sector(attach):
    assert attach().request(IN, 0, length=256)[0] == IOERR

def test_failed_read_reports_no_data(attach):
    """2.7.8.2: the length in the used ring counts only what was written from the start of the buffer."""
    assert attach().request(IN, SECTORS, length=512)[2] == 0


def test_unsupported_type(attach):
    assert attach().request(SECURE_ERASE)[0] == UNSUPP

def test_get_id(attach):
    disk = attach(serial="DISK-1")
    assert disk.request(GET_ID, length=20)[:2] == (OK, b"DISK-1".ljust(20, b"\0"))


def test_write_to_a_read_only_disk(attach, image):
    disk = attach(read_only=True)
    assert disk.write(0, bytes(512)) == IOERR
    assert disk.read(0) == pattern(1)
    assert image.read_bytes() == pattern(SECTORS)


def test_request_without_status_needs_a_reset(attach):
    disk = attach()
    disk.queues[0].offer([(*disk.place(struct.pack("<IIQ", IN, 0, 0)), 0)])
    disk.notify()
    disk.board.advance(ns=LATENCY)
    assert disk.get(STATUS) & NEEDS_RESET


def test_failing_file_is_an_error_of_the_request(attach, image):
    disk = attach()
    os.truncate(image, 512)
    assert disk.request(IN, 1, length=512)[0] == IOERR
    assert disk.read(0) == pattern(1)


# --- Flush and cache --------------------------------------------------------------------------------------------------

@pytest.fixture
def synced(monkeypatch):
    """The files that os.fdatasync was called for; it still does its work."""
    files = []
    fdatasync = os.fdatasync

    def record(file):
        files.append(file)
        fdatasync(file)

    monkeypatch.setattr(os, "fdatasync", record)
    return files


def test_flush_reaches_the_disk(attach, image, synced):
    disk = attach()
    disk.write(0, b"f" * 512)
    assert synced == []
    assert disk.request(FLUSH)[0] == OK
    assert synced == [disk.device.disk.image.file.descriptor]
    assert image.read_bytes()[:512] == b"f" * 512


def test_failing_flush_is_an_error(attach, monkeypatch):
    disk = attach()

    def fail(file):
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "fdatasync", fail)
    assert disk.request(FLUSH)[0] == IOERR


def test_request_stays_under_way_where_the_disk_raises(attach, monkeypatch):
    """The event queue keeps its event, so a notification must not schedule another."""
    disk = attach()

    def fail(offset, view):
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(disk.device.disk, "read", fail)
        disk.request(IN, length=512)
    assert disk.device.busy
    disk.device.on_event(0, 0)
    assert not disk.device.busy and len(disk.queues[0].completed()) == 1


def test_without_flush_every_write_is_stable(attach, synced):
    """5.2.6.2: a driver that did not negotiate F_FLUSH gets completed writes on the disk."""
    disk = attach(features=0)
    disk.write(0, bytes(512))
    assert len(synced) == 1


def test_write_through_on_request(attach, synced):
    """5.2.5: with F_CONFIG_WCE the driver chooses by the writeback field."""
    disk = attach()
    disk.set(CONFIG + 32, 0, size=1)
    assert disk.get(CONFIG + 32, 1) == 0
    disk.write(0, bytes(512))
    assert len(synced) == 1


def test_writeback_is_fixed_unless_negotiated(attach):
    disk = attach(features=F_FLUSH)
    disk.set(CONFIG + 32, 0, size=1)
    assert disk.get(CONFIG + 32, 1) == 1


# --- Discard and write-zeroes -----------------------------------------------------------------------------------------

def test_discard_gives_space_back(attach, image):
    """The file keeps its size; where the file system can punch holes the range uses no space and reads as zeros."""
    disk = attach()
    before = image.stat()
    assert disk.request(DISCARD, payload=ranges((8, 128, 0)))[0] == OK
    after = image.stat()
    assert after.st_size == before.st_size
    assert after.st_blocks < before.st_blocks
    assert disk.read(8) == bytes(512)
    assert disk.read(7) == pattern(1, 7) and disk.read(136) == pattern(1, 136)


@pytest.mark.parametrize("flags", [0, 1])
def test_write_zeroes(attach, image, flags):
    assert attach().request(WRITE_ZEROES, payload=ranges((1, 2, flags), (5, 1, flags)))[0] == OK
    assert image.read_bytes()[:3584] == (pattern(1) + bytes(1024) + pattern(2, 3) + bytes(512) + pattern(1, 6))


def test_write_zeroes_without_holes(attach, image, monkeypatch):
    """On a file system that has no fallocate() zeros are written."""
    disk = attach()
    monkeypatch.setattr(disk.device.disk.image.file, "allocate", lambda mode, offset, length: False)
    assert disk.request(WRITE_ZEROES, payload=ranges((0, 255, 1)))[0] == OK
    assert image.read_bytes() == bytes(255 * 512) + pattern(1, 255)


@pytest.mark.parametrize("kind, payload, status", [
    (DISCARD, ranges((0, 8, 1)), UNSUPP),                       # the unmap flag is for write-zeroes only
    (WRITE_ZEROES, ranges((0, 8, 2)), UNSUPP),
    (DISCARD, ranges((SECTORS - 4, 8, 0)), IOERR),
    (WRITE_ZEROES, ranges((0, 8, 0), (SECTORS, 1, 0)), IOERR),
    (WRITE_ZEROES, ranges((0, (1 << 22) + 1, 0)), IOERR),       # more than max_write_zeroes_sectors
    (WRITE_ZEROES, ranges(*[(0, 1, 0)] * 17), IOERR),           # more than max_write_zeroes_seg
    (WRITE_ZEROES, ranges((0, 8, 0))[:15], IOERR),
    (WRITE_ZEROES, b"", IOERR),
])
def test_bad_ranges_change_nothing(attach, image, kind, payload, status):
    assert attach().request(kind, payload=payload)[0] == status
    assert image.read_bytes() == pattern(SECTORS)


@pytest.mark.parametrize("kind", [DISCARD, WRITE_ZEROES])
def test_ranges_need_their_feature(attach, kind):
    assert attach(features=F_FLUSH).request(kind, payload=ranges((0, 8, 0)))[0] == UNSUPP


@pytest.mark.parametrize("kind", [DISCARD, WRITE_ZEROES])
def test_ranges_on_a_read_only_disk(attach, image, kind):
    assert attach(read_only=True).request(kind, payload=ranges((0, 8, 0)))[0] == UNSUPP
    assert image.read_bytes() == pattern(SECTORS)


# --- Time, reset, state -----------------------------------------------------------------------------------------------

def offer_read(disk, sector):
    header = disk.place(struct.pack("<IIQ", IN, 0, sector))
    data, status = disk.place(bytes(512)), disk.place(b"\xff")
    disk.queues[0].offer([(*header, 0), (*data, WRITE), (*status, WRITE)])
    disk.notify()
    return data


def test_completion_takes_its_time(attach):
    disk = attach()
    offer_read(disk, 0)
    disk.board.advance(ns=LATENCY - 1)
    assert disk.queues[0].completed() == [] and disk.get(INTERRUPT_STATUS) == 0
    disk.board.advance(ns=1)
    assert len(disk.queues[0].completed()) == 1 and disk.device.irq.level


def test_notifications_on_the_way_make_one_event(attach):
    disk = attach()
    first, second = offer_read(disk, 1), offer_read(disk, 2)
    assert len(disk.board.events.queue) == 1
    disk.board.advance(ns=LATENCY)
    assert disk.memory.read(*first) + disk.memory.read(*second) == pattern(2, 1)


def test_reset_drops_what_is_on_the_way(attach):
    disk = attach()
    data = offer_read(disk, 1)
    disk.set(STATUS, 0)
    disk.board.advance(ns=LATENCY)
    assert disk.memory.read(*data) == bytes(512)
    assert not disk.device.irq.level


def test_reset_restores_the_write_back_cache(attach):
    disk = attach()
    disk.set(CONFIG + 32, 0, size=1)
    disk.set(STATUS, 0)
    disk.start()
    assert disk.get(CONFIG + 32, 1) == 1


def test_state_in_the_middle_of_a_request(attach, board, image):
    """A saved device that is loaded elsewhere goes on when its event, which the machine restores, is due."""
    disk = attach(read_only=True)
    data = offer_read(disk, 4)
    saved = disk.device.save()
    disk.board.events.cancel(disk.device, 0)
    twin = board.connect(BlockDevice(image, read_only=True))
    twin.load(saved)
    assert twin.save() == saved
    twin.on_event(0, 0)
    assert disk.memory.read(*data) == pattern(1, 4)
    twin.close()


# --- Files that cannot be attached ------------------------------------------------------------------------------------

@pytest.mark.parametrize("content, words", [
    (bytes(1000), "1000 bytes is not a multiple of 512; round it up with: truncate -s %512"),
    (b"", "is empty; give it a size"),
])
def test_bad_size(tmp_path, content, words):
    path = tmp_path / "odd.img"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        BlockDevice(path)
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigurationError, match="no-disk.img: no such disk image; make one with: vm disk create"):
        BlockDevice(tmp_path / "no-disk.img")


def test_directory(tmp_path):
    with pytest.raises(ConfigurationError, match="is a directory"):
        BlockDevice(tmp_path)


def test_neither_file_nor_block_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="neither a file nor a block device"):
        BlockDevice(tmp_path / "pipe")


def test_long_serial(image):
    with pytest.raises(ConfigurationError, match="at most 20 bytes"):
        BlockDevice(image, serial="x" * 21)


@pytest.fixture
def holder(image):
    """Hold the image in another process, with the lock of the given kind."""
    processes = []

    def hold(kind):
        program = (f"import fcntl, sys; file = open({str(image)!r}, 'rb+'); fcntl.flock(file, {int(kind)}); "
                   "print(flush=True); sys.stdin.read()")
        process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        process.stdout.readline()

    yield hold
    for process in processes:
        process.communicate()


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"discard": True}])
def test_image_that_another_process_writes(image, holder, options):
    holder(fcntl.LOCK_EX)
    with pytest.raises(ConfigurationError, match="in use by another machine or process; stop that one"):
        BlockDevice(image, **options)


def test_image_that_another_process_reads(image, holder):
    holder(fcntl.LOCK_SH)
    with pytest.raises(ConfigurationError, match="in use"):
        BlockDevice(image)
    BlockDevice(image, read_only=True).close()


def test_close_unlocks(image):
    first = BlockDevice(image)
    first.close()
    first.close()
    BlockDevice(image).close()


def test_failed_attachment_leaves_no_file_open(image, holder):
    before = len(os.listdir("/proc/self/fd"))
    image.write_bytes(bytes(100))
    for options in ({}, {"discard": True}):
        with pytest.raises(ConfigurationError):
            BlockDevice(image, **options)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_harts_go_on_between_large_requests(attach, monkeypatch):
    """So many bytes are moved at a time, and the requests that are left a moment later."""
    monkeypatch.setattr("vm.devices.virtio.block.MOST_AT_ONCE", 1024)
    disk = attach()
    heads = []
    for sector in range(3):
        segments = [(*disk.place(struct.pack("<IIQ", IN, 0, sector)), 0), (*disk.place(bytes(1024)), WRITE),
                    (*disk.place(b"\xff"), WRITE)]
        heads.append(disk.queues[0].offer_indirect(segments, disk.place(bytes(16 * len(segments)))[0]))
    disk.notify()
    for head in heads:
        disk.board.advance(ns=LATENCY)
        assert disk.queues[0].completed() == [(head, 1025)]
