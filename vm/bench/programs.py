"""Whole programs on several machines: who takes how long.

The machines take turns within each round, so that a slow spell of the host falls on all of them; the best of the rounds
counts, less the best of the program `empty` on the same machine. All must print the same text. On a busy host the
processor's time (`cpu=True`) says more than the clock on the wall.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod

from vm.bench.guests.build import CLASSES, EMPTY, FLOATING_POINT, PROGRAMS
from vm.bench.machines import Machine, Run, RunFailed


@dataclass(frozen=True)
class Results:
    """`seconds[program][machine]`, start-up subtracted; no entry where the machine cannot run the program."""

    seconds: dict[str, dict[str, float]]
    instructions: dict[str, int]
    startup: dict[str, float]
    ours: tuple[str, ...]
    peers: tuple[str, ...]

    def ratio(self, program: str, machine: str, peer: str) -> float | None:
        """How many times as fast as the peer the machine is."""
        times = self.seconds[program]
        return times[peer] / times[machine] if machine in times and peer in times else None

    def mean(self, programs: Iterable[str], machine: str, peer: str) -> float | None:
        """The geometric mean of the ratios over those of the programs that both machines ran."""
        ratios = [self.ratio(program, machine, peer) for program in programs if program in self.seconds]
        known = [ratio for ratio in ratios if ratio is not None]
        return prod(known) ** (1 / len(known)) if known else None

    def groups(self) -> dict[str, list[str]]:
        """The programs by class, and all that do without floating point as one group."""
        groups = {kind: [name for name in names if name in self.seconds] for kind, names in CLASSES.items()}
        groups["all but floating point"] = [
            name for name in self.seconds if PROGRAMS[name] != FLOATING_POINT
        ]
        groups["all"] = list(self.seconds)
        return {kind: names for kind, names in groups.items() if names}

    def as_json(self) -> dict[str, object]:
        pairs = [(machine, peer) for machine in self.ours for peer in (*self.peers, *self.ours) if peer != machine]
        return asdict(self) | {
            "ratios": {name: {f"{machine} against {peer}": self.ratio(name, machine, peer) for machine, peer in pairs}
                       for name in self.seconds},
            "geometric means": {kind: {f"{machine} against {peer}": self.mean(names, machine, peer)
                                       for machine, peer in pairs}
                                for kind, names in self.groups().items()},
        }


def compare(programs: Sequence[str], machines: dict[str, Machine], rounds: int, cpu: bool = False,
            progress: Callable[[str], None] = lambda text: None) -> Results:
    """Run every program `rounds` times on every machine."""
    startup = {name: run.seconds for name, run in best_of(EMPTY, machines, max(rounds, 3), cpu).items()}
    seconds: dict[str, dict[str, float]] = {}
    instructions = {}
    for number, program in enumerate(programs, 1):
        progress(f"{program} ({number} of {len(programs)})")
        runs = best_of(program, machines, rounds, cpu)
        # A program that takes next to no time natively must not come out at zero or below.
        seconds[program] = {name: max(run.seconds - startup[name], 1e-4) for name, run in runs.items()}
        counts = [run.instructions for run in runs.values() if run.instructions]
        if counts:
            instructions[program] = counts[0]
    ours = tuple(name for name, machine in machines.items() if machine.ours)
    return Results(seconds, instructions, startup, ours, tuple(name for name in machines if name not in ours))


def best_of(program: str, machines: dict[str, Machine], rounds: int, cpu: bool) -> dict[str, Run]:
    """The fastest run on each machine that can run the program; `seconds` of it is the time that was asked for."""
    best: dict[str, Run] = {}
    for _ in range(rounds):
        for name, machine in machines.items():
            if program in machine.cannot:
                continue
            run = machine.run(program)
            if cpu:
                run = replace(run, seconds=run.cpu_seconds)
            if name not in best or run.seconds < best[name].seconds:
                best[name] = run
    if len({run.output for run in best.values()}) > 1:
        raise RunFailed(f"{program}: outputs differ: { {name: run.output for name, run in best.items()} }")
    return best
