"""The memcpy family beside a byte loop, the C library, memoryview and NumPy: `python -m benchmarks.copies`.

Each comparison is made in pairs, one run of either side after the other, and the ratios of the pairs are what counts:
their median, and their quartiles for the spread. `native` rows call the kernels without Python in between; `python`
rows are what a caller of `vm.copy` sees. Sizes are bytes; a ratio above 1 says that the family is faster.
"""

import mmap
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import quantiles

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vm_native import copy
from vm_native.copy import libc, measure

SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *(1 << power for power in range(10, 27, 2))]
QUICK_SIZES = [1, 8, 64, 512, 4096, 1 << 16, 1 << 20, 1 << 24]
LOOP_FROM = 64                  # below it a byte loop may win
LOOP_CLAIM = 4

# (target, source): offsets from a page. `page alias`: the target lies just above the source modulo the page size.
ALIGNMENTS = {"aligned": (0, 0), "unaligned": (5, 13), "page alias": (80, 64)}


@dataclass(frozen=True)
class Row:
    level: str                  # native or python
    case: str
    baseline: str
    size: int
    nanoseconds: float          # of our side, the best
    ratio: float                # median over the pairs: baseline / ours
    low: float                  # quartiles
    high: float
    best: float                 # best of the baseline / best of ours
    held: bool | None           # what is claimed of it; None where nothing is


def buffers(size: int, target: int, source: int) -> tuple[memoryview, memoryview]:
    """Two buffers at those offsets from a page, with different contents."""
    first, second = (memoryview(mmap.mmap(-1, size + 2 * mmap.PAGESIZE)) for _ in range(2))
    copy.fill(first, 1)
    copy.fill(second, 2)
    return first[target:target + size], second[source:source + size]


def row(level: str, case: str, baseline: str, size: int, pairs: list[tuple[float, float]]) -> Row:
    low, median, high = quantiles(theirs / ours for ours, theirs in pairs)
    best = min(theirs for _, theirs in pairs) / min(ours for ours, _ in pairs)
    held = None
    if baseline == "byte loop" and size >= LOOP_FROM:
        held = median >= LOOP_CLAIM
    elif baseline == "libc":
        held = max(high, best) >= 1         # not slower, within noise
    return Row(level, case, baseline, size, min(ours for ours, _ in pairs) * 1e9, median, low, high, best, held)


def effort(size: int, quick: bool) -> tuple[int, int]:
    """Calls in a row, and pairs of rows. Three calls at least: the first finds the other side's caches."""
    calls = max(3, min(5000, (1 << 19) // size))
    pairs = 1001 if size <= 1 << 12 else 101 if size <= 1 << 18 else 25 if size <= 1 << 22 else 9
    return calls, max(5, pairs // 4) if quick else pairs


def native_rows(size: int, quick: bool) -> Iterator[Row]:
    calls, pairs = effort(size, quick)
    kernel = "stream" if size >= 1 << 20 and size >= copy.adaptive_threshold() else "copy"
    ours = copy.kernels, kernel
    for case, (target, source) in ALIGNMENTS.items():
        views = buffers(size, target, source)
        yield row("native", case, "libc", size, measure.paired(ours, (libc.kernels, "copy"), *views, calls, pairs))
        if case == "aligned":
            loop = measure.byte_loop, "copy"
            few = max(1, min(calls, (1 << 17) // size))
            yield row("native", case, "byte loop", size, measure.paired(ours, loop, *views, few, min(pairs, 25)))
    room, _ = buffers(2 * size, 0, 0)
    shift = max(1, size // 4)
    for case, views in (("overlap up", (room[shift:shift + size], room[:size])),
                        ("overlap down", (room[:size], room[shift:shift + size]))):
        moves = (copy.kernels, "move"), (libc.kernels, "move")
        yield row("native", case, "libc", size, measure.paired(*moves, *views, calls, pairs))


def python_rows(size: int, quick: bool) -> Iterator[Row]:
    calls, pairs = effort(size, quick)
    calls, pairs = min(calls, 500), min(pairs, 201)
    target, source = buffers(size, 0, 0)
    target_array, source_array = np.frombuffer(target, np.uint8), np.frombuffer(source, np.uint8)

    def ours() -> None:
        copy.memcpy_adaptive(target, source)

    def c_library() -> None:
        libc.memcpy_fast(target, source)

    def slices() -> None:
        target[:] = source

    def numpy() -> None:
        np.copyto(target_array, source_array)

    for baseline, other in (("libc", c_library), ("memoryview", slices), ("NumPy", numpy)):
        yield row("python", "aligned", baseline, size, paired(ours, other, calls, pairs))


def paired(first: Callable[[], None], second: Callable[[], None], calls: int, pairs: int) -> list[tuple[float, float]]:
    def seconds(function: Callable[[], None]) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return (time.perf_counter() - start) / calls

    results = []
    for turn in range(pairs):
        if turn % 2:
            one, other = seconds(first), seconds(second)
        else:
            other, one = seconds(second), seconds(first)
        results.append((one, other))
    return results


def rows(quick: bool = False) -> Iterator[Row]:
    """Every comparison, at every size."""
    for size in QUICK_SIZES if quick else SIZES:
        yield from native_rows(size, quick)
        yield from python_rows(size, quick)


def size_text(size: int) -> str:
    for unit, shift in (("M", 20), ("K", 10)):
        if size >= 1 << shift:
            return f"{size >> shift}{unit}"
    return str(size)


def report(found: list[Row]) -> Table:
    """A line for each size, a column for each comparison: median ratio, and `!` where a claim did not hold."""
    columns = list(dict.fromkeys((each.level, each.case, each.baseline) for each in found))
    cells = {(each.size, each.level, each.case, each.baseline): each for each in found}
    threshold = copy.adaptive_threshold()
    table = Table(title=f"{copy.instruction_set}, streaming from {threshold:,} bytes: times as fast as ...")
    table.add_column("size", justify="right")
    table.add_column("native ns", justify="right")
    for level, case, baseline in columns:
        table.add_column(f"{level}\n{case}\n{baseline}", justify="right")
    for size in dict.fromkeys(each.size for each in found):
        line = [cells[size, *column] for column in columns]
        table.add_row(size_text(size), f"{line[0].nanoseconds:,.1f}",
                      *(f"{each.ratio:.2f}{'!' if each.held is False else ''}" for each in line))
    return table


@click.command()
@click.option("--quick", is_flag=True, help="Fewer sizes and pairs.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON, with their spread.")
def main(quick: bool, as_json: bool) -> None:
    """Measure the memcpy family."""
    import json

    count = len(QUICK_SIZES if quick else SIZES)
    found = list(track(rows(quick), "measuring", total=10 * count, console=Console(stderr=True)))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=1))
    else:
        Console(width=200).print(report(found))


if __name__ == "__main__":
    main()
