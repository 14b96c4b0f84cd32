"""Guest memory that a driver has attached to a resource: virtio 1.2, section 5.7.6.8, VIRTIO_GPU_CMD_RESOURCE_ATTACH_
BACKING."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vm.memory import Memory


class Backing:
    """Pieces of guest memory, (physical address, length), that count as one range of bytes.

    Raises ValueError for what no guest can say, which a saved state can.
    """

    def __init__(self, pieces: Iterable[tuple[int, int]]):
        self.pieces = [(address, length) for address, length in pieces if length]
        if any(min(piece) < 0 for piece in self.pieces):
            raise ValueError("a piece of memory with a negative address or length")
        self._starts = [0, *accumulate(length for _, length in self.pieces)]
        self._low = min((address for address, _ in self.pieces), default=0)
        self._high = max((address + length for address, length in self.pieces), default=0)

    @property
    def size(self) -> int:
        return self._starts[-1]

    def refuse_outside(self, memory: Memory) -> None:
        """Raise BusError unless all of it is in one region of RAM."""
        if self.pieces:
            memory.view(self._low, self._high - self._low)

    def read_into(self, target: memoryview, memory: Memory, offset: int) -> int:
        """Fill `target` from the bytes at `offset` and on, which must all be there; returns of how many pieces."""
        first = index = bisect_right(self._starts, offset) - 1
        skip = offset - self._starts[index]
        low, ram = self._low, memory.view(self._low, self._high - self._low)
        filled, wanted = 0, len(target)
        while filled < wanted:
            address, length = self.pieces[index]
            size = min(length - skip, wanted - filled)
            start = address + skip - low
            target[filled:filled + size] = ram[start:start + size]
            filled += size
            index += 1
            skip = 0
        return index - first
