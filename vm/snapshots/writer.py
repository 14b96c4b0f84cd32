"""Writes the file of a snapshot: in two threads, and whole or not at all."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from vm.errors import SnapshotError
from vm.sizes import PAGE_SIZE
from vm.snapshots.encoding import encode
from vm.snapshots.layout import (
    CHECKSUM_BYTES,
    CHUNK_LEVEL,
    CHUNK_PAGES,
    ENTRY,
    HEADER_BYTES,
    LARGEST_METADATA,
    LARGEST_REGION,
    LONGEST_CHAIN,
    METADATA_LEVEL,
    MOST_REGIONS,
    Header,
    Region,
    Section,
    checksum,
    zstd,
)
from vm.whole_file import whole_file

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from vm.snapshots.file import SnapshotFile

THREADS = 2
BATCH = 16                      # chunks that a thread gets at a time
AHEAD = 8                       # batches that may wait to be written: with their pages, some 16 MiB


class Chunk(NamedTuple):
    """Pages to write: of each, its number in the chunk, and its bytes."""

    region: int
    number: int
    runs: list[tuple[int, memoryview]]          # where whole pages in a row begin, and these


class Packed(NamedTuple):
    region: int
    number: int
    pages: int                                  # which the frame holds, a bit each
    frame: bytes
    checksum: bytes


def write(path: str | os.PathLike[str], metadata: Any, regions: Sequence[Region],
          pages: Iterable[tuple[int, int, Buffer]], parent: SnapshotFile | None = None) -> bytes:
    """Write a file, in place of the one that may be there: whatever happens, the old or the new one is whole.

    Returns its identity.

    - metadata: plain data, as vm.snapshots.encoding has it.
    - pages: of the region of that index, from the page of that number on, the bytes of whole pages in a row; in
      rising order of regions and pages. What is never given is zero, or as in the parent. Read while it is written.
    - parent: the file that has what this one does not. It is found again by its path, relative to this file, and
      known by its identity.

    Raises EncodingError for metadata that is no plain data, SnapshotError for what no file can hold or a chain of
    parents that is too long, ValueError for pages outside of their region or out of order, and OSError; then the old
    file is as it was.
    """
    path = Path(path)
    if len(regions) > MOST_REGIONS or any(not 0 < size <= LARGEST_REGION or size % PAGE_SIZE for _, size in regions):
        raise SnapshotError(f"{path}: a file holds at most {MOST_REGIONS} regions, each of whole pages and at most "
                            f"{LARGEST_REGION:,} bytes")
    named = None if parent is None else _name_parent(path, regions, parent)
    encoded = encode({"regions": tuple(map(tuple, regions)), "parent": named, "data": metadata})
    if len(encoded) > LARGEST_METADATA:
        raise SnapshotError(f"{path}: {len(encoded):,} bytes beside RAM, and a file holds {LARGEST_METADATA:,}")
    with whole_file(path) as file:
        return _write_content(file, encoded, _packed(_chunks(regions, pages), keep_zeros=parent is not None))


def _name_parent(path: Path, regions: Sequence[Region], parent: SnapshotFile) -> tuple[str, bytes]:
    """How a file names its parent: the path from its own folder to there, and what must be found there."""
    if parent.depth >= LONGEST_CHAIN:
        raise SnapshotError(f"{path}: {parent.path} is at the end of a chain of {parent.depth} files, and there are no "
                            f"longer ones; save without a parent")
    if parent.regions != tuple(regions):
        raise SnapshotError(f"{path}: {parent.path} has other regions of memory; save without a parent")
    if any(os.path.realpath(path) == os.path.realpath(file.path) for file in parent.chain()):
        raise SnapshotError(f"{path}: the file would hold what differs from itself; save under another name, or "
                            f"without a parent")
    return os.path.relpath(os.path.realpath(parent.path), os.path.realpath(path.parent)), parent.identity


def _write_content(file: BinaryIO, encoded: bytes, packed: Iterable[Packed]) -> bytes:
    file.write(bytes(HEADER_BYTES))
    at = HEADER_BYTES
    entries: list[tuple[int, int, int, int, int, bytes]] = []
    places: dict[bytes, int] = {}               # of frames that are there already
    for chunk in packed:
        place = places.setdefault(chunk.checksum, at)
        entries.append((chunk.region, chunk.number, place, len(chunk.frame), chunk.pages, chunk.checksum))
        if place == at:
            file.write(chunk.frame)
            at += len(chunk.frame)
    metadata = zstd().compress(encoded, level=METADATA_LEVEL)
    index = np.array(entries, ENTRY).tobytes()
    file.write(metadata)
    file.write(index)
    index_at = at + len(metadata)
    header = Header(index_at + len(index), Section(at, len(metadata), checksum(metadata)),
                    Section(index_at, len(index), checksum(index)))
    file.seek(0)
    file.write(packed_header := header.pack())
    return packed_header[-CHECKSUM_BYTES:]


# --- Chunks ----------------------------------------------------------------------------------------------------------

def _chunks(regions: Sequence[Region], pages: Iterable[tuple[int, int, Buffer]]) -> Iterator[Chunk]:
    """Cut and join runs of pages to chunks."""
    chunk: Chunk | None = None
    beyond = (0, 0)                             # the first page that may come next
    for region, first, buffer in pages:
        view = memoryview(buffer).cast("B")
        count, rest = divmod(len(view), PAGE_SIZE)
        if rest or (region, first) < beyond or not 0 <= region < len(regions):
            raise ValueError(f"region {region}, page {first}: {len(view)} bytes are no whole pages that come next")
        if (first + count) * PAGE_SIZE > regions[region].size:
            raise ValueError(f"region {region}, page {first}: {count} pages end beyond {regions[region].name}")
        beyond = region, first + count
        for at in _cuts(first, count):
            number, inside = divmod(at, CHUNK_PAGES)
            end = min((number + 1) * CHUNK_PAGES, first + count)
            run = inside, view[(at - first) * PAGE_SIZE:(end - first) * PAGE_SIZE]
            if chunk is not None and (chunk.region, chunk.number) == (region, number):
                chunk.runs.append(run)
                continue
            if chunk is not None:
                yield chunk
            chunk = Chunk(region, number, [run])
    if chunk is not None:
        yield chunk


def _cuts(first: int, count: int) -> Iterator[int]:
    """Where the parts of these pages begin that lie in one chunk each."""
    at = first
    while at < first + count:
        yield at
        at = (at // CHUNK_PAGES + 1) * CHUNK_PAGES


def _packed(chunks: Iterator[Chunk], keep_zeros: bool) -> Iterator[Packed]:
    """The frames of chunks, in their order."""
    with ThreadPoolExecutor(THREADS, "vm-snapshot") as threads:
        waiting: deque[Future[list[Packed]]] = deque()
        while batch := list(islice(chunks, BATCH)):
            waiting.append(threads.submit(_pack, batch, keep_zeros))
            if len(waiting) > AHEAD:
                yield from waiting.popleft().result()
        for future in waiting:
            yield from future.result()


def _pack(chunks: list[Chunk], keep_zeros: bool) -> list[Packed]:
    module = zstd()
    compressor = module.ZstdCompressor(level=CHUNK_LEVEL)
    found = []
    for chunk in chunks:
        pages, content = _content(chunk, keep_zeros)
        if pages:
            frame = compressor.compress(content, module.ZstdCompressor.FLUSH_FRAME)
            found.append(Packed(chunk.region, chunk.number, pages, frame, checksum(frame)))
    return found


def _content(chunk: Chunk, keep_zeros: bool) -> tuple[int, Buffer]:
    """Which pages of a chunk are written, a bit each, and these. Zeros are, over a parent which may have others."""
    held, parts = 0, []
    for first, view in chunk.runs:
        count = len(view) // PAGE_SIZE
        words = np.frombuffer(view, np.uint64).reshape(count, -1)
        written = np.ones(count, bool) if keep_zeros else words.any(axis=1)
        if written.all():
            parts.append(view)
        else:
            parts += [view[page * PAGE_SIZE:(page + 1) * PAGE_SIZE] for page in np.flatnonzero(written)]
        held |= sum(1 << first + int(page) for page in np.flatnonzero(written))
    return held, parts[0] if len(parts) == 1 else b"".join(parts)
