"""Disk images on the host: a locked file, or a file under a layer of writes that goes away with the machine.

Offsets and lengths are bytes. Failures of the host's file system pass as OSError, which the block device reports to
the guest.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from vm.errors import ConfigurationError
from vm_native.descriptors import above_standard

SECTOR = 512
CHUNK = 1 << 20

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10        # fallocate(2)
UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV)


@cache
def libc() -> Any:
    """The C library: the os module has no fallocate() with a mode."""
    import ctypes  # here: a machine without a disk does without

    return ctypes.CDLL(None, use_errno=True)


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
        import ctypes

        if libc().fallocate(self.file, mode | KEEP_SIZE, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0:
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
            self.file = above_standard(os.open(self.path, os.O_RDONLY if read_only else os.O_RDWR))
            fcntl.flock(self.file, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            self.size = os.lseek(self.file, 0, os.SEEK_END)
            self._check_size()
        except OSError as error:
            self.close()
            raise ConfigurationError(self._explain(error)) from error
        except ConfigurationError:
            self.close()
            raise

    def resize(self, size: int) -> None:
        """Make the file longer, by zeros, or cut its end off. Raises ConfigurationError where that cannot be."""
        if self.read_only:
            raise ConfigurationError(f"{self.path}: disk image is attached read-only, and stays as long as it is")
        if not stat.S_ISREG(os.fstat(self.file).st_mode):
            raise ConfigurationError(f"{self.path}: is no file, whose size could be changed")
        if not isinstance(size, int) or size <= 0 or size % SECTOR:
            raise ConfigurationError(f"{self.path}: size={size!r}: a disk has a multiple of {SECTOR} bytes, and some")
        try:
            os.ftruncate(self.file, size)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"{self.path}: disk image of {self.size} bytes cannot get {size} ({error}); "
                                     "choose another size") from error
        self.size = size

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


class Marks:
    """A set of sectors, which costs what is in it and nothing for the size of the disk: a byte a sector, in chunks."""

    CHUNK = 2048
    NONE, ALL = bytes(CHUNK), b"\1" * CHUNK

    def __init__(self) -> None:
        self._chunks: dict[int, bytes | bytearray] = {}     # 1 for a sector that is in it; only ever more of them

    def add(self, first: int, count: int) -> None:
        """Sectors [first, first + count) are in it."""
        while count:
            number, start = divmod(first, self.CHUNK)
            taken = min(count, self.CHUNK - start)
            chunk = self._chunks.get(number)
            if taken == self.CHUNK:
                self._chunks[number] = self.ALL
            elif chunk is None:
                chunk = self._chunks[number] = bytearray(self.CHUNK)
            if isinstance(chunk, bytearray):
                chunk[start:start + taken] = b"\1" * taken
            first += taken
            count -= taken

    def stretch(self, sector: int, end: int) -> tuple[bool, int]:
        """Whether a sector is in it, and up to where, or `end` if that comes first, that is so."""
        number, start = divmod(sector, self.CHUNK)
        here = self._chunks.get(number, self.NONE)[start]
        while number * self.CHUNK < end:
            change = self._chunks.get(number, self.NONE).find(1 - here, start)
            if change >= 0:
                return bool(here), min(number * self.CHUNK + change, end)
            number, start = number + 1, 0
        return bool(here), end

    def stretches(self) -> Iterator[tuple[int, int]]:
        """All of it, as (start, stop), in order; a chunk ends a stretch."""
        for number in sorted(self._chunks):
            sector, end = number * self.CHUNK, (number + 1) * self.CHUNK
            while sector < end:
                here, stop = self.stretch(sector, end)
                if here:
                    yield sector, stop
                sector = stop


class Overlay(File):
    """A disk whose writes go to an unnamed sparse file of its own; the image below is opened read-only."""

    def __init__(self, path: str | os.PathLike[str]):
        self.below = Disk(path, read_only=True)
        self.path = self.below.path
        self.size = self.below.size
        import tempfile  # here: it takes as long to load as a machine does to build

        try:
            with tempfile.TemporaryFile(prefix="vm-disk-") as file:
                self.file = above_standard(os.dup(file.fileno()))
            os.ftruncate(self.file, self.size)
        except OSError as error:
            self.close()
            raise ConfigurationError(f"{self.path}: no room for its private copy in {tempfile.gettempdir()} "
                                     f"({error.strerror}); set TMPDIR to another directory") from error
        self.written = Marks()              # sectors whose data is in the overlay

    def read(self, offset: int, view: memoryview) -> None:
        end = offset + len(view)
        while len(view):
            here, stop = self.written.stretch(offset // SECTOR, -(-end // SECTOR))
            stop = min(stop * SECTOR, end)
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

    def resize(self, size: int) -> None:
        """Raises ConfigurationError: what is written is as long as what it lies on."""
        raise ConfigurationError(f"{self.path}: disk image is attached with discard, and stays as long as it is")

    def _mark(self, offset: int, length: int) -> None:
        self.written.add(offset // SECTOR, length // SECTOR)

    def save(self) -> list[tuple[int, int, bytes]]:
        """What was written, in pieces of (offset, length, data); no data stands for zeros."""
        pieces = []
        for start, stop in self.written.stretches():
            for offset in range(start * SECTOR, stop * SECTOR, CHUNK):
                data = bytearray(min(CHUNK, stop * SECTOR - offset))
                super().read(offset, memoryview(data))
                pieces.append((offset, len(data), b"" if data.count(0) == len(data) else bytes(data)))
        return pieces

    def load(self, pieces: Iterable[tuple[int, int, bytes]]) -> None:
        """Replace what was written by what `save` gave."""
        os.ftruncate(self.file, 0)
        os.ftruncate(self.file, self.size)
        self.written = Marks()
        for offset, length, data in pieces:
            if data:
                super().write(offset, [memoryview(data)])
            self._mark(offset, length)

    def close(self) -> None:
        super().close()
        self.below.close()
