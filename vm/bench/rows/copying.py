"""The memcpy family beside a byte loop, the C library, memoryview and NumPy, by size."""

import mmap
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

import numpy as np

from vm.bench.machines import NotBuilt, in_child
from vm.bench.measure import Claim, Pair, Row

SIZES = (1, 4, 8, 64, 256, 512, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20)
QUICK_SIZES = (8, 64, 4 << 10, 1 << 20)
AXIS = "bytes"
# Offsets of target and source from a page. In the last, the target is just above the source but for whole pages.
OFFSETS = {"aligned": (0, 0), "unaligned": (5, 13), "page alias": (80, 64)}
BYTE_LOOP, OVERLAPPING = "byte loop", "overlapping"
LOOP = Claim(4, "4–10x")
LIBC = Claim(0.95, "at least 1.0x, within noise")
LOOP_FROM = 64                          # bytes: from here on it is claimed
LOOP_BYTES = 1 << 17                    # that a run of the byte loop copies
STREAMED_FROM = 1 << 20
SHORT, PROCESSES = 512, 3


def rows(quick: bool) -> Iterator[Row]:
    for size in QUICK_SIZES if quick else SIZES:
        text = size_text(size)
        yield Row("copying", f"{text} against a byte loop", "byte loop", "memcpy_adaptive", native(BYTE_LOOP, size),
                  claim=LOOP if size >= LOOP_FROM else None, group="a byte loop", at=size, axis=AXIS)
        for kind in OFFSETS:
            yield Row("copying", f"{text} against libc, {kind}", "libc memcpy", "memcpy_adaptive", native(kind, size),
                      claim=LIBC, group=f"libc, {kind}", at=size, axis=AXIS)
        yield Row("copying", f"{text} overlapping", "libc memmove", "memmove", native(OVERLAPPING, size), claim=LIBC,
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
        return import_module("vm_native.memory.copy" + name)
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
    return max(3, min(5000, (1 << 19) // size)), 101 if size <= 1 << 12 else 51 if size <= 1 << 21 else 9


def native(kind: str, size: int) -> Callable[[], Iterator[Pair]]:
    """Without Python in between. A short copy is measured in several processes: where the loader puts the two sides is
    worth a cycle or two, the same throughout a process, and a copy takes no more than a dozen.
    """
    def pairs() -> Iterator[Pair]:
        family(".measure")
        for _ in range(PROCESSES if size <= SHORT else 1):
            yield from map(tuple, in_child({"do": "copy", "kind": kind, "size": size}, {})["pairs"])
    return pairs


def measured_here(kind: str, size: int) -> list[Pair]:
    """The pairs of `native`, measured in this process."""
    copy, measure, libc = family(), family(".measure"), family(".libc")
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


def from_python(size: int, baseline: str) -> Callable[[], Iterator[Pair]]:
    """As a caller of `vm.copy` sees it."""
    def pairs() -> Iterator[Pair]:
        copy = family()
        target, source = buffers(size, 0, 0)
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
