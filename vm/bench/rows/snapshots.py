"""Snapshots: going back, forks, files, and what it costs a run that they are there.

Where something has a limit of its own, the baseline is that limit.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import vm
from vm.bench.errors import NotBuilt
from vm.bench.guests.build import elf
from vm.bench.kernels import best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.errors import ImageError
from vm.sizes import PAGE_SIZE

WITHIN = Claim(1.0, "within the limit")
NEARLY_FREE = Claim(0.97, "at least 0.97x")
SCRATCH = 0x8800_0000                       # RAM that none of the guests uses much
PAGES = 50
FUZZED_STEPS = 10_000
MANY_FORKS = 500
MEGABYTE = 1 << 20
CPU_BOUND = ("sort", "compress", "copy")
BIG = 64 * MEGABYTE                         # written between two snapshots, of which one is dropped
SLICE = 1_000_000
FIRST_WRITES = 150_000_000               # steps in which a program has written to all that it works on

Guest = Callable[[], AbstractContextManager[vm.Machine]]


@contextmanager
def small() -> Iterator[vm.Machine]:
    """A bare-metal program in 512 MB."""
    with vm.Machine(memory="512M", engine=best_engine()) as machine:
        machine.load(elf("sort"))
        machine.run(instructions=10_000_000)
        yield machine


@contextmanager
def debian() -> Iterator[vm.Machine]:
    """Debian's kernel at a shell prompt."""
    try:
        linux = vm.images.debian()
    except ImageError as error:
        raise NotBuilt(str(error)) from None
    with vm.Machine(memory="512M", engine=best_engine()) as machine:
        machine.boot(linux.kernel, initrd=linux.initrd, cmdline=linux.cmdline)
        machine.shell()
        yield machine


def rows(quick: bool) -> Iterator[Row]:
    guests = {"bare-metal": small} if quick else {"bare-metal": small, "Debian": debian}
    for name, guest in guests.items():
        rounds = 200 if quick else 1000
        for what, limit, measured in (
            (f"restore after {PAGES} dirty pages", 60e-6, restore),
            ("snapshot right after a restore", 200e-6, snapshot),
            ("fork", 300e-6, fork),
            (f"restore, write 64 bytes, run {FUZZED_STEPS:,} instructions, read", 100e-6, fuzz),
        ):
            yield Row("snapshots", f"{what}, {name}", "limit", "vm", against(limit, guest, measured, rounds),
                      claim=WITHIN)
        yield Row("snapshots", f"a fork, {name}", "limit", "vm", memory_of_forks(guest, 20 if quick else 100),
                  claim=WITHIN, unit="B")
        yield Row("snapshots", f"save to a file, {name}", "limit", "vm", saving(guest, 3), claim=WITHIN)
        yield Row("snapshots", f"from a file to the first instruction, {name}", "limit", "vm", loading(guest, 5),
                  claim=WITHIN)
    if not quick:
        yield Row("snapshots", f"{MANY_FORKS} forks of Debian that answered a shell command", "limit", "vm",
                  answering(MANY_FORKS), claim=WITHIN, unit="B")
    for program in CPU_BOUND:
        yield Row("snapshots", f"{program} with a snapshot in use", "without", "with", in_use(program, 5),
                  claim=NEARLY_FREE)
    yield Row("snapshots", f"99th percentile of runs of {SLICE:,} steps while {BIG // MEGABYTE} MB are dropped",
              "nothing dropped", "dropped", dropping(3 if quick else 9))


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def against(limit: float, guest: Guest, measured: Callable[[vm.Machine, vm.Snapshot], float],
            rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        with guest() as machine:
            taken = machine.snapshot()
            for _ in range(rounds):
                yield limit, measured(machine, taken)
    return pairs


def restore(machine: vm.Machine, taken: vm.Snapshot) -> float:
    machine.memory.write(SCRATCH, bytes([1]) * PAGE_SIZE * PAGES)
    return seconds(lambda: machine.restore(taken))


def snapshot(machine: vm.Machine, taken: vm.Snapshot) -> float:
    restore(machine, taken)
    return seconds(machine.snapshot)


def fork(machine: vm.Machine, taken: vm.Snapshot) -> float:
    forks: list[vm.Machine] = []
    took = seconds(lambda: forks.append(machine.fork()))
    forks[0].close()
    return took


def fuzz(machine: vm.Machine, taken: vm.Snapshot) -> float:
    def once() -> None:
        machine.restore(taken)
        machine.memory.write(SCRATCH, b"\x5a" * 64)
        machine.run(instructions=FUZZED_STEPS)
        machine.memory.read(SCRATCH, 64)

    return seconds(once)


def proportional_bytes() -> int:
    """What this process has of the host's memory, pages that several share counted in parts."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def memory_of_forks(guest: Guest, count: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        with guest() as machine:
            machine.fork().close()
            gc.collect()
            before = proportional_bytes()
            forks = machine.fork(count)
            yield 300 << 10, (proportional_bytes() - before) / count
            for one in forks:
                one.close()
    return pairs


def answering(count: int) -> Callable[[], Iterator[Pair]]:
    """All are alive at once, and run in two threads."""
    def pairs() -> Iterator[Pair]:
        with debian() as machine:
            before = proportional_bytes()
            forks = machine.fork(count)

            def ask(number: int) -> None:
                forks[number].console.send(f"echo $(({number}*6))x\n")
                forks[number].console.expect(f"{number * 6}x")

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(ask, range(count)))
            yield 1 << 30, proportional_bytes() - before
            for one in forks:
                one.close()
    return pairs


def saving(guest: Guest, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        with guest() as machine, TemporaryDirectory() as folder:
            taken = machine.snapshot()
            for _ in range(rounds):
                yield 0.5, seconds(lambda: taken.save(os.path.join(folder, "saved.vmsnap")))
    return pairs


def loading(guest: Guest, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        with guest() as machine, TemporaryDirectory() as folder:
            path = os.path.join(folder, "saved.vmsnap")
            machine.snapshot().save(path)
            for _ in range(rounds):
                loaded: list[vm.Machine] = []

                def begin(loaded: list[vm.Machine] = loaded) -> None:
                    loaded.append(vm.Snapshot.load(path).machine(engine=best_engine()))
                    loaded[0].run(instructions=1)

                yield 0.02, seconds(begin)
                loaded[0].close()
    return pairs


def in_use(program: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    """After a while, in which pages are first written to again."""
    def run(with_snapshot: bool) -> Callable[[], float]:
        def measure() -> float:
            with vm.Machine(memory="128M", engine=best_engine()) as machine:
                machine.load(elf(program))
                machine.run(instructions=20_000_000)
                taken = machine.snapshot() if with_snapshot else None
                machine.run(instructions=FIRST_WRITES)
                took = seconds(machine.run)
                del taken
                return took
        return measure

    return in_turn(run(False), run(True), rounds)


def dropping(rounds: int) -> Callable[[], Iterator[Pair]]:
    """Of a machine that runs on while the snapshot before is dropped: its pages are freed beside it."""
    def worst(drop: bool) -> Callable[[], float]:
        def measure() -> float:
            with small() as machine:
                times = []
                for number in range(4):
                    machine.memory.write(SCRATCH, bytes([number + 1]) * BIG)
                    taken = machine.snapshot()
                    machine.restore(taken)
                    kept = None if drop else taken
                    machine.memory.write(SCRATCH, bytes(BIG))
                    machine.snapshot()
                    del taken
                    times += [seconds(lambda: machine.run(instructions=SLICE)) for _ in range(50)]
                    del kept
                return quantiles(times, n=100)[98]
        return measure

    return in_turn(worst(False), worst(True), rounds)
