"""Access to guest memory: what the TLB saves, from the guest and from Python, and what a page walk costs."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from vm.bench.kernels import ALLOW, DATA, EVERYTHING, RAM, Kernels, best_engine
from vm.bench.machines import NotBuilt
from vm.bench.measure import Claim, Pair, Row, in_turn

CLAIM = Claim(2.56, "2.56x")
HITS, MISSES = 512, 2048                # pages; the TLB has 1,024 entries, mapped directly
SIZES = {"1 KiB": 1 << 10, "1 MiB": 1 << 20}


def rows(quick: bool) -> Iterator[Row]:
    rounds = 3 if quick else 9
    for engine in ("interpreter", "jit"):
        for kernel in ("loads", "stores"):
            yield Row("memory", f"eight {kernel} in 1 KiB, {engine}", "walk, PMP and bus each time", "TLB hits",
                      checked_against_hits(engine, kernel, rounds), claim=CLAIM)
    for engine in ("interpreter", "jit"):
        for kernel in ("loads", "stores"):
            yield Row("memory", f"eight {kernel}, {engine}", "in 1 MiB", "in 1 KiB",
                      large_against_small(engine, kernel, rounds))
    for text, size in SIZES.items():
        yield Row("memory", f"{text} read from Python", "Memory.read(), checked and copied", "a NumPy view",
                  from_python(size, rounds), claim=CLAIM)
    for level, text in enumerate(("4 KiB pages, three levels", "2 MiB pages, two levels", "1 GiB page, one level")):
        yield Row("memory", f"page walk, {text}", f"load from one of {MISSES} pages", f"load from one of {HITS} pages",
                  walk(level, rounds))
    yield Row("memory", "TLB hit rate", "all accesses", "hits", hit_rate)


def checked_against_hits(engine: str, kernel: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    """A page of which a PMP entry covers a part never enters the TLB: each access is translated, checked and routed."""
    def pairs() -> Iterator[Pair]:
        sides = []
        for split in (True, False):
            kernels = Kernels(engine)
            satp = kernels.map_pages()
            if split:
                kernels.hart.csr["pmpaddr1"] = EVERYTHING
                kernels.hart.csr["pmpaddr0"] = (DATA + 4088) >> 2       # eight bytes, in front of everything
                kernels.hart.csr["pmpcfg0"] = ALLOW << 8 | ALLOW
            sides.append(kernels.timer(kernel, DATA, 1024, satp=satp))
        yield from in_turn(sides[0], sides[1], rounds)()
    return pairs


def large_against_small(engine: str, kernel: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        kernels = Kernels(engine)
        yield from in_turn(kernels.timer(kernel, DATA, 1 << 20), kernels.timer(kernel, DATA, 1 << 10), rounds)()
    return pairs


def from_python(size: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    """The sum of the words at an address, as somebody writes it who looks into a running guest."""
    def pairs() -> Iterator[Pair]:
        memory = Kernels("interpreter").machine.memory
        view = memory.array(DATA, size // 8, np.uint64)
        turns = max(10, (4 << 20) // size)

        def copied() -> int:
            return int(np.frombuffer(memory.read(DATA, size), np.uint64).sum())

        def viewed() -> int:
            return int(view.sum())

        yield from in_turn(seconds_of(copied, turns), seconds_of(viewed, turns), rounds * 3)()
    return pairs


def seconds_of(function: Callable[[], object], turns: int) -> Callable[[], float]:
    def measure() -> float:
        start = time.thread_time()
        for _ in range(turns):
            function()
        return (time.thread_time() - start) / turns
    return measure


def walk(level: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        kernels = Kernels(best_engine())
        satp = kernels.map_pages(level)
        sides = [kernels.timer("pages", RAM, pages, satp=satp) for pages in (MISSES, HITS)]
        yield from in_turn(sides[0], sides[1], rounds)()
    return pairs


def hit_rate() -> Iterator[Pair]:
    kernels = Kernels("interpreter")
    kernels.run("loads", 100_000, DATA, 1 << 20)
    counters = kernels.machine.stats()
    if "tlb_hits" not in counters:
        raise NotBuilt("stats() does not count TLB hits")
    yield counters["tlb_hits"] + counters["tlb_misses"], counters["tlb_hits"]
