"""A qcow2 image that is open: where each cluster of the disk is, and how that changes safely.

The L1 table names the L2 tables, and these say of each cluster of the disk where it is in the file: nowhere (the
backing file has it, or it is zeros), in a cluster of its own, compressed somewhere, or that it reads as zeros.

What the guest writes goes into the file at once, tables stay in memory until `flush`. A cluster is only ever written
in place if the tables in the file, too, say that it is this one's alone. So a process that is killed loses what was
not flushed, and leaves at worst clusters that nobody uses. `flush` keeps the order that a failure of the power needs.
"""

from __future__ import annotations

import logging
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from vm.disks.image import PUNCH_HOLE, Damaged, Extent, HostFile, Image
from vm.disks.qcow2 import compression
from vm.disks.qcow2.header import COMPRESSION_TYPE, MOST_L1_BYTES, Header, read_header
from vm.disks.qcow2.refcounts import Refcounts, big_endian, from_big_endian
from vm.errors import ConfigurationError

log = logging.getLogger("vm.disks")

COPIED, COMPRESSED, ZERO = 1 << 63, 1 << 62, 1
OFFSET = (1 << 56) - 512

MOST_DIRTY = 64                 # L2 tables, before they are written without being asked
MOST_TABLE_BYTES = 32 << 20     # of L2 tables that are kept
UNPACKED = 8                    # clusters that are kept


class Place(NamedTuple):
    """Where clusters of the disk are: `kind` is that of an `Extent`, "data" at `offset` in the file, or "packed", one
    cluster that is compressed, with its entry as `offset`."""

    kind: str
    offset: int = 0


class Qcow2Image(Image):
    """Other threads may read while one writes."""

    format = "qcow2"

    def __init__(self, file: HostFile, below: Image | None = None, header: Header | None = None):
        self.file = file
        self.path = file.path
        self.below = below
        self.read_only = file.read_only
        self.header = header = header or read_header(file, writing=not file.read_only)
        compression.check(self.path, header.compression)
        self.size = header.size
        self.cluster = header.cluster
        self.per_table = header.cluster // 8
        self.lock = threading.RLock()
        self.l1 = from_big_endian("Q", file.read(header.l1_offset, 8 * header.l1_size))
        self.tables: OrderedDict[int, array[int]] = OrderedDict()       # L2 tables, by their place in the L1 table
        self.unpacked: OrderedDict[int, bytes] = OrderedDict()
        self.dirty: dict[int, set[int]] = {}            # entries that changed, by the table's place
        self.fresh: set[int] = set()                    # tables that the L1 table in the file does not name
        self.unused: list[int] = []                     # clusters that the tables in the file still name
        self.packed_end = 0                             # where the next compressed cluster may go; 0: in a new cluster
        self.end = file.size                            # up to where clusters are used
        self.header_changed = False
        self._refuse_bad_tables()
        if header.snapshots:
            log.warning("%s: has %d internal snapshots; they stay as they are, and cannot be looked at",
                        self.path, header.snapshots)
        if not self.read_only:
            self._prepare_writing()

    def _refuse_bad_tables(self) -> None:
        for entry in self.l1:
            offset = entry & OFFSET
            if offset % self.cluster or offset and offset + self.cluster > self.file.size:
                raise ConfigurationError(f"{self.path}: qcow2 image is damaged: an L2 table at {offset:#x}; look at it "
                                         f"with: qemu-img check {self.path}")

    def _prepare_writing(self) -> None:
        header = self.header
        self.metadata: set[int] = {0}
        self.refcounts = Refcounts(self.file, header, self.metadata.__contains__)
        tables = [0, *range(header.l1_offset, header.l1_offset + 8 * header.l1_size, self.cluster),
                  *self.refcounts.offsets(), *(entry & OFFSET for entry in self.l1 if entry & OFFSET)]
        self.metadata.update(tables)
        try:
            bad = len(self.metadata) < len(tables) or any(self.refcounts.get(offset // self.cluster) == 0
                                                          for offset in tables)
        except Damaged:
            bad = True
        if bad:
            raise ConfigurationError(f"{self.path}: qcow2 image is damaged: its tables overlap, or are said to be "
                                     f"free; repair it with: qemu-img check -r all {self.path}")
        if header.autoclear:                            # of features that are unknown here, and broken by a write
            self._change_header(autoclear=0)
            self._write_header()

    # --- Where a cluster is ------------------------------------------------------------------------------------------

    def _table(self, place: int) -> array[int] | None:
        table = self.tables.get(place)
        if table is not None:
            self.tables.move_to_end(place)
            return table
        offset = self.l1[place] & OFFSET
        if not offset:
            return None
        table = self._keep(place, from_big_endian("Q", self.file.read(offset, self.cluster)))
        return table

    def _keep(self, place: int, table: array[int]) -> array[int]:
        self.tables[place] = table
        if len(self.tables) * self.cluster > MOST_TABLE_BYTES:
            for old in list(self.tables)[:-2]:
                if old not in self.dirty:
                    del self.tables[old]
        return table

    def _entry(self, cluster: int) -> int:
        table = self._table(cluster // self.per_table)
        return 0 if table is None else table[cluster % self.per_table]

    def _place(self, cluster: int) -> Place:
        """Raises Damaged."""
        entry = self._entry(cluster)
        if entry & COMPRESSED:
            return Place("packed", entry)
        if entry & ZERO:
            if self.header.version == 2:
                raise Damaged(self.path, "an entry that only version 3 has")
            return Place("zero")
        offset = entry & OFFSET
        if not offset:
            return Place("below" if self.below else "zero")
        if offset % self.cluster:
            raise Damaged(self.path, f"a cluster at {offset:#x}")
        return Place("data", offset)

    def _places(self, start: int, end: int) -> Iterator[tuple[int, int, Place]]:
        """The places of a range, as (start, stop, place); clusters that follow each other are one."""
        while start < end:
            cluster = start // self.cluster
            place = self._place(cluster)
            offset = place.offset + start % self.cluster
            stop = (cluster + 1) * self.cluster
            if not self.l1[cluster // self.per_table] & OFFSET and cluster // self.per_table not in self.tables:
                stop = (cluster // self.per_table + 1) * self.per_table * self.cluster
            while stop < end and place.kind != "packed":
                following = self._place(stop // self.cluster)
                if following.kind != place.kind:
                    break
                if place.kind == "data" and following.offset - place.offset != stop - cluster * self.cluster:
                    break
                stop += self.cluster
            stop = min(stop, end)
            yield start, stop, Place(place.kind, offset) if place.kind == "data" else place
            start = stop

    # --- Reading -----------------------------------------------------------------------------------------------------

    def read(self, offset: int, view: memoryview) -> None:
        with self.lock:
            for start, stop, place in self._places(offset, offset + len(view)):
                part = view[start - offset:stop - offset]
                if place.kind == "data":
                    part[:] = self.file.read(place.offset, len(part))
                elif place.kind == "packed":
                    skip = start % self.cluster
                    part[:] = self._unpack(place.offset)[skip:skip + len(part)]
                elif place.kind == "below":
                    read_padded(self.below, start, part)
                else:
                    part[:] = bytes(len(part))

    def _span(self, entry: int) -> tuple[int, int]:
        """Offset and length in the file of a compressed cluster."""
        bits = 62 - (self.header.cluster_bits - 8)
        offset = entry & (1 << bits) - 1
        sectors = (entry & COMPRESSED - 1) >> bits
        return offset, (sectors + 1) * 512 - offset % 512

    def _unpack(self, entry: int) -> bytes:
        data = self.unpacked.get(entry)
        if data is None:
            data = compression.decompress(self.header.compression, self.file.read(*self._span(entry)), self.cluster)
            if data is None:
                raise Damaged(self.path, f"a compressed cluster at {self._span(entry)[0]:#x}")
            self.unpacked[entry] = data
            if len(self.unpacked) > UNPACKED:
                self.unpacked.popitem(last=False)
        return data

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        with self.lock:
            for first, stop, place in self._places(start, end):
                yield Extent(first, stop, "data" if place.kind == "packed" else place.kind)

    # --- Writing -----------------------------------------------------------------------------------------------------

    def write(self, offset: int, views: Iterable[memoryview]) -> None:
        data = memoryview(b"".join(views))
        with self.lock:
            end = offset + len(data)
            start = offset
            while start < end:
                cluster, skip = divmod(start, self.cluster)
                stop = min(end, start - skip + self.cluster)
                self._write_cluster(cluster, skip, data[start - offset:stop - offset])
                start = stop
            self._limit_dirty()

    def _write_cluster(self, cluster: int, skip: int, data: memoryview) -> None:
        """Write inside one cluster."""
        entry = self._entry(cluster)
        if entry & COPIED and not entry & (ZERO | COMPRESSED):
            offset = self._place(cluster).offset
            if offset in self.metadata:
                raise Damaged(self.path, f"a cluster at {offset:#x}, where a table is")
            self.file.write(offset + skip, [data])
            return
        place = self._place(cluster)                    # raises for what is damaged before anything has changed
        head = tail = b""
        if len(data) < self.cluster and place.kind != "zero":
            whole = self._whole(cluster)
            head, tail = whole[:skip], whole[skip + len(data):]
        table = self._own_table(cluster // self.per_table)
        offset = self._allocate()
        if offset >= self.file.size and not head and not tail:      # nobody has written there
            self.file.write(offset + skip, [data])
        else:
            tail = tail or bytes(self.cluster - skip - len(data))
            self.file.write(offset, [head or bytes(skip), data, tail])
        self._set(cluster, table, offset | COPIED)

    def _whole(self, cluster: int) -> bytes:
        """A cluster of the disk; behind the end of the disk zeros."""
        data = bytearray(self.cluster)
        start = cluster * self.cluster
        self.read(start, memoryview(data)[:max(0, min(self.cluster, self.size - start))])
        return bytes(data)

    def _allocate(self) -> int:
        offset = self.refcounts.allocate()
        self.end = max(self.end, offset + self.cluster)
        return offset

    def _own_table(self, place: int) -> array[int]:
        """An L2 table that may be written: a new one, or a copy where a snapshot has the same."""
        table = self._table(place)
        if table is not None and (self.l1[place] & COPIED or place in self.fresh):
            return table
        old = self.l1[place] & OFFSET
        offset = self._allocate()
        table = self._keep(place, array("Q", [0]) * self.per_table if table is None else table)
        self.l1[place] = offset | COPIED
        self.metadata.add(offset)
        self.fresh.add(place)
        self.dirty.setdefault(place, set())
        if old:
            self.unused.append(old // self.cluster)
        return table

    def _set(self, cluster: int, table: array[int], entry: int) -> None:
        """Change an entry; what it named is free once the tables in the file no longer name it."""
        place, index = divmod(cluster, self.per_table)
        old = table[index]
        table[index] = entry
        self.dirty.setdefault(place, set()).add(index)
        self.unused += self._named(old)

    def _named(self, entry: int) -> Iterable[int]:
        """The clusters of the file that an entry uses."""
        if entry & COMPRESSED:
            offset, length = self._span(entry)
            return range(offset // self.cluster, (offset + length - 1) // self.cluster + 1)
        return [(entry & OFFSET) // self.cluster] if entry & OFFSET else []

    def write_compressed(self, cluster: int, data: bytes) -> bool:
        """Write a whole cluster, which nobody has written yet, compressed; false if that makes it no smaller."""
        packed = compression.compress(data)
        if len(packed) >= self.cluster or self.header.compression:
            return False
        with self.lock:
            table = self._own_table(cluster // self.per_table)
            start = self.packed_end
            room = -start % self.cluster
            if len(packed) > room:
                following = self._allocate()
                if not room or following != start + room:
                    start = following
            else:
                self.refcounts.change(start // self.cluster, 1)
            if len(packed) > room and start % self.cluster:
                self.refcounts.change(start // self.cluster, 1)
            self.file.write(start, [packed])
            self.packed_end = start + len(packed)
            bits = 62 - (self.header.cluster_bits - 8)
            sectors = ((start + len(packed) - 1) >> 9) - (start >> 9)
            self._set(cluster, table, COMPRESSED | sectors << bits | start)
            self._limit_dirty()
        return True

    # --- Zeros -------------------------------------------------------------------------------------------------------

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        with self.lock:
            start, end = offset, offset + length
            while start < end:
                cluster, skip = divmod(start, self.cluster)
                stop = min(end, start - skip + self.cluster)
                if skip == 0 and (stop - start == self.cluster or stop == self.size):
                    if not self.l1[cluster // self.per_table] and cluster // self.per_table not in self.tables \
                            and not self.below:
                        stop = min(end, (cluster // self.per_table + 1) * self.per_table * self.cluster)
                    else:
                        self._zero_cluster(cluster)
                elif self._place(cluster).kind != "zero":
                    self._write_cluster(cluster, skip, memoryview(bytes(stop - start)))
                start = stop
            self._limit_dirty()

    def _zero_cluster(self, cluster: int) -> None:
        if self._place(cluster).kind == "zero":
            return
        if self.below and self.header.version == 2:
            self._write_cluster(cluster, 0, memoryview(bytes(self.cluster)))
        else:
            self._set(cluster, self._own_table(cluster // self.per_table), ZERO if self.below else 0)

    def discard(self, offset: int, length: int) -> None:
        self.zero(offset, length, unmap=True)

    # --- To the host's disk ------------------------------------------------------------------------------------------

    def _limit_dirty(self) -> None:
        if len(self.dirty) > MOST_DIRTY:
            self.flush()

    def flush(self) -> None:
        """Data, counts and new tables first; then what names them; last, what nothing names any more becomes free."""
        with self.lock:
            if self.read_only:
                return
            if self.dirty or self.refcounts.dirty or self.refcounts.new or self.header_changed:
                self._flush_tables()
            self.file.flush()
            self._free()

    def _flush_tables(self) -> None:
        if self.end > self.file.size:
            self.file.truncate(self.end)
        self.refcounts.write_blocks()
        for place in self.fresh & self.tables.keys():
            self.file.write(self.l1[place] & OFFSET, [big_endian(self.tables[place])])
        if self.refcounts.new:
            self.file.flush()
            self._write_refcount_table()
        self.file.flush()
        for place, entries in self.dirty.items():
            if place not in self.fresh:
                offset = self.l1[place] & OFFSET
                for first, stop in runs(entries):
                    self.file.write(offset + 8 * first, [big_endian(self.tables[place][first:stop])])
        for place in self.fresh:
            self.file.write(self.header.l1_offset + 8 * place, [self.l1[place].to_bytes(8, "big")])
        self.dirty.clear()
        self.fresh.clear()
        if self.header_changed:
            self._write_header()

    def _write_refcount_table(self) -> None:
        counts = self.refcounts
        counts.write_table()
        self.metadata.update(counts.offsets())
        if counts.moved:
            self.file.flush()
            self._change_header(refcount_offset=counts.offset,
                                refcount_clusters=8 * len(counts.table) // self.cluster)
            self._write_header()
            counts.moved = False
            self.unused += counts.left
            self.metadata.difference_update(cluster * self.cluster for cluster in counts.left)
            counts.left.clear()

    def _free(self) -> None:
        """What the tables in the file no longer name may be used again; the next flush writes that it is free."""
        if self.unused:
            self.packed_end = 0
            self.unpacked.clear()
        free: set[int] = set()
        while self.unused:
            cluster = self.unused.pop()
            self.refcounts.change(cluster, -1)
            if self.refcounts.get(cluster) == 0:
                self.metadata.discard(cluster * self.cluster)
                free.add(cluster)
        for first, stop in runs(free):
            self.file.allocate(PUNCH_HOLE, first * self.cluster, (stop - first) * self.cluster)

    def _change_header(self, **fields: Any) -> None:
        self.header = replace(self.header, **fields)
        self.header_changed = True

    def _write_header(self) -> None:
        self.file.write(0, [self.header.pack()])
        self.header_changed = False

    # --- The whole image ---------------------------------------------------------------------------------------------

    def resize(self, size: int) -> None:
        with self.lock:
            if self.header.snapshots:
                raise OSError(95, "an image with internal snapshots keeps its size")
            if size < self.size:
                start = -(-size // self.cluster) * self.cluster
                if start < self.size:
                    self.zero(start, self.size - start, unmap=True)
            elif self.size % self.cluster:              # what is behind the end of the disk is anything
                cluster, skip = divmod(self.size, self.cluster)
                if self._place(cluster).kind in ("data", "packed"):
                    self._write_cluster(cluster, skip, memoryview(bytes(self.cluster - skip)))
            old, needed = self.size, -(-size // (self.cluster * self.per_table))
            if needed > len(self.l1):
                self._grow_l1(needed)
            self.size = size
            if self.below and self.below.size > old and size > old:
                self.zero(old, min(size, self.below.size) - old, unmap=True)
            self._change_header(size=size)
            self.flush()

    def _grow_l1(self, entries: int) -> None:
        if 8 * entries > MOST_L1_BYTES:
            raise OSError(27, "no image with clusters of this size has room for such a disk")
        self.flush()                                    # so that the old table is the one in the file
        count = -(-8 * entries // self.cluster)
        offset = self.refcounts.allocate(count)
        self.end = max(self.end, offset + count * self.cluster)
        old = range(self.header.l1_offset // self.cluster,
                    -(-(self.header.l1_offset + 8 * self.header.l1_size) // self.cluster))
        self.l1.extend([0] * (entries - len(self.l1)))
        self.file.write(offset, [big_endian(self.l1).ljust(count * self.cluster, b"\0")])
        self.metadata.update(range(offset, offset + count * self.cluster, self.cluster))
        self._change_header(l1_size=entries, l1_offset=offset)
        self.unused += old

    def make_empty(self) -> None:
        """Forget all that was written, so that the backing file shows again."""
        with self.lock:
            for place, entry in enumerate(self.l1):
                if entry & OFFSET:
                    for index, old in enumerate(self._own_table(place)):
                        if old:
                            self._set(place * self.per_table + index, self.tables[place], 0)
            self.settle()
            self.end = self.refcounts.end() * self.cluster
            self.file.truncate(self.end)

    def name_backing(self, name: str | None, format: str | None) -> None:
        """Write which file this one is an overlay of; nothing else changes."""
        if len(replace(self.header, backing=name, backing_format=format).pack()) > self.cluster:
            raise ConfigurationError(f"{self.path}: no room in a cluster of {self.cluster} bytes for the name {name}")
        self._change_header(backing=name, backing_format=format)
        self.flush()

    def settle(self) -> None:
        if self.file.descriptor >= 0 and not self.read_only:
            self.flush()
            self.flush()                                # what the first one found to be free

    def close(self) -> None:
        try:
            self.settle()
        finally:
            super().close()


def read_padded(image: Image | None, offset: int, view: memoryview) -> None:
    """Read from what is below, which may be shorter: zeros follow it."""
    inside = max(0, min(len(view), image.size - offset)) if image else 0
    if image and inside:
        image.read(offset, view[:inside])
    view[inside:] = bytes(len(view) - inside)


def runs(numbers: set[int]) -> Iterator[tuple[int, int]]:
    """Numbers as [first, stop) ranges."""
    first = stop = -1
    for number in sorted(numbers):
        if number != stop:
            if first >= 0:
                yield first, stop
            first = number
        stop = number + 1
    if first >= 0:
        yield first, stop


def new_header(size: int, cluster_bits: int = 16, version: int = 3, backing: str | None = None,
               backing_format: str | None = None, compression: int = 0) -> tuple[Header, bytes]:
    """The header and the whole content of an image in which nothing is written."""
    cluster = 1 << cluster_bits
    entries = -(-size // (cluster * (cluster // 8)))
    l1_clusters = max(1, -(-8 * entries // cluster))
    used = 3 + l1_clusters                              # header, reference count table and block, L1 table
    header = Header(version, cluster_bits, size, entries, 3 * cluster, cluster, 1, backing=backing,
                    backing_format=backing_format, incompatible=COMPRESSION_TYPE if compression else 0,
                    compression=compression)
    if 8 * entries > MOST_L1_BYTES or used > cluster // 2 or len(header.pack()) > cluster:
        raise ConfigurationError(f"a qcow2 image of {size} bytes needs larger clusters than {cluster} bytes")
    table = (2 * cluster).to_bytes(8, "big").ljust(cluster, b"\0")
    block = (b"\0\1" * used).ljust(cluster, b"\0")
    return header, header.pack().ljust(cluster, b"\0") + table + block + bytes(l1_clusters * cluster)
