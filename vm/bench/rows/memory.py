"""Access to guest memory: what the TLB saves, from the guest and from Python, and what a page walk costs."""

import time
from collections.abc import Callable, Iterator

import numpy as np

import vm
from vm.bench.errors import RunFailed
from vm.bench.kernels import DATA, Kernels, best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.bench.rows.programs import BOOT_LINE, BOOT_MEMORY, fetched
from vm.bench.variants import NO_TLB, named
from vm.boards.virt import RAM_BASE
from vm.images import debian_installer

CLAIM = Claim(2.56, "2.56x")
NO_DEARER = Claim(0.9, "at least 0.9x")
BESIDE_CODE = RAM_BASE + (2 << 10)      # in the one page of the kernels, which take less than half of it
HITS, MISSES = 512, 2048                # pages; the TLB has 1,024 entries, mapped directly
SIZES = {"1 KiB": 1 << 10, "1 MiB": 1 << 20}


def rows(quick: bool) -> Iterator[Row]:
    rounds = 3 if quick else 9
    for engine in ("interpreter", "jit"):
        for kernel in ("loads", "stores"):
            for text, size in list(SIZES.items())[:1 if quick else 2]:
                yield Row("memory", f"eight {kernel} in {text}, {engine}", "PMP and bus each time", "TLB hits",
                          checked_against_hits(engine, kernel, size, False, rounds), claim=CLAIM)
            yield Row("memory", f"eight {kernel} in 1 KiB, Sv39, {engine}", "walk, PMP and bus each time", "TLB hits",
                      checked_against_hits(engine, kernel, SIZES["1 KiB"], True, rounds), claim=CLAIM)
        yield Row("memory", f"eight stores in 1 KiB beside code, {engine}", "in a page without", "in a page with code",
                  beside_code(engine, rounds), claim=NO_DEARER if engine == "jit" else None)
    for text, size in SIZES.items():
        yield Row("memory", f"{text} read from Python", "Memory.read(), checked and copied", "a NumPy view",
                  from_python(size, rounds), claim=CLAIM)
    for level, text in enumerate(("4 KiB pages, three levels", "2 MiB pages, two levels", "1 GiB page, one level")):
        yield Row("memory", f"page walk, {text}", f"load from one of {MISSES} pages", f"load from one of {HITS} pages",
                  walk(level, rounds))
    for pages in (HITS, MISSES):
        yield Row("memory", f"TLB hits, loads from {pages} pages in turn", "loads", "TLB misses", misses_of(pages),
                  unit="")
    if not quick:
        yield Row("memory", "TLB hits, Debian's boot", "steps", "TLB misses", misses_of_a_boot, unit="")


def checked_against_hits(engine: str, kernel: str, size: int, paged: bool, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        sides = []
        for name in (named(engine, NO_TLB), engine):
            kernels = Kernels(name)
            sides.append(kernels.timer(kernel, DATA, size, satp=kernels.map_pages() if paged else None))
        yield from in_turn(sides[0], sides[1], rounds)()
    return pairs


def beside_code(engine: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        sides = [Kernels(engine).timer("stores", place, SIZES["1 KiB"]) for place in (DATA, BESIDE_CODE)]
        yield from in_turn(sides[0], sides[1], rounds)()
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
        sides = [kernels.timer("pages", RAM_BASE, pages, satp=satp) for pages in (MISSES, HITS)]
        yield from in_turn(sides[0], sides[1], rounds)()
    return pairs


def misses_of(pages: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        loads = 1 << 20
        kernels = Kernels(best_engine())
        kernels.run("pages", loads, RAM_BASE, pages, satp=kernels.map_pages())
        yield loads, kernels.machine.stats()["tlb_misses"]["loads"]
    return pairs


def misses_of_a_boot() -> Iterator[Pair]:
    """Fetches count, too."""
    kernel, initrd = fetched(debian_installer)
    with vm.Machine(memory=BOOT_MEMORY, engine=best_engine()) as machine:
        machine.boot(kernel, initrd, BOOT_LINE)
        stop = machine.run()
        if stop.reason is not vm.StopReason.POWER_OFF:
            raise RunFailed(f"Debian's boot: {stop}")
        yield machine.steps, sum(machine.stats()["tlb_misses"].values())
