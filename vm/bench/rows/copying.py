"""The memcpy family beside a byte loop, the C library, memoryview and NumPy, by size."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from vm.bench.copies import BYTE_LOOP, OFFSETS, OVERLAPPING, buffers, effort
from vm.bench.measure import Claim, Pair, Row
from vm.bench.processes import in_child
from vm.copy import memcpy_adaptive

SIZES = (1, 4, 8, 64, 256, 512, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20)
QUICK_SIZES = (8, 64, 4 << 10, 1 << 20)
AXIS = "bytes"
LOOP = Claim(4, "4–10x")
LIBC = Claim(0.95, "at least 1.0x, within noise")
LOOP_FROM = 64                          # bytes: from here on it is claimed
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


def native(kind: str, size: int) -> Callable[[], Iterator[Pair]]:
    """Without Python in between. A short copy is measured in several processes: where the loader puts the two sides is
    worth a cycle or two, the same throughout a process, and a copy takes no more than a dozen.
    """
    def pairs() -> Iterator[Pair]:
        for _ in range(PROCESSES if size <= SHORT else 1):
            yield from map(tuple, in_child({"do": "copy", "kind": kind, "size": size}, {})["pairs"])
    return pairs


def from_python(size: int, baseline: str) -> Callable[[], Iterator[Pair]]:
    """As a caller of `vm.copy` sees it."""
    def pairs() -> Iterator[Pair]:
        target, source = buffers(size, 0, 0)
        target_array, source_array = np.frombuffer(target, np.uint8), np.frombuffer(source, np.uint8)

        def slices() -> None:
            target[:] = source

        calls, rounds = effort(size)
        calls = min(calls, 500)
        other = slices if baseline == "memoryview" else lambda: np.copyto(target_array, source_array)
        for turn in range(rounds):
            functions = (other, lambda: memcpy_adaptive(target, source))
            times = {side: seconds(functions[side], calls) for side in ((0, 1) if turn % 2 else (1, 0))}
            yield times[0], times[1]
    return pairs


def seconds(function: Callable[[], object], calls: int) -> float:
    start = time.thread_time()
    for _ in range(calls):
        function()
    return (time.thread_time() - start) / calls
