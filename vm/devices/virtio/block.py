"""Virtio block device: a disk over one queue of requests.

Virtio 1.2, section 5.2. A request is a chain of

    readable    u32 type, u32 reserved, u64 sector, then the data to write or the ranges to discard or zero
    writable    the data read, then u8 status

Requests are served a fixed time after the notification, in order, so that a run on a virtual clock repeats to the step.
A discarded range reads as zeros where the host's file system can do that; zeroing ranges is exact everywhere.

What the disk holds is part of the device's state, as `vm.disks.disk.DiskState`: what this machine has written.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from vm.devices.base import log
from vm.devices.virtio.queue import MAXIMUM_SIZE, Buffer, Chain
from vm.devices.virtio.transport import EmptySlot, VirtioDevice
from vm.disks.disk import Disk, open_disk
from vm.disks.image import SECTOR
from vm.disks.state import DiskState
from vm.errors import ConfigurationError, MalformedQueue, SnapshotError

F_SEG_MAX, F_RO, F_BLK_SIZE, F_FLUSH, F_CONFIG_WCE, F_DISCARD, F_WRITE_ZEROES = 2, 5, 6, 9, 11, 13, 14

HEADER = struct.Struct("<IIQ")
RANGE = struct.Struct("<QII")       # of a discard or write-zeroes request: sector, number of sectors, flags
UNMAP = 1                           # the only flag
ID_SIZE = 20
LARGEST = 1 << 61                   # bytes of a disk

# capacity, size_max, seg_max, geometry, blk_size, topology, writeback, num_queues, then the limits of discard (sectors,
# segments, alignment) and of write-zeroes (sectors, segments, may_unmap)
CONFIG = struct.Struct("<QII4xI8xBxH III IIB3x")
WRITEBACK = 32                      # its offset, the one field that a driver may write

MOST_AT_ONCE = 64 << 20             # bytes that are moved before the harts go on
MAXIMUM_SECTORS = 1 << 22           # in one range
MAXIMUM_RANGES = 16
ALIGNMENT = 8                       # sectors; what file systems on the host can give back

SERVE = 0                           # event: the notified requests are done


class Type(IntEnum):
    IN = 0
    OUT = 1
    FLUSH = 4
    GET_ID = 8
    DISCARD = 11
    WRITE_ZEROES = 13


class Status(IntEnum):
    OK = 0
    IOERR = 1
    UNSUPP = 2


class Request(NamedTuple):
    """A chain, taken apart."""

    header: Buffer
    payload: Buffer
    data: Buffer
    status: Buffer


class Refused(Exception):
    """A request ends with a status other than OK."""

    def __init__(self, status: Status):
        super().__init__(status.name)
        self.status = status


class BlockDevice(VirtioDevice):
    """A disk image as a disk of the guest. Opens and locks the file at once, `close` lets it go.

    `read_only` lets several machines share an image. With `discard` the guest may write, and the image never
    changes. `serial` is what the guest can ask for, at most 20 bytes (Linux: /sys/block/vda/serial). `legacy` is for
    guests that know only the registers of before virtio 1. `format` is "raw" or "qcow2", None looks how the file
    begins: where the guest writes a raw image, better say so. `disk` is an open one instead, as a twin has.
    """

    device_id = 2
    queue_count = 1
    latency_ns = 20_000             # from the notification to the completion
    state = VirtioDevice.state + ("writeback", "busy")
    setup = ("path", "read_only", "discard", "serial", "legacy", "format")
    unsaved = VirtioDevice.unsaved + ("disk", "_more")

    def __init__(self, path: str | os.PathLike[str], read_only: bool = False, discard: bool = False,
                 serial: str = "", legacy: bool = False, format: str | None = None, disk: Disk | None = None):
        if not serial.isascii() or len(serial) > ID_SIZE:
            raise ConfigurationError(f"{os.fspath(path)}: disk serial {serial!r} is not ASCII of at most {ID_SIZE} "
                                     "bytes; choose a shorter one")
        self.path = os.fspath(path)
        self.format = format
        self.discard = discard
        self.serial = serial
        self.legacy = legacy
        self.read_only = read_only
        self.busy = False           # an event is under way
        self._more = False          # of the requests some were left for the next one
        self.disk = disk or open_disk(path, format, read_only, discard)
        super().__init__()

    def reset(self) -> None:
        if self.busy:
            self.events.cancel(self, SERVE)
            self.busy = False
        self.writeback = True
        super().reset()

    def remains(self) -> PulledDisk:
        slot = PulledDisk()
        slot.inherit(self)
        return slot

    def close(self) -> None:
        self.disk.close()

    def resize(self, size: int) -> None:
        """The disk has so many bytes now, and the driver hears of it. What is new reads as zeros.

        Raises ConfigurationError for a size that is no multiple of 512 or that the image cannot have, and for a disk
        that is attached read-only.
        """
        if self.read_only:
            raise ConfigurationError(f"{self.path}: disk image is attached read-only, and stays as long as it is")
        if not isinstance(size, int) or size <= 0 or size % SECTOR:
            raise ConfigurationError(f"{self.path}: size={size!r}: a disk has a multiple of {SECTOR} bytes, and some")
        try:
            if size > LARGEST:
                raise OverflowError(f"more than {LARGEST} bytes")
            self.disk.resize(size)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"{self.path}: disk image of {self.disk.size} bytes cannot get {size} ({error}); "
                                     "choose another size") from error
        self.config_changed()

    # --- Saved state -------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """As `contents` a DiskState, which costs nothing to take; in a file, what that gives as plain data."""
        return super().save() | {"contents": self.disk.capture()}

    def differs(self, saved: Mapping[str, Any]) -> bool:
        """Whether `save` would give something else; cheaper than that."""
        return super().differs(saved) or not self.disk.is_at(saved["contents"])

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        """Raise where `load` would, and change nothing. The contents may be missing here: `load` has taken them."""
        rest, contents = self._taken_apart(saved)
        super().refuse_unfit(rest)
        if contents is not None:
            self.disk.refuse_unfit(contents)

    def load(self, saved: Mapping[str, Any]) -> None:
        """Raises SnapshotError if the saved disk is of another image; nothing has changed then."""
        rest, contents = self._taken_apart(saved)
        if contents is None:
            raise SnapshotError(f"{self.path}: the saved state of {type(self).__name__} does not fit this version: "
                            "contents missing")
        self.disk.restore(contents)
        super().load(rest)

    def _taken_apart(self, saved: Mapping[str, Any]) -> tuple[dict[str, Any], DiskState | dict[str, Any] | None]:
        """The state of the device, and that of the disk."""
        rest = dict(saved)
        contents = rest.pop("contents", None)
        return rest, contents if isinstance(contents, (DiskState, dict)) else None

    def twin(self) -> BlockDevice:
        """Another device on the same image, which it never writes, with the disk as it was when it was first relied on.

        `load` brings it to a state.
        """
        return type(self)(disk=self.disk.twin(), **self.arguments())

    # --- Features and configuration (5.2.3, 5.2.4) -------------------------------------------------------------------

    def features(self) -> int:
        bits = 1 << F_SEG_MAX | 1 << F_BLK_SIZE | 1 << F_FLUSH | 1 << F_CONFIG_WCE
        return bits | (1 << F_RO if self.read_only else 1 << F_DISCARD | 1 << F_WRITE_ZEROES)

    def config(self) -> bytes:
        return CONFIG.pack(self.disk.size // SECTOR, 0, MAXIMUM_SIZE - 2, SECTOR, self._volatile, 0,
                           MAXIMUM_SECTORS, MAXIMUM_RANGES, ALIGNMENT, MAXIMUM_SECTORS, MAXIMUM_RANGES, 1)

    def write_config(self, offset: int, data: bytes) -> None:
        if offset == WRITEBACK and len(data) == 1 and self.negotiated(F_CONFIG_WCE):
            self.writeback = data[0] != 0

    @property
    def _volatile(self) -> bool:
        """Whether a completed write may wait for a flush: a driver that cannot flush gets a write-through cache."""
        return self.writeback and self.negotiated(F_FLUSH)

    # --- Requests (5.2.6) --------------------------------------------------------------------------------------------

    def on_notify(self, index: int) -> None:
        if not self.busy:
            self.busy = True
            self.events.schedule(self.latency_ns, self, SERVE)

    def on_event(self, event: int, data: int) -> None:
        self._more = False
        self.serve(0)
        self.busy = False           # if that raises, the event stays in the queue
        if self._more:
            self.on_notify(0)

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        left = MOST_AT_ONCE
        for chain in queue.chains():
            if left <= 0:
                self._more = True
                return
            queue.push(chain, self._request(chain))
            left -= chain.readable.size + chain.writable.size

    def _request(self, chain: Chain) -> int:
        """Serve one request; returns how many bytes were written from the start of the writable part."""
        header, payload, data, status = parts(chain)
        kind, _, sector = HEADER.unpack(header.read())
        outcome, filled = Status.OK, 0
        try:
            filled = self._perform(kind, sector, payload, data)
        except Refused as refusal:
            outcome = refusal.status
        except OSError as error:
            log.warning("%s: %s", self.disk.path, error.strerror)
            outcome = Status.IOERR
        status.write(bytes((outcome,)))
        return filled + 1 if filled == data.size else filled

    def _perform(self, kind: int, sector: int, payload: Buffer, data: Buffer) -> int:
        """The request itself; returns how many bytes of `data` it filled."""
        match kind:
            case Type.IN:
                return self._read(sector, data)
            case Type.OUT:
                self._write(sector, payload)
            case Type.FLUSH:
                self.disk.flush()
            case Type.GET_ID:
                return data.write(self.serial.encode().ljust(ID_SIZE, b"\0"))
            case Type.DISCARD if self.negotiated(F_DISCARD):
                for offset, length, _ in self._ranges(payload, allowed=0):
                    self.disk.discard(offset, length)
                self._written()
            case Type.WRITE_ZEROES if self.negotiated(F_WRITE_ZEROES):
                for offset, length, flags in self._ranges(payload, allowed=UNMAP):
                    self.disk.zero(offset, length, unmap=bool(flags & UNMAP))
                self._written()
            case _:
                raise Refused(Status.UNSUPP)
        return 0

    def _read(self, sector: int, data: Buffer) -> int:
        offset = self._offset(sector, data.size)
        for address, length in data.segments:
            with self.memory.writable(address, length) as view:
                self.disk.read(offset, view)
            offset += length
        return data.size

    def _write(self, sector: int, payload: Buffer) -> None:
        if self.read_only:
            raise Refused(Status.IOERR)
        self.disk.write(self._offset(sector, payload.size), payload.views())
        self._written()

    def _written(self) -> None:
        if not self._volatile:
            self.disk.flush()

    def _offset(self, sector: int, length: int) -> int:
        """Where a transfer of whole sectors inside the disk begins in the file."""
        if length % SECTOR or sector * SECTOR + length > self.disk.size:
            raise Refused(Status.IOERR)
        return sector * SECTOR

    def _ranges(self, payload: Buffer, allowed: int) -> list[tuple[int, int, int]]:
        """The (offset, length, flags) of a discard or write-zeroes request, all of them checked."""
        if payload.size % RANGE.size or not 0 < payload.size <= MAXIMUM_RANGES * RANGE.size:
            raise Refused(Status.IOERR)
        ranges = []
        for sector, count, flags in RANGE.iter_unpack(payload.read()):
            if flags & ~allowed:
                raise Refused(Status.UNSUPP)
            if count > MAXIMUM_SECTORS:
                raise Refused(Status.IOERR)
            if count:                               # fallocate() has no empty ranges
                ranges.append((self._offset(sector, count * SECTOR), count * SECTOR, flags))
        return ranges


class PulledDisk(EmptySlot):
    """What is left of a disk to the driver it was pulled out from under: it has no sectors, and every request fails."""

    queue_count = 1

    def inherit(self, gone: VirtioDevice) -> None:
        super().inherit(gone)
        self.status = gone.status               # it needs no reset, since it answers
        self.queue_states = gone.queue_states

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue.chains():
            parts(chain).status.write(bytes((Status.IOERR,)))
            queue.push(chain, 0)


def parts(chain: Chain) -> Request:
    """Raises MalformedQueue."""
    if chain.readable.size < HEADER.size or chain.writable.size < 1:
        raise MalformedQueue("a request without room for its header and status")
    return Request(*chain.readable.split(HEADER.size), *chain.writable.split(chain.writable.size - 1))
