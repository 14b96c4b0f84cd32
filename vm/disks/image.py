"""What every disk image offers, whatever its format, and the files of the host that hold it.

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
from typing import Any, NamedTuple

from vm.errors import ConfigurationError
from vm_native.descriptors import above_standard

SECTOR = 512
CHUNK = 1 << 20

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10        # fallocate(2)
UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV)


class Damaged(OSError):
    """An image is not what its format says; to the guest an error of the disk."""

    def __init__(self, path: str, what: str):
        super().__init__(errno.EIO, f"the image is damaged: {what}; look at it with: qemu-img check {path}", path)


@cache
def libc() -> Any:
    """The C library: the os module has no fallocate() with a mode."""
    import ctypes  # here: a machine without a disk does without

    return ctypes.CDLL(None, use_errno=True)


class HostFile:
    """A file or block device of the host, locked against other users for as long as it is open: exclusively, or shared
    if `read_only`. Closing unlocks it. Without `lock` it is not: the caller has done that.

    - size: when it was opened, or after what was written since; images that grow extend it.
    - key: device and inode, the same for every name of the file.
    """

    def __init__(self, path: str | os.PathLike[str], read_only: bool = False, lock: bool = True):
        self.path = os.fspath(path)
        self.read_only = read_only
        self.descriptor = -1
        try:
            self._check_kind(os.stat(self.path).st_mode)
            self.descriptor = above_standard(os.open(self.path, os.O_RDONLY if read_only else os.O_RDWR))
            if lock:
                fcntl.flock(self.descriptor, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            self.size = os.lseek(self.descriptor, 0, os.SEEK_END)
        except OSError as error:
            self.close()
            raise ConfigurationError(self._explain(error)) from error
        status = os.fstat(self.descriptor)
        self.key = (status.st_dev, status.st_ino)

    def _check_kind(self, mode: int) -> None:
        if stat.S_ISDIR(mode):
            raise ConfigurationError(f"{self.path}: is a directory; name the disk image inside it")
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise ConfigurationError(f"{self.path}: is neither a file nor a block device; name a disk image")

    def _explain(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError):
            return f"{self.path}: no such disk image; make one with: vm disk create {self.path} 1G"
        if isinstance(error, BlockingIOError):
            return (f"{self.path}: disk image is in use by another machine or process; stop that one, or let both "
                    "open it read-only or with discard")
        if not self.read_only and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return (f"{self.path}: disk image cannot be written ({error.strerror}); change its permissions, or "
                    "attach it read-only or with discard")
        return f"{self.path}: disk image cannot be opened ({error.strerror}); name an image that this user can read"

    @property
    def modified_ns(self) -> int:
        """When it was last written, by anybody."""
        return os.fstat(self.descriptor).st_mtime_ns

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill `view` from `offset`."""
        while len(view):
            count = os.preadv(self.descriptor, [view], offset)
            if count == 0:
                raise OSError(errno.EIO, "the file has become shorter")
            view = view[count:]
            offset += count

    def read(self, offset: int, length: int) -> bytearray:
        """What is there, and zeros behind the end of the file."""
        data = bytearray(length)
        view = memoryview(data)
        while len(view):
            count = os.preadv(self.descriptor, [view], offset)
            if count == 0:
                break
            view = view[count:]
            offset += count
        return data

    def write(self, offset: int, views: Iterable[memoryview | bytes | bytearray]) -> None:
        """Write what is given in any pieces."""
        for data in views:
            view = memoryview(data)
            while len(view):
                count = os.pwrite(self.descriptor, view, offset)
                view = view[count:]
                offset += count
        self.size = max(self.size, offset)

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """Make a range read as zeros; it may lose its space on the host's disk if `unmap`."""
        if not self.allocate(PUNCH_HOLE if unmap else ZERO_RANGE, offset, length):
            zeros = memoryview(bytes(min(length, CHUNK)))
            for start in range(0, length, CHUNK):
                self.write(offset + start, [zeros[:length - start]])

    def allocate(self, mode: int, offset: int, length: int) -> bool:
        """fallocate(2); false if the file system does not offer the mode."""
        import ctypes

        if libc().fallocate(self.descriptor, mode | KEEP_SIZE, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0:
            return True
        number = ctypes.get_errno()
        if number in UNSUPPORTED:
            return False
        raise OSError(number, os.strerror(number))

    def truncate(self, size: int) -> None:
        os.ftruncate(self.descriptor, size)
        self.size = size

    def data_stretches(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where the file has data between two offsets, as (start, stop); elsewhere are holes."""
        while start < end:
            try:
                data = os.lseek(self.descriptor, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return                          # nothing but a hole to the end
                yield start, end                    # a file system, or a block device, that does not tell
                return
            if data >= end:
                return
            hole = min(os.lseek(self.descriptor, data, os.SEEK_HOLE), end)
            yield data, hole
            start = hole

    def flush(self) -> None:
        """Return when what was written is on the host's disk."""
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close the file, which also unlocks it. Closing twice is harmless."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Extent(NamedTuple):
    """A part of a disk, [start, stop), of which all is in one way in the image."""

    start: int
    stop: int
    kind: str               # "data"; "zero": it reads as zeros; "below": the backing file has it


class Sectors:
    """What is read and written by offset and length, in bytes: an image, or a disk that is made of one.

    `path` is the image's; `size` is what the guest sees.
    """

    path: str
    size: int

    def read(self, offset: int, view: memoryview) -> None:
        """Fill `view` from `offset`."""
        raise NotImplementedError

    def write(self, offset: int, views: Iterable[memoryview]) -> None:
        """Write whole sectors, given in any pieces."""
        raise NotImplementedError

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """Make a range read as zeros; it may lose its space on the host's disk if `unmap`."""
        raise NotImplementedError

    def discard(self, offset: int, length: int) -> None:
        """Give a range's space back to the host; what is read there then is zeros, where the host can do that."""
        raise NotImplementedError

    def flush(self) -> None:
        """Return when what was written is safe: on the host's disk, if it is to stay."""
        raise NotImplementedError

    def resize(self, size: int) -> None:
        """Make the disk larger, by zeros, or smaller."""
        raise NotImplementedError


class Image(Sectors):
    """A disk image that is open. `below` is the image that it is an overlay of."""

    format: str
    read_only: bool
    file: HostFile
    below: Image | None = None

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        """What is where in a range, in order and without gaps."""
        raise NotImplementedError

    def chain(self) -> list[Image]:
        """This image and those below it."""
        return [self, *(self.below.chain() if self.below else ())]

    def settle(self) -> None:
        """Write to the file what only memory has."""

    def close(self) -> None:
        """Close the files, which also unlocks them; what was written is in them. Closing twice is harmless."""
        self.file.close()
        if self.below:
            self.below.close()
