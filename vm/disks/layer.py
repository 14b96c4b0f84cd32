"""What was written above a disk that stays as it is: a table of clusters whose state is a value.

Two levels, as a page table has them: a dict of chunks, each a dict of clusters. Captured tables are never written
again: the first write after that copies the upper level, and the first in a chunk that chunk. So capturing a state and
going back to one costs nothing for the size of the disk, and states share what they have alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

CLUSTER = 4096                  # bytes
PER_CHUNK = 512                 # clusters
CHUNK_BYTES = CLUSTER * PER_CHUNK

ZEROS = bytes(CLUSTER)
Chunk = dict[int, bytes]        # by the number of the cluster in the chunk
Table = Mapping[int, Chunk]     # by the number of the chunk
ZERO_CHUNK: Chunk = dict.fromkeys(range(PER_CHUNK), ZEROS)
EMPTY_CHUNK: Chunk = {}
EMPTY: Table = {}


class Layer:
    """The table as it is written now."""

    def __init__(self, table: Table = EMPTY) -> None:
        self.restore(table)

    def __bool__(self) -> bool:
        return bool(self._table)

    def get(self, cluster: int) -> bytes | None:
        """What was written to a cluster; None if nothing was."""
        number, index = divmod(cluster, PER_CHUNK)
        return self._table.get(number, EMPTY_CHUNK).get(index)

    def put(self, cluster: int, data: bytes) -> None:
        """Write a whole cluster."""
        number, index = divmod(cluster, PER_CHUNK)
        self._own(number)[index] = ZEROS if data == ZEROS else data

    def put_zeros(self, first: int, count: int) -> None:
        """Clusters [first, first + count) are zeros; whole chunks of them share one."""
        while count:
            number, index = divmod(first, PER_CHUNK)
            taken = min(count, PER_CHUNK - index)
            if taken == PER_CHUNK:
                self._unshare()
                self._chunks[number] = ZERO_CHUNK
                self._owned.discard(number)
            else:
                self._own(number).update(dict.fromkeys(range(index, index + taken), ZEROS))
            first += taken
            count -= taken

    def capture(self) -> Table:
        """The state now; it never changes."""
        self._shared = True
        self._owned.clear()
        return self._table

    def restore(self, table: Table) -> None:
        """Back to a state."""
        self._table = table
        self._chunks: dict[int, Chunk] = {}         # the same, while it may be written
        self._shared = True
        self._owned: set[int] = set()               # chunks that no captured state has

    def _unshare(self) -> None:
        if self._shared:
            self._table = self._chunks = dict(self._table)
            self._shared = False

    def _own(self, number: int) -> Chunk:
        if number not in self._owned:
            self._unshare()
            self._chunks[number] = dict(self._chunks.get(number, EMPTY_CHUNK))
            self._owned.add(number)
        return self._chunks[number]

    @property
    def table(self) -> Table:
        """As it is now, to be read at once."""
        return self._table


def clusters(table: Table) -> Iterator[tuple[int, bytes]]:
    """All clusters of a state, by their numbers."""
    for number in sorted(table):
        for index in sorted(table[number]):
            yield number * PER_CHUNK + index, table[number][index]


def differing(ours: Table, theirs: Table) -> Iterator[int]:
    """The clusters that are in one of two states alone, or differ. It costs what they do not share."""
    for number in ours.keys() | theirs.keys():
        here, there = ours.get(number, EMPTY_CHUNK), theirs.get(number, EMPTY_CHUNK)
        if here is not there:
            for index in here.keys() | there.keys():
                if here.get(index) != there.get(index):
                    yield number * PER_CHUNK + index
