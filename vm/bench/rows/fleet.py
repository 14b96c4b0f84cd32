"""What an input costs a fuzzer and a fleet, what a second worker brings, and what limits cost a run."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import vm
from vm.bench.guests.build import elf
from vm.bench.kernels import best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.fleet import Call, fuzz
from vm.guests.messages.build import ROOT

STEPS = 500_000_000
WORK = 3_000_000                        # steps for an input, where workers are compared
INPUTS = 200
LIMITS = vm.Limits(host_memory="128M", host_seconds=3600, steps=1 << 50)
PARSE = Call("handle_message", ("data", "size", "settings"), at="message")


def rows(quick: bool) -> Iterator[Row]:
    yield Row("fleet", "an input of a fuzzer, a small parser", "the goal", best_engine(),
              partial(fuzzed, 5_000 if quick else 40_000, 3 if quick else 5), claim=Claim(1.0, "at least 10,000/s"))
    yield Row("fleet", f"an input of a fleet, {WORK:,} steps of a sort", "1 thread", "2 threads",
              in_turn(partial(mapped, 1), partial(mapped, 2), 3 if quick else 7), claim=Claim(1.5, "at least 1.5x"))
    yield Row("fleet", f"a sort, {best_engine()}", "no limits", "limits of all kinds",
              with_limits(STEPS // 10 if quick else STEPS, 5), claim=Claim(0.97, "within 3%"))


def fuzzed(runs: int, rounds: int) -> Iterator[Pair]:
    """Seconds a run."""
    with vm.Machine(memory="1M", engine=best_engine()) as machine:
        machine.load(ROOT / "messages.elf")
        machine.console.expect("ready\n", seconds=1)
        snapshot = machine.snapshot()
    for seed in range(rounds):
        found = fuzz(snapshot, PARSE, runs=runs, seed=seed)
        yield 1e-4, found.seconds / found.runs


def sort(machine: vm.Machine, data: object) -> int:
    return machine.run(instructions=WORK).steps


def mapped(workers: int) -> float:
    """Seconds an input."""
    with vm.Machine(memory="128M", engine=best_engine()) as machine:
        machine.load(elf("sort"))
        machine.run(instructions=20_000_000)
        snapshot = machine.snapshot()
        with vm.Fleet(snapshot, workers, record="never") as fleet:
            for _ in fleet.map(sort, range(4 * workers)):
                pass                            # which builds the machines
            start = time.perf_counter()
            for _ in fleet.map(sort, range(INPUTS)):
                pass
            return (time.perf_counter() - start) / INPUTS


def with_limits(steps: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    def run(limits: vm.Limits | None) -> float:
        with vm.Machine(memory="128M", engine=best_engine(), limits=limits) as machine:
            machine.load(elf("sort"))
            start = time.perf_counter()
            machine.run(instructions=steps)
            return time.perf_counter() - start

    return in_turn(partial(run, None), partial(run, LIMITS), rounds)
