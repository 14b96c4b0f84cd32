"""Raw images: the file is the disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from vm.disks.image import PUNCH_HOLE, SECTOR, Extent, HostFile, Image
from vm.errors import ConfigurationError

GUARDED = (b"QFI\xfb",)         # how images of other formats begin, of those that are recognised by that


class RawImage(Image):
    """The sectors of a file. One that is below another image may have any length.

    Who opens the next image by looking how it begins must not be deceived by the guest: of an image that was `probed`,
    which means that nobody said that it is raw, the guest cannot make one of another format.
    """

    format = "raw"

    def __init__(self, file: HostFile, probed: bool = False, below: bool = False):
        self.file = file
        self.path = file.path
        self.size = file.size
        self.read_only = file.read_only
        self.probed = probed
        if not below:
            self._check_size()

    def _check_size(self) -> None:
        if self.size == 0:
            raise ConfigurationError(f"{self.path}: disk image is empty; give it a size with: "
                                     f"truncate -s 1G {self.path}")
        if self.size % SECTOR:
            raise ConfigurationError(f"{self.path}: disk image of {self.size} bytes is not a multiple of {SECTOR}; "
                                     f"round it up with: truncate -s %{SECTOR} {self.path}")

    def read(self, offset: int, view: memoryview) -> None:
        self.file.read_into(offset, view)

    def write(self, offset: int, views: Iterable[memoryview]) -> None:
        if self.probed and offset == 0:
            views = list(views)
            self._guard(b"".join(bytes(view[:4]) for view in views[:4])[:4])
        self.file.write(offset, views)

    def _guard(self, start: bytes) -> None:
        if start in GUARDED:
            raise OSError(errno.EPERM, "the guest would make a qcow2 image of this raw one; if it may, say that the "
                                       "image is raw (format='raw')")

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        self.file.zero(offset, length, unmap)

    def discard(self, offset: int, length: int) -> None:
        """Where the host's file system cannot give space back, the data stays: discarding is a hint."""
        self.file.allocate(PUNCH_HOLE, offset, length)

    def flush(self) -> None:
        self.file.flush()

    def resize(self, size: int) -> None:
        if stat.S_ISBLK(os.fstat(self.file.descriptor).st_mode):
            if size > self.file.size:
                raise OSError(errno.ENOSPC, "a block device of the host has the size that it has")
        else:
            self.file.truncate(size)
        self.size = size

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        for data, hole in self.file.data_stretches(start, end):
            if start < data:
                yield Extent(start, data, "zero")
            yield Extent(data, hole, "data")
            start = hole
        if start < end:
            yield Extent(start, end, "zero")
