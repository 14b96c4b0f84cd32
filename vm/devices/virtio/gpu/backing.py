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
    """Pieces of guest memory, (physical address, length), that count as one range of bytes."""

    def __init__(self, pieces: Iterable[tuple[int, int]]):
        self.pieces = [(address, length) for address, length in pieces if length]
        self._starts = [0, *accumulate(length for _, length in self.pieces)]

    @property
    def size(self) -> int:
        return self._starts[-1]

    def refuse_outside(self, memory: Memory) -> None:
        """Raise BusError unless all of it is RAM."""
        for address, length in self.pieces:
            memory.view(address, length)

    def read_into(self, target: memoryview, memory: Memory, offset: int) -> None:
        """Fill `target` from the bytes at `offset` and on, which must all be there."""
        index = bisect_right(self._starts, offset) - 1
        skip = offset - self._starts[index]
        filled = 0
        while filled < len(target):
            address, length = self.pieces[index]
            size = min(length - skip, len(target) - filled)
            target[filled:filled + size] = memory.view(address + skip, size)
            filled += size
            index += 1
            skip = 0
