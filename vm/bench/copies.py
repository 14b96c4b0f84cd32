"""Copies measured in this process, without Python in between; vm.bench.child does it in one of its own."""

import mmap

import numpy as np

from vm.bench.measure import Pair
from vm_native.memory import copy
from vm_native.memory.copy import libc, measure

# Offsets of target and source from a page. In the last, the target is just above the source but for whole pages.
OFFSETS = {"aligned": (0, 0), "unaligned": (5, 13), "page alias": (80, 64)}
BYTE_LOOP, OVERLAPPING = "byte loop", "overlapping"
LOOP_BYTES = 1 << 17                    # that a run of the byte loop copies
STREAMED_FROM = 1 << 20


def buffers(size: int, target: int, source: int) -> tuple[memoryview, memoryview]:
    """Two buffers at those offsets from a page, written to, so that they are there."""
    first, second = (memoryview(mmap.mmap(-1, size + 2 * mmap.PAGESIZE)) for _ in range(2))
    for buffer, value in ((first, 1), (second, 2)):
        np.frombuffer(buffer, np.uint8)[:] = value
    return first[target:target + size], second[source:source + size]


def effort(size: int) -> tuple[int, int]:
    """Calls in a row, and pairs of rows. Three calls at least: the first finds the other side's caches."""
    return max(3, min(5000, (1 << 19) // size)), 101 if size <= 1 << 12 else 51 if size <= 1 << 21 else 9


def measured(kind: str, size: int) -> list[Pair]:
    """Pairs of libc's copy, or of the byte loop, and ours. `kind`: a name of OFFSETS, BYTE_LOOP or OVERLAPPING."""
    calls, rounds = effort(size)
    if kind == OVERLAPPING:
        room, _ = buffers(2 * size, 0, 0)
        shift = max(1, size // 4)
        return measure.paired((libc.kernels, "move"), (copy.kernels, "move"), room[shift:shift + size], room[:size],
                              calls, rounds)
    streams = size >= STREAMED_FROM and size >= copy.adaptive_threshold()
    other = (libc.kernels, "copy")
    if kind == BYTE_LOOP:
        other, calls, rounds = (measure.byte_loop, "copy"), max(1, min(calls, LOOP_BYTES // size)), min(rounds, 25)
    return measure.paired(other, (copy.kernels, "stream" if streams else "copy"),
                          *buffers(size, *OFFSETS.get(kind, (0, 0))), calls, rounds)
