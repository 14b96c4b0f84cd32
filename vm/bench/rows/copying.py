"""The memcpy family beside a byte loop, the C library, memoryview and NumPy, by size."""

import mmap
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

import numpy as np

from vm.bench.machines import NotBuilt
from vm.bench.measure import Claim, Pair, Row

SIZES = (1, 8, 64, 512, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20)
QUICK_SIZES = (8, 64, 4 << 10, 1 << 20)
AXIS = "bytes"
ALIGNED, UNALIGNED = (0, 0), (5, 13)    # offsets of target and source from a page
ALIASED = (80, 64)                      # the target is just above the source, but for whole pages
LOOP = Claim(4, "4–10x")
LIBC = Claim(0.95, "at least 1.0x, within noise")
LOOP_FROM = 64                          # bytes: from here on it is claimed
LOOP_BYTES = 1 << 17                    # that a run of the byte loop copies
STREAMED_FROM = 1 << 20


def rows(quick: bool) -> Iterator[Row]:
    for size in QUICK_SIZES if quick else SIZES:
        text = size_text(size)
        yield Row("copying", f"{text} against a byte loop", "byte loop", "memcpy_adaptive",
                  native(size, ALIGNED, "byte loop"), claim=LOOP if size >= LOOP_FROM else None,
                  group="a byte loop", at=size, axis=AXIS)
        for name, offsets in (("aligned", ALIGNED), ("unaligned", UNALIGNED), ("page alias", ALIASED)):
            yield Row("copying", f"{text} against libc, {name}", "libc memcpy", "memcpy_adaptive",
                      native(size, offsets, "libc"), claim=LIBC, group=f"libc, {name}", at=size,
                      axis=AXIS)
        yield Row("copying", f"{text} overlapping", "libc memmove", "memmove", overlapping(size), claim=LIBC,
                  group="libc, overlapping", at=size, axis=AXIS)
        yield Row("copying", f"{text} against memoryview", "target[:] = source", "memcpy_adaptive",
                  from_python(size, "memoryview"), group="memoryview", at=size, axis=AXIS)
        yield Row("copying", f"{text} against NumPy", "np.copyto", "memcpy_adaptive", from_python(size, "NumPy"),
                  group="NumPy", at=size, axis=AXIS)


def size_text(size: int) -> str:
    for unit, shift in (("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift:
            return f"{size >> shift} {unit}"
    return f"{size} B"


def family(name: str = "") -> ModuleType:
    try:
        return import_module("vm_native.copy" + name)
    except ModuleNotFoundError as error:
        raise NotBuilt("vm.copy is not in this build") from error


def buffers(size: int, target: int, source: int) -> tuple[memoryview, memoryview]:
    """Two buffers at those offsets from a page, written to, so that they are there."""
    first, second = (memoryview(mmap.mmap(-1, size + 2 * mmap.PAGESIZE)) for _ in range(2))
    for buffer, value in ((first, 1), (second, 2)):
        np.frombuffer(buffer, np.uint8)[:] = value
    return first[target:target + size], second[source:source + size]


def effort(size: int) -> tuple[int, int]:
    """Calls in a row, and pairs of rows. Three calls at least: the first finds the other side's caches."""
    return max(3, min(5000, (1 << 19) // size)), 101 if size <= 1 << 12 else 25 if size <= 1 << 18 else 9


def native(size: int, offsets: tuple[int, int], baseline: str) -> Callable[[], Iterator[Pair]]:
    """Without Python in between."""
    def pairs() -> Iterator[Pair]:
        copy, measure = family(), family(".measure")
        streams = size >= STREAMED_FROM and size >= copy.adaptive_threshold()
        calls, rounds = effort(size)
        other = (family(".libc").kernels, "copy")
        if baseline == "byte loop":
            other, calls, rounds = (measure.byte_loop, "copy"), max(1, min(calls, LOOP_BYTES // size)), min(rounds, 25)
        ours = copy.kernels, "stream" if streams else "copy"
        yield from measure.paired(other, ours, *buffers(size, *offsets), calls, rounds)
    return pairs


def overlapping(size: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        copy, measure = family(), family(".measure")
        room, _ = buffers(2 * size, 0, 0)
        shift = max(1, size // 4)
        yield from measure.paired((family(".libc").kernels, "move"), (copy.kernels, "move"),
                                  room[shift:shift + size], room[:size], *effort(size))
    return pairs


def from_python(size: int, baseline: str) -> Callable[[], Iterator[Pair]]:
    """As a caller of `vm.copy` sees it."""
    def pairs() -> Iterator[Pair]:
        copy = family()
        target, source = buffers(size, *ALIGNED)
        target_array, source_array = np.frombuffer(target, np.uint8), np.frombuffer(source, np.uint8)

        def slices() -> None:
            target[:] = source

        calls, rounds = effort(size)
        calls = min(calls, 500)
        other = slices if baseline == "memoryview" else lambda: np.copyto(target_array, source_array)
        for turn in range(rounds):
            functions = (other, lambda: copy.memcpy_adaptive(target, source))
            times = {side: seconds(functions[side], calls) for side in ((0, 1) if turn % 2 else (1, 0))}
            yield times[0], times[1]
    return pairs


def seconds(function: Callable[[], object], calls: int) -> float:
    start = time.thread_time()
    for _ in range(calls):
        function()
    return (time.thread_time() - start) / calls
