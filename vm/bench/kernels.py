"""Runs the kernels of guests/kernels on a machine in this process: a few instructions that cost one thing each.

    kernels = Kernels("jit")
    seconds = kernels.time("loads", 100_000, DATA, 1024)        # a turn
"""

import time
from collections.abc import Callable, Iterator

import numpy as np

import vm
from vm.bench.contenders import contender
from vm.bench.errors import NotBuilt, RunFailed
from vm.bench.guests.build import KERNELS, elf
from vm.bench.measure import Pair, in_turn
from vm.bench.variants import variant
from vm.boards.virt import RAM_BASE
from vm.engine import Engine
from vm.privilege import Privilege
from vm.settings import child_environment
from vm.sizes import PAGE_SIZE

DATA = RAM_BASE + (1 << 20)
TABLES = RAM_BASE + (48 << 20)
MEMORY = "64M"
MAPPED_PAGES = 12288                    # the first 48 MiB
SV39 = 8 << 60
POINTER, LEAF, DEVICES = 0x01, 0xCF, 0xC7       # page-table entries: V; V R W X A D; V R W A D
PAGE_SHIFT, MEGAPAGE_SHIFT, GIGAPAGE_SHIFT = 12, 21, 30
ENTRIES = 512                           # of a page table
EVERYTHING, ALLOW = (1 << 54) - 1, 0x1F         # pmpaddr; pmpcfg: a power of two, R W X
TARGET_SECONDS = 0.03


def best_engine() -> Engine:
    """The fastest of our engines that is there."""
    return "interpreter" if contender("jit").missing() else "jit"


class Kernels:
    """A machine with the kernels loaded. `engine` as in vm.bench.variants, settings included."""

    def __init__(self, engine: str):
        name, environment = variant(engine)
        if missing := contender(engine).missing():
            raise NotBuilt(missing)
        settings = vm.Settings.from_environment(child_environment(environment))
        self.machine = vm.Machine(memory=MEMORY, engine=name, settings=settings)
        self.symbols = self.machine.load(elf(KERNELS)).symbols
        self.hart = self.machine.harts[0]
        self.hart.csr["pmpaddr0"] = EVERYTHING
        self.hart.csr["pmpcfg0"] = ALLOW

    def run(self, kernel: str | int, turns: int, first: int = 0, second: int = 0, satp: int | None = None) -> float:
        """Seconds that so many turns of a kernel take; other code that ends alike is given by its address.

        With `satp` it runs in supervisor mode, with this translation.
        """
        hart = self.hart
        hart.pc = kernel if isinstance(kernel, int) else self.symbols[kernel].address
        hart.privilege = Privilege.MACHINE if satp is None else Privilege.SUPERVISOR
        hart.csr["satp"] = satp or 0
        hart["a0"], hart["a1"], hart["a2"] = turns, first, second
        start = time.thread_time()          # of the processor: somebody else's work on the host does not count
        stop = self.machine.run()
        seconds = time.thread_time() - start
        if stop.reason is not vm.StopReason.POWER_OFF:
            raise RunFailed(f"kernel {kernel}: {stop}")
        return seconds

    def turns(self, kernel: str | int, first: int, second: int, satp: int | None) -> int:
        """How many turns take long enough to be measured; running them warms the engine up."""
        turns = 1000
        while self.run(kernel, turns, first, second, satp) < TARGET_SECONDS:
            turns *= 2
        return turns

    def timer(self, kernel: str | int, first: int = 0, second: int = 0, satp: int | None = None) -> Callable[[], float]:
        """A function that returns seconds a turn."""
        turns = self.turns(kernel, first, second, satp)
        return lambda: self.run(kernel, turns, first, second, satp) / turns

    def map_pages(self, level: int = 0) -> int:
        """Map the first 48 MiB of RAM onto themselves, and return the satp for it. Level 0: by 4 KiB pages,
        1: by 2 MiB, 2: all of it by 1 GiB."""
        tables = np.zeros((2 + MAPPED_PAGES // ENTRIES, ENTRIES), np.uint64)
        root, middle, leaves = tables[0], tables[1], tables[2:]
        pages = (RAM_BASE >> PAGE_SHIFT) + np.arange(MAPPED_PAGES, dtype=np.uint64)
        leaves[:] = (pages << np.uint64(10) | np.uint64(LEAF)).reshape(leaves.shape)
        base = TABLES + level * tables.nbytes
        root[0] = DEVICES
        root[RAM_BASE >> GIGAPAGE_SHIFT] = entry(RAM_BASE, LEAF) if level == 2 else entry(base + PAGE_SIZE, POINTER)
        for i in range(leaves.shape[0]):
            large, table = entry(RAM_BASE + (i << MEGAPAGE_SHIFT), LEAF), entry(base + PAGE_SIZE * (2 + i), POINTER)
            middle[i] = large if level == 1 else table
        self.machine.memory.write(base, tables)
        return SV39 | base >> PAGE_SHIFT


def entry(address: int, bits: int) -> int:
    return address >> PAGE_SHIFT << 10 | bits


def kernel_pairs(baseline: tuple[str, str], ours: tuple[str, str], rounds: int,
                 *arguments: int) -> Callable[[], Iterator[Pair]]:
    """Pairs of (engine, kernel) and (engine, kernel); machines are made when they are needed."""
    def pairs() -> Iterator[Pair]:
        sides = [Kernels(engine).timer(kernel, *arguments) for engine, kernel in (baseline, ours)]
        yield from in_turn(sides[0], sides[1], rounds)()
    return pairs
