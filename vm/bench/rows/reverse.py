"""Running backwards: one step back late in a long run, and what it costs a run to be able to."""

import time
from collections.abc import Callable, Iterator

import vm
from vm.bench.guests.build import elf
from vm.bench.kernels import best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.engine import Engine

GUESTS = ("sort", "bytecode_switch", "timer")
LONG = 1_000_000_000
CLAIM = Claim(10.0, "at least 10x")
NEARLY_FREE = Claim(0.6, "at least 0.6x")


def rows(quick: bool) -> Iterator[Row]:
    steps = LONG // 10 if quick else LONG
    engines: tuple[Engine, ...] = ("interpreter", "jit") if best_engine() == "jit" else ("interpreter",)
    for engine in engines:
        yield Row("reverse", f"one step back after {steps:,} of a sort, {engine}", "the run again, but for one step",
                  "step_back(1)", one_step_back(engine, steps, 3 if quick else 5), claim=CLAIM)
    for guest in GUESTS:
        yield Row("reverse", f"{guest}, {best_engine()}", "no history", "with one", with_a_history(guest, steps, 5),
                  claim=NEARLY_FREE if guest != "timer" else None)


def loaded(guest: str, engine: Engine) -> vm.Machine:
    machine = vm.Machine(memory="128M", engine=engine)
    machine.load(elf(guest))
    return machine


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def one_step_back(engine: Engine, steps: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    """Each time after another stretch of the run, so that nothing has prepared for it."""
    def pairs() -> Iterator[Pair]:
        with loaded("sort", engine) as machine:
            machine.keep_history()
            machine.run(instructions=steps)
            for _ in range(rounds):
                machine.run(instructions=12_345_678)
                back = seconds(machine.step_back)
                with loaded("sort", engine) as other:
                    again = seconds(lambda: other.run(instructions=machine.steps))
                yield again, back
    return pairs


def with_a_history(guest: str, steps: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    def run(history: bool) -> Callable[[], float]:
        def measure() -> float:
            with loaded(guest, best_engine()) as machine:
                if history:
                    machine.keep_history()
                return seconds(lambda: machine.run(instructions=steps))
        return measure

    return in_turn(run(False), run(True), rounds)
