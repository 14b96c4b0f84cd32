"""Reads the file of a snapshot: what it is at once, its memory chunk by chunk when it is asked for.

Nothing that a file says is believed: it is held against the size of the file and the limits of vm.snapshots.layout
before memory is used for it, and against a checksum before it is used at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vm.errors import SnapshotError
from vm.sizes import PAGE_SIZE
from vm.snapshots.encoding import EncodingError, decode
from vm.snapshots.layout import (
    CHECKSUM_BYTES,
    CHUNK_BYTES,
    CHUNK_PAGES,
    CHUNK_WINDOW_LOG,
    ENTRY,
    HEADER_BYTES,
    LARGEST_METADATA,
    LARGEST_METADATA_FRAME,
    LARGEST_REGION,
    LONGEST_CHAIN,
    MAGIC,
    METADATA_WINDOW_LOG,
    MOST_REGIONS,
    PREFIX,
    VERSION,
    Header,
    Region,
    Section,
    checksum,
    zstd,
)

ANOTHER_COPY = "take another copy of the file, or save the snapshot again"
ZERO_PAGE = bytes(PAGE_SIZE)


class SnapshotFile:
    """An open file, and those that it names as its parents.

    - identity: 16 bytes that no other content has.
    - regions, metadata: as they were given to `write`.
    - parent: the file that has what this one does not, or None.
    - depth: files in the chain, this one included.
    """

    def __init__(self, path: str | os.PathLike[str], depth: int = 1):
        """Open a file, read what it is, and its parents; of memory it reads nothing.

        Raises SnapshotError for what is none, is damaged, or of a version that is newer, and for a parent that is
        not there or is another; OSError where the file itself cannot be opened.
        """
        self.path = Path(path)
        self.parent: SnapshotFile | None = None
        self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)     # a FIFO would wait
        try:
            header = self._read_header()
            self._index = self._read_index(header.contents)
            self._read_metadata(header.metadata)
            self._check_index(header)
            if self._parent_name is not None:
                self.parent = self._open_parent(depth)
        except BaseException:
            self.close()
            raise
        self.depth: int = 1 if self.parent is None else self.parent.depth + 1

    def close(self) -> None:
        """Close the file and its parents. They are closed as well when nobody holds this any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self.parent is not None:
            self.parent.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()

    def __enter__(self) -> SnapshotFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def held(self, region: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Of each page of a region, whether this file or a parent has it; the others are zero."""
        entries = self._index[self._index["region"] == region]
        bits = entries["pages"][:, None] >> np.arange(CHUNK_PAGES, dtype="<u4") & 1
        count = -(-self.regions[region].size // CHUNK_BYTES)
        found = np.zeros((count, CHUNK_PAGES), bool)
        found[entries["chunk"]] = bits
        pages = found.reshape(-1)[:self.regions[region].size // PAGE_SIZE]
        return pages if self.parent is None else pages | self.parent.held(region)

    def read_chunk(self, region: int, chunk: int) -> bytes | None:
        """The bytes of a chunk, at most CHUNK_BYTES at the end of a region; None where all of it is zero.

        May be called by several threads. Raises SnapshotError where the file is damaged there, and OSError.
        """
        size = min(CHUNK_BYTES, self.regions[region].size - chunk * CHUNK_BYTES)
        if chunk < 0 or size <= 0:
            raise IndexError(f"{self.regions[region].name} has no chunk {chunk}")
        every = (1 << size // PAGE_SIZE) - 1
        wanted, parts = every, [ZERO_PAGE] * (size // PAGE_SIZE)
        for file in self.chain():
            at = file._find(region, chunk)
            pages = 0 if at is None else int(file._index["pages"][at])
            if at is None or not pages & wanted:
                continue
            content = file._chunk(at)
            if pages == wanted == every:
                return content
            for place, page in enumerate(_bits(pages)):
                if wanted >> page & 1:
                    parts[page] = content[place * PAGE_SIZE:(place + 1) * PAGE_SIZE]
            wanted &= ~pages
        return None if wanted == every else b"".join(parts)

    def chain(self) -> Iterator[SnapshotFile]:
        """This file, its parent, and so on."""
        file: SnapshotFile | None = self
        while file is not None:
            yield file
            file = file.parent

    def verify(self) -> None:
        """Read every chunk of this file and its parents. Raises SnapshotError for the first that is damaged."""
        for file in self.chain():
            for at in range(len(file._index)):
                file._chunk(at)

    @property
    def pages(self) -> int:
        """How many this file itself holds."""
        return int(np.unpackbits(self._index["pages"].copy().view(np.uint8)).sum())

    @property
    def size(self) -> int:
        """Bytes of this file itself."""
        return os.fstat(self._file).st_size

    # --- What a file is ----------------------------------------------------------------------------------------------

    def _damaged(self, what: str) -> SnapshotError:
        return SnapshotError(f"{self.path}: damaged: {what}; {ANOTHER_COPY}")

    def _read(self, section: Section, name: str) -> bytes:
        data = os.pread(self._file, section.size, section.offset)
        if len(data) != section.size or checksum(data) != section.checksum:
            raise self._damaged(f"{name} does not have the checksum that it should")
        return data

    def _read_header(self) -> Header:
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise SnapshotError(f"{self.path}: not a file with a snapshot, but a folder or device; name another")
        data = os.pread(self._file, HEADER_BYTES, 0)
        if not data or not data.startswith(MAGIC[:len(data)]):
            raise SnapshotError(f"{self.path}: not a file with a snapshot; name one that Snapshot.save has written")
        if len(data) < PREFIX.size:
            raise self._damaged(f"it ends after {len(data)} bytes")
        version = PREFIX.unpack_from(data)[1]
        if version != VERSION:
            raise SnapshotError(f"{self.path}: version {version} of the format, and this vm reads version {VERSION}; "
                                f"load it with the vm that saved it, or a newer one")
        if len(data) < HEADER_BYTES:
            raise self._damaged(f"it ends after {len(data)} bytes")
        self.identity = data[-CHECKSUM_BYTES:]
        if checksum(data[:-CHECKSUM_BYTES]) != self.identity:
            raise self._damaged("its header does not have the checksum that it should")
        header = Header.unpack(data)
        if header.file_bytes != status.st_size:
            raise self._damaged(f"it has {status.st_size:,} bytes, and should have {header.file_bytes:,}")
        if (header.metadata.size > LARGEST_METADATA_FRAME or header.metadata.offset < HEADER_BYTES
                or header.contents.offset != header.metadata.offset + header.metadata.size
                or header.file_bytes != header.contents.offset + header.contents.size):
            raise self._damaged("its parts do not lie as they should")
        return header

    def _read_index(self, section: Section) -> np.ndarray[Any, Any]:
        if section.size % ENTRY.itemsize:
            raise self._damaged("its index is not of whole entries")
        return np.frombuffer(self._read(section, "its index"), ENTRY)

    def _read_metadata(self, section: Section) -> None:
        stored = self._read(section, "its metadata")
        try:
            found = decode(_decompress(stored, LARGEST_METADATA, METADATA_WINDOW_LOG))
            regions, parent, self.metadata = found["regions"], found["parent"], found["data"]
            self.regions = tuple(Region(name, size) for name, size in regions)
        except (EncodingError, ValueError, TypeError, KeyError) as error:
            raise self._damaged(f"its metadata cannot be read ({error})") from None
        if len(self.regions) > MOST_REGIONS or not all(
                type(name) is str and type(size) is int and 0 < size <= LARGEST_REGION and size % PAGE_SIZE == 0
                for name, size in self.regions):
            raise self._damaged("its regions of memory are none")
        if parent is not None and not (type(parent) is tuple and [type(part) for part in parent] == [str, bytes]
                                       and "\0" not in parent[0]):
            raise self._damaged("its parent is none")
        self._parent_name: tuple[str, bytes] | None = parent

    def _check_index(self, header: Header) -> None:
        """All entries at once: a file may have hundreds of thousands."""
        index = self._index
        if not len(index):
            return
        region, chunk, offset, stored = (index[name].astype(np.int64) for name in
                                         ("region", "chunk", "offset", "stored"))
        keys = region << 32 | chunk
        if (region >= len(self.regions)).any() or (np.diff(keys) <= 0).any():
            raise self._damaged("its index is not in order")
        sizes = np.array([size for _, size in self.regions], np.int64)[region]
        room = np.clip(sizes // PAGE_SIZE - chunk * CHUNK_PAGES, 0, CHUNK_PAGES)
        if ((index["pages"] == 0) | (index["pages"].astype(np.int64) >> room != 0)).any():
            raise self._damaged("its index names pages that its memory does not have")
        end = header.metadata.offset
        if ((offset < HEADER_BYTES) | (offset > end) | (stored > end - offset) | (stored > 2 * CHUNK_BYTES)).any():
            raise self._damaged("its index names places that are not in the file")
        self._keys = keys

    def _open_parent(self, depth: int) -> SnapshotFile:
        assert self._parent_name is not None
        name, identity = self._parent_name
        path = Path(os.path.realpath(self.path)).parent / name
        if depth >= LONGEST_CHAIN:
            raise SnapshotError(f"{self.path}: more than {LONGEST_CHAIN} files that name each other; save it anew, "
                                "without a parent")
        try:
            parent = SnapshotFile(path, depth + 1)
        except OSError as error:
            raise SnapshotError(f"{self.path}: holds what differs from {path}, which cannot be read "
                                f"({error.strerror}); put that file there") from error
        if parent.identity != identity:
            parent.close()
            raise SnapshotError(f"{self.path}: holds what differs from a file that was at {path}, where another is "
                                f"now; put the one of identity {identity.hex()} there")
        if parent.regions != self.regions:
            parent.close()
            raise self._damaged(f"it has other regions of memory than its parent {path}")
        return parent

    # --- Chunks ------------------------------------------------------------------------------------------------------

    def _find(self, region: int, chunk: int) -> int | None:
        if not len(self._index):
            return None
        key = region << 32 | chunk
        at = int(self._keys.searchsorted(key))
        return at if at < len(self._keys) and int(self._keys[at]) == key else None

    def _chunk(self, at: int) -> bytes:
        """The pages that the frame of an entry holds."""
        entry = self._index[at]
        name, number = self.regions[int(entry["region"])].name, int(entry["chunk"])
        what = f"the bytes of {name} from {number * CHUNK_BYTES:#x} on"
        stored = self._read(Section(int(entry["offset"]), int(entry["stored"]), entry["checksum"].tobytes()), what)
        size = int(entry["pages"]).bit_count() * PAGE_SIZE
        try:
            content = _decompress(stored, size, CHUNK_WINDOW_LOG)
        except ValueError as error:
            raise self._damaged(f"{what} cannot be read ({error})") from None
        if len(content) != size:
            raise self._damaged(f"{what} are {len(content):,}, and should be {size:,}")
        return content


def _bits(number: int) -> list[int]:
    return [place for place in range(number.bit_length()) if number >> place & 1]


def _decompress(stored: bytes, limit: int, window_log: int) -> bytes:
    """What one frame holds, which is all of `stored`. Raises ValueError for more than `limit` bytes, and for damage."""
    module = zstd()
    reader = module.ZstdDecompressor(options={module.DecompressionParameter.window_log_max: window_log})
    try:
        content: bytes = reader.decompress(stored, limit + 1)
    except module.ZstdError as error:
        raise ValueError(str(error)) from None
    if len(content) > limit:
        raise ValueError(f"it holds more than {limit:,} bytes")
    if not reader.eof or reader.unused_data:
        raise ValueError("it is not one whole frame")
    return content
