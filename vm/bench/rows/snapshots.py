"""What snapshots, restores and forks cost, and what they cost a run that goes on.

Where a goal is a figure, the goal is the baseline. Each row has a machine of its own, from a snapshot that rows of one
guest share.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import vm
from vm.bench.errors import NotBuilt, RunFailed
from vm.bench.guests.build import elf
from vm.bench.kernels import best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.bench.rows.programs import fetched
from vm.boards.virt import RAM_BASE
from vm.images import debian
from vm.sizes import PAGE_SIZE

SORT, DEBIAN = "a sort", "booted Debian"
MEMORY = {SORT: 128 << 20, DEBIAN: 512 << 20}
WARM = 20_000_000                       # steps until the loops of a guest are compiled
DIRTY_PAGES = 50
FUZZ_BYTES, FUZZ_STEPS, RESULT_BYTES = 64, 10_000, 8
BUSY = "while :; do :; done\n"
MANY, THREADS = 500, 2
SLICE, SLICES = 1_000_000, 500
FILLER = RAM_BASE + (32 << 20)          # behind the sort and its data
MICROSECOND, KIB = 1e-6, 1 << 10
NEARLY_FREE = Claim(0.97, "within 3%")


def rows(quick: bool) -> Iterator[Row]:
    count = 100 if quick else 1000
    for guest in (SORT,) if quick else (SORT, DEBIAN):
        yield limit(f"restore after {DIRTY_PAGES} dirty pages, {guest}", 60 * MICROSECOND, "at most 60 µs",
                    partial(restores, guest, count))
        yield limit(f"snapshot right after a restore, {guest}", 200 * MICROSECOND, "at most 200 µs",
                    partial(snapshots, guest, count))
        yield limit(f"fork, {guest}", 300 * MICROSECOND, "at most 300 µs", partial(forks, guest, count))
        yield limit(f"host memory of a fork, {guest}", 300 * KIB, "at most 300 KB",
                    partial(in_process, "fork_memory", guest, count), unit="B")
        yield limit(f"restore, {FUZZ_BYTES} bytes, {FUZZ_STEPS:,} steps, a result, {guest}", 100 * MICROSECOND,
                    "at least 10,000/s", partial(fuzz_rounds, guest, count // 20, 500))
        yield limit(f"save to a file, {guest}", 0.5, "at most 0.5 s", partial(saves, guest, 3))
        yield limit(f"from a file to the first instruction, {guest}", 0.02, "at most 20 ms", partial(loads, guest, 5))
    if not quick:
        yield limit(f"{MANY} forks of booted Debian answer a command, {THREADS} threads", 1 << 30, "at most 1 GB",
                    partial(in_process, "answers", MANY), unit="B")
    for statistic in STATISTICS:
        yield Row("snapshots", f"slice of {SLICE:,} steps, {statistic}", "undisturbed", "a big snapshot is dropped",
                  dropped(statistic, (64 if quick else 512) << 20, 3 if quick else 5))
    yield Row("snapshots", f"a sort, {best_engine()}", "no snapshot", "one in use",
              with_a_snapshot(10 * WARM if quick else 50 * WARM, 5 if quick else 9), claim=NEARLY_FREE)


def limit(name: str, goal: float, text: str, values: Callable[[], list[float]], unit: str = "s") -> Row:
    def pairs() -> Iterator[Pair]:
        for value in values():
            yield goal, value
    return Row("snapshots", name, "the goal", best_engine(), pairs, claim=Claim(1.0, text), unit=unit)


@cache
def started(guest: str) -> vm.Snapshot:
    """A guest at work: the sort in its loops, a shell of Debian at its prompt."""
    with vm.Machine(memory=MEMORY[guest], engine=best_engine()) as machine:
        if guest == SORT:
            machine.load(elf("sort"))
            machine.run(instructions=WARM)
        else:
            boot(machine)
        return machine.snapshot()


def boot(machine: vm.Machine) -> None:
    linux = fetched(debian)
    machine.boot(linux.kernel, initrd=linux.initrd, cmdline=linux.cmdline)
    machine.shell()


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def saves(guest: str, count: int) -> list[float]:
    with TemporaryDirectory() as folder:
        return [seconds(lambda: started(guest).save(Path(folder, "saved"))) for _ in range(count)]


def loads(guest: str, count: int) -> list[float]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "saved")
        started(guest).save(path)

        def begin() -> float:
            start = time.perf_counter()
            with vm.Snapshot.load(path).machine(engine=best_engine()) as machine:
                machine.run(instructions=1)
                return time.perf_counter() - start

        return [begin() for _ in range(count)]


def restores(guest: str, count: int) -> list[float]:
    with started(guest).machine() as machine:
        first = RAM_BASE + MEMORY[guest] // 2
        pages = range(first, first + DIRTY_PAGES * PAGE_SIZE, PAGE_SIZE)

        def write(data: bytes) -> None:
            for page in pages:
                machine.memory.write(page, data)

        def restore() -> float:
            write(b"after")
            return seconds(lambda: machine.restore(snapshot))

        write(b"before")
        snapshot = machine.snapshot()
        return [restore() for _ in range(count)]


def snapshots(guest: str, count: int) -> list[float]:
    with started(guest).machine() as machine:
        first = machine.snapshot()

        def take() -> float:
            machine.restore(first)
            return seconds(machine.snapshot)

        return [take() for _ in range(count)]


def forks(guest: str, count: int) -> list[float]:
    with started(guest).machine() as machine:
        def fork() -> float:
            start = time.perf_counter()
            other = machine.fork()
            taken = time.perf_counter() - start
            other.close()
            return taken

        return [fork() for _ in range(count)]


def fork_memory(guest: str, count: int) -> list[float]:
    """Of forks that have not run yet."""
    with started(guest).machine() as machine:
        machine.fork().close()
        before = shared_out_bytes()
        made = machine.fork(count)
        added = (shared_out_bytes() - before) / count
        close(made)
        return [added]


def fuzz_rounds(guest: str, batches: int, rounds: int) -> list[float]:
    """Seconds a round, of each batch of rounds."""
    with started(guest).machine() as machine:
        if guest == DEBIAN:
            machine.console.send(BUSY)
        machine.run(instructions=WARM)
        snapshot = machine.snapshot()
        place = RAM_BASE + MEMORY[guest] // 2
        data = bytes(range(FUZZ_BYTES))

        def batch() -> None:
            for _ in range(rounds):
                machine.restore(snapshot)
                machine.memory.write(place, data)
                machine.run(instructions=FUZZ_STEPS)
                machine.memory.read(place, RESULT_BYTES)

        batch()
        return [seconds(batch) / rounds for _ in range(batches)]


def answers(count: int) -> list[float]:
    """What the forks have added to this process once each has answered."""
    with started(DEBIAN).machine() as machine:
        machine.fork().close()
        before = shared_out_bytes()
        made = machine.fork(count)

        def ask(number: int) -> None:
            made[number].console.send(f"echo $(({number} * 6))x\n")
            made[number].console.expect(f"{number * 6}x")

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(ask, range(count)))
        added = shared_out_bytes() - before
        close(made)
        return [added]


def in_process(function: str, *arguments: str | int) -> list[float]:
    """A function of this file in a process of its own: here it would be given memory that others have left."""
    code = f"from {__name__} import {function} as function; print(*function(*{arguments!r}))"
    child = subprocess.run((sys.executable, "-c", code), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if child.returncode:
        *_, reason = child.stderr.strip().splitlines() or [f"status {child.returncode}"]
        kind, _, text = reason.partition(": ")
        raise NotBuilt(text) if kind.endswith(NotBuilt.__name__) else RunFailed(reason)
    return [float(value) for value in child.stdout.split()]


def close(machines: list[vm.Machine]) -> None:
    for machine in machines:
        machine.close()


def shared_out_bytes() -> int:
    """The memory of this process, with a share of each page that others map, too (proc_pid_smaps(5), Pss)."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        raise NotBuilt("this host has no /proc/self/smaps_rollup")
    line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * KIB


STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "median": median,
    "99th percentile": lambda values: quantiles(values, n=100)[-1],
    "worst": max,
}


def dropped(statistic: str, size: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    """A snapshot that alone holds `size` bytes goes after a tenth of the slices."""
    def slices(drop: bool) -> float:
        with vm.Machine(memory=size + (64 << 20), engine=best_engine()) as machine:
            machine.load(elf("sort"))
            machine.run(instructions=WARM)
            base = machine.snapshot()
            machine.memory.write(FILLER, b"\1" * size)
            held = [machine.snapshot()]
            if held[0].copied_bytes < size:
                raise RunFailed(f"the snapshot holds {held[0].copied_bytes} bytes of its own, not {size}")
            machine.restore(base)
            taken = []
            for number in range(SLICES):
                start = time.perf_counter()
                if drop and number == SLICES // 10:
                    held.clear()
                machine.run(instructions=SLICE)
                taken.append(time.perf_counter() - start)
            return STATISTICS[statistic](taken)

    return in_turn(lambda: slices(False), lambda: slices(True), rounds)


def with_a_snapshot(steps: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    """Seconds of the processor for the stretch after the first writes to each page, in both."""
    def run(snapshot: bool) -> Callable[[], float]:
        def measure() -> float:
            with vm.Machine(memory=MEMORY[SORT], engine=best_engine()) as machine:
                machine.load(elf("sort"))
                machine.run(instructions=WARM)
                held = machine.snapshot() if snapshot else None
                machine.run(instructions=5 * WARM)
                start = time.thread_time()
                machine.run(instructions=steps)
                taken = time.thread_time() - start
                if held is not None and machine.equals(held):
                    raise RunFailed("the sort has done nothing")
                return taken
        return measure

    return in_turn(run(False), run(True), rounds)
