"""How often each cluster of a qcow2 image is used, and where there is room for another.

A table of the offsets of blocks; a block holds the reference counts of as many clusters as fit in one. What changes is
kept here until `Qcow2Image.flush` has it written, in the order that a crash at any moment leaves nothing worse than
clusters that nobody uses.
"""

from __future__ import annotations

import errno
import sys
from array import array
from collections.abc import Callable, Iterable

from vm.disks.image import Damaged, HostFile
from vm.disks.qcow2.header import MOST_REFCOUNT_BYTES, Header

OFFSET = (1 << 64) - 512                # of an entry of the table
TYPES = {3: "B", 4: "H", 5: "I", 6: "Q"}        # of a count, by the order


def big_endian(entries: array[int]) -> bytes:
    """As they are in the file."""
    if sys.byteorder == "little":
        entries = entries[:]
        entries.byteswap()
    return entries.tobytes()


def from_big_endian(kind: str, data: bytes | bytearray) -> array[int]:
    entries = array(kind, bytes(data))
    if sys.byteorder == "little":
        entries.byteswap()
    return entries


def unpack_counts(data: bytes | bytearray, order: int) -> array[int]:
    if order >= 3:
        return from_big_endian(TYPES[order], data)
    bits = 1 << order
    parts = [bytes(byte >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)) for byte in range(256)]
    return array("B", b"".join(parts[byte] for byte in data))


def pack_counts(counts: array[int], order: int) -> bytes:
    if order >= 3:
        return big_endian(counts)
    bits, each = 1 << order, 8 >> order
    return bytes(sum(count << bits * place for place, count in enumerate(counts[start:start + each]))
                 for start in range(0, len(counts), each))


class Refcounts:
    """`is_metadata(offset)` says that a cluster holds a table, whatever its count is."""

    def __init__(self, file: HostFile, header: Header, is_metadata: Callable[[int], bool]):
        self.file = file
        self.cluster = header.cluster
        self.order = header.refcount_order
        self.most = (1 << (1 << header.refcount_order)) - 1
        self.per_block = header.cluster * 8 >> header.refcount_order
        self.offset = header.refcount_offset
        self.table = from_big_endian("Q", file.read(header.refcount_offset, header.refcount_clusters * self.cluster))
        self.is_metadata = is_metadata
        self.blocks: dict[int, array[int]] = {}         # that were read, by their place in the table
        self.dirty: set[int] = set()                    # of them
        self.new: set[int] = set()                      # entries of the table that are not in the file
        self.hint = 0                                   # no cluster before this is free
        self.moved = False                              # the table, to another place
        self.left: list[int] = []                       # clusters where it was

    def offsets(self) -> Iterable[int]:
        """Where the table and its blocks are."""
        yield from range(self.offset, self.offset + 8 * len(self.table), self.cluster)
        yield from (entry & OFFSET for entry in self.table if entry & OFFSET)

    def block(self, number: int) -> array[int] | None:
        """The counts of the clusters from number * per_block on; None if all are zero."""
        if number >= len(self.table) or not (offset := self.table[number] & OFFSET):
            return None
        if number not in self.blocks:
            if offset % self.cluster or offset + self.cluster > self.file.size:
                raise Damaged(self.file.path, f"reference counts at {offset:#x}")
            self.blocks[number] = unpack_counts(self.file.read(offset, self.cluster), self.order)
        return self.blocks[number]

    def get(self, cluster: int) -> int:
        block = self.block(cluster // self.per_block)
        return 0 if block is None else block[cluster % self.per_block]

    def end(self) -> int:
        """The cluster from which on none is used."""
        for number in reversed(range(len(self.table))):
            block = self.block(number)
            used = [index for index, count in enumerate(block) if count] if block else []
            if used:
                return number * self.per_block + used[-1] + 1
        return 0

    def change(self, cluster: int, by: int) -> None:
        number, index = divmod(cluster, self.per_block)
        block = self.block(number)
        count = (0 if block is None else block[index]) + by
        if block is None or not 0 <= count <= self.most:
            raise Damaged(self.file.path, f"cluster {cluster} is used more or less often than its reference count says")
        block[index] = count
        self.dirty.add(number)
        if count == 0:
            self.hint = min(self.hint, cluster)

    def allocate(self, count: int = 1) -> int:
        """The offset of as many free clusters in a row, which are used once from now on."""
        found = self._find(count)
        for cluster in range(found, found + count):
            if self.is_metadata(cluster * self.cluster):
                raise Damaged(self.file.path, f"cluster {cluster} holds a table and is said to be free")
            self.change(cluster, 1)
        if count == 1 or found == self.hint:
            self.hint = found + count
        return found * self.cluster

    def _find(self, count: int) -> int:
        """The first of as many free clusters in a row; all of them have a block."""
        start = self.hint
        if count == 1:
            return self._next_free(start)
        while True:
            first = start = self._next_free(start)
            while start < first + count and not self.get(start):
                self._with_block(start // self.per_block)
                if self.get(start):
                    break
                start += 1
            if start == first + count:
                return first

    def _next_free(self, cluster: int) -> int:
        number, index = divmod(cluster, self.per_block)
        while True:
            try:
                return number * self.per_block + self._with_block(number).index(0, index)
            except ValueError:
                number, index = number + 1, 0

    def _with_block(self, number: int) -> array[int]:
        """The block, which is made if there is none: in the first of the clusters that it counts."""
        block = self.block(number)
        if block is not None:
            return block
        cluster = number * self.per_block
        if self.is_metadata(cluster * self.cluster):
            raise Damaged(self.file.path, f"cluster {cluster} holds a table and is said to be free")
        if number >= len(self.table):
            self._grow(number)
        block = self.blocks[number] = array("B" if self.order < 3 else TYPES[self.order], [0]) * self.per_block
        taken = 8 * len(self.table) // self.cluster if self.offset == cluster * self.cluster + self.cluster else 0
        for index in range(1 + taken):
            block[index] = 1
        self.table[number] = cluster * self.cluster
        self.dirty.add(number)
        self.new.add(number)
        return block

    def _grow(self, number: int) -> None:
        """A table with room for that block, right behind it: in clusters that it counts."""
        length = max(number + 1, 2 * len(self.table))
        length += -length % (self.cluster // 8)
        taken = 8 * length // self.cluster
        if 1 + taken > self.per_block or 8 * length > max(MOST_REFCOUNT_BYTES, self.cluster):
            raise OSError(errno.EFBIG, "the image has no room for more reference counts; "
                                       "convert it to one with larger clusters")
        self.left.extend(range(self.offset // self.cluster, (self.offset + 8 * len(self.table)) // self.cluster))
        self.table.extend([0] * (length - len(self.table)))
        self.offset = (number * self.per_block + 1) * self.cluster
        self.new.update(range(length))
        self.moved = True

    # --- To the file, by `Qcow2Image.flush` ---------------------------------------------------------------------------

    def write_blocks(self) -> None:
        for number in sorted(self.dirty):
            self.file.write(self.table[number] & OFFSET, [pack_counts(self.blocks[number], self.order)])
        self.dirty.clear()

    def write_table(self) -> None:
        """Entries of blocks that are in the file."""
        if self.moved:
            self.file.write(self.offset, [big_endian(self.table)])
        else:
            for number in self.new:
                self.file.write(self.offset + 8 * number, [self.table[number].to_bytes(8, "big")])
        self.new.clear()
