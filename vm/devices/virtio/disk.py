"""Disk images on the host: a locked file, or a file under a layer of writes that goes away with the machine.

Offsets and lengths are bytes. Failures of the host's file system pass as OSError, which the block device reports to
the guest.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterable

from vm.errors import ConfigurationError

SECTOR = 512
CHUNK = 1 << 20

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10        # fallocate(2)
UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV)

libc = ctypes.CDLL(None, use_errno=True)        # the os module has no fallocate() with a mode


class File:
    """Sectors in a file of the host. A subclass opens `file`, of `size` bytes, and names the image in `path`."""

    path: str
    file: int = -1
    size: int

    def read(self, offset: int, view: memoryview) -> None:
        """Fill `view` from `offset`."""
        while len(view):
            count = os.preadv(self.file, [view], offset)
            if count == 0:
                raise OSError(errno.EIO, "the file has become shorter")
            view = view[count:]
            offset += count

    def write(self, offset: int, views: Iterable[memoryview]) -> None:
        """Write whole sectors, given in any pieces."""
        for view in views:
            while len(view):
                count = os.pwrite(self.file, view, offset)
                view = view[count:]
                offset += count

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """Make a range read as zeros; it may lose its space on the host's disk if `unmap`."""
        if not self._allocate(PUNCH_HOLE if unmap else ZERO_RANGE, offset, length):
            zeros = memoryview(bytes(min(length, CHUNK)))
            for start in range(0, length, CHUNK):
                File.write(self, offset + start, [zeros[:length - start]])

    def discard(self, offset: int, length: int) -> None:
        """Give a range's space back to the host. Where its file system cannot, the data stays: discarding is a hint."""
        self._allocate(PUNCH_HOLE, offset, length)

    def flush(self) -> None:
        """Return when what was written is on the host's disk."""
        os.fdatasync(self.file)

    def _allocate(self, mode: int, offset: int, length: int) -> bool:
        """fallocate(2); false if the file system does not offer the mode."""
        if libc.fallocate(self.file, mode | KEEP_SIZE, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0:
            return True
        number = ctypes.get_errno()
        if number in UNSUPPORTED:
            return False
        raise OSError(number, os.strerror(number))

    def close(self) -> None:
        """Close the file, which also unlocks it. Closing twice is harmless."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


class Disk(File):
    """A raw disk image, locked against other users for as long as it is open: exclusively, or shared if `read_only`."""

    def __init__(self, path: str | os.PathLike[str], read_only: bool = False):
        self.path = os.fspath(path)
        self.read_only = read_only
        try:
            self._check_kind(os.stat(self.path).st_mode)
            self.file = os.open(self.path, os.O_RDONLY if read_only else os.O_RDWR)
            fcntl.flock(self.file, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            self.size = os.lseek(self.file, 0, os.SEEK_END)
            self._check_size()
        except OSError as error:
            self.close()
            raise ConfigurationError(self._explain(error)) from error
        except ConfigurationError:
            self.close()
            raise

    def _check_kind(self, mode: int) -> None:
        if stat.S_ISDIR(mode):
            raise ConfigurationError(f"{self.path}: is a directory; name the disk image inside it")
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise ConfigurationError(f"{self.path}: is neither a file nor a block device; name a raw disk image")

    def _check_size(self) -> None:
        if self.size == 0:
            raise ConfigurationError(f"{self.path}: disk image is empty; give it a size with: "
                                     f"truncate -s 1G {self.path}")
        if self.size % SECTOR:
            raise ConfigurationError(f"{self.path}: disk image of {self.size} bytes is not a multiple of {SECTOR}; "
                                     f"round it up with: truncate -s %{SECTOR} {self.path}")

    def _explain(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError):
            return f"{self.path}: no such disk image; make one with: truncate -s 1G {self.path}"
        if isinstance(error, BlockingIOError):
            return (f"{self.path}: disk image is in use by another machine or process; stop that one, or let both "
                    "open it read-only or with discard")
        if not self.read_only and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return (f"{self.path}: disk image cannot be written ({error.strerror}); change its permissions, or "
                    "attach it read-only or with discard")
        return f"{self.path}: disk image cannot be opened ({error.strerror}); name a raw image that this user can read"


class Overlay(File):
    """A disk whose writes go to an unnamed sparse file of its own; the image below is opened read-only."""

    def __init__(self, path: str | os.PathLike[str]):
        self.below = Disk(path, read_only=True)
        self.path = self.below.path
        self.size = self.below.size
        try:
            with tempfile.TemporaryFile(prefix="vm-disk-") as file:
                self.file = os.dup(file.fileno())
            os.ftruncate(self.file, self.size)
        except OSError as error:
            self.close()
            raise ConfigurationError(f"{self.path}: no room for its private copy in {tempfile.gettempdir()} "
                                     f"({error.strerror}); set TMPDIR to another directory") from error
        self.written = bytearray(self.size // SECTOR)       # by sector: 1 if its data is in the overlay

    def read(self, offset: int, view: memoryview) -> None:
        end = offset + len(view)
        while len(view):
            sector = offset // SECTOR
            here = self.written[sector]
            change = self.written.find(1 - here, sector, -(-end // SECTOR))
            stop = end if change < 0 else change * SECTOR
            if here:
                super().read(offset, view[:stop - offset])
            else:
                self.below.read(offset, view[:stop - offset])
            view = view[stop - offset:]
            offset = stop

    def write(self, offset: int, views: Iterable[memoryview]) -> None:
        views = list(views)
        super().write(offset, views)
        self._mark(offset, sum(map(len, views)))

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        super().zero(offset, length, unmap=True)
        self._mark(offset, length)

    def discard(self, offset: int, length: int) -> None:
        """The data stays: what is below must not change, and zeros above it would only take room."""

    def flush(self) -> None:
        """There is nothing to keep."""

    def _mark(self, offset: int, length: int) -> None:
        first, count = offset // SECTOR, length // SECTOR
        self.written[first:first + count] = b"\1" * count

    def save(self) -> list[tuple[int, int, bytes]]:
        """What was written, in pieces of (offset, length, data); no data stands for zeros."""
        pieces = []
        start = self.written.find(1)
        while start >= 0:
            stop = self.written.find(0, start)
            stop = len(self.written) if stop < 0 else stop
            for offset in range(start * SECTOR, stop * SECTOR, CHUNK):
                data = bytearray(min(CHUNK, stop * SECTOR - offset))
                super().read(offset, memoryview(data))
                pieces.append((offset, len(data), b"" if data.count(0) == len(data) else bytes(data)))
            start = self.written.find(1, stop)
        return pieces

    def load(self, pieces: Iterable[tuple[int, int, bytes]]) -> None:
        """Replace what was written by what `save` gave."""
        os.ftruncate(self.file, 0)
        os.ftruncate(self.file, self.size)
        self.written = bytearray(self.size // SECTOR)
        for offset, length, data in pieces:
            if data:
                super().write(offset, [memoryview(data)])
            self._mark(offset, length)

    def close(self) -> None:
        super().close()
        self.below.close()
