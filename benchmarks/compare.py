"""Our engines beside QEMU, Unicorn and the host's own processor: `python -m benchmarks.compare --help`.

The machines take turns within each round, so that a slow spell of the host falls on all of them; the best of the rounds
counts, less the best of the program `empty` on the same machine. All must print the same text. On a busy host the
processor's time (`cpu=True`) says more than the clock on the wall.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vm.bench.contenders import PEERS, Contender, available
from vm.bench.errors import RunFailed
from vm.bench.guests.build import CLASSES, EMPTY, FLOATING_POINT, PROGRAMS
from vm.bench.processes import Run
from vm.bench.variants import ENGINES
from vm.errors import VmError


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


def compare(programs: Sequence[str], contenders: dict[str, Contender], rounds: int, cpu: bool = False,
            progress: Callable[[str], None] = lambda text: None) -> Results:
    """Run every program `rounds` times on every contender."""
    startup = {name: run.seconds for name, run in best_of(EMPTY, contenders, max(rounds, 3), cpu).items()}
    seconds: dict[str, dict[str, float]] = {}
    instructions = {}
    for number, program in enumerate(programs, 1):
        progress(f"{program} ({number} of {len(programs)})")
        runs = best_of(program, contenders, rounds, cpu)
        # A program that takes next to no time natively must not come out at zero or below.
        seconds[program] = {name: max(run.seconds - startup[name], 1e-4) for name, run in runs.items()}
        counts = [run.instructions for run in runs.values() if run.instructions]
        if counts:
            instructions[program] = counts[0]
    ours = tuple(name for name, contender in contenders.items() if contender.ours)
    return Results(seconds, instructions, startup, ours, tuple(name for name in contenders if name not in ours))


def best_of(program: str, contenders: dict[str, Contender], rounds: int, cpu: bool) -> dict[str, Run]:
    """The fastest run on each contender that can run the program; `seconds` of it is the time that was asked for."""
    best: dict[str, Run] = {}
    for _ in range(rounds):
        for name, contender in contenders.items():
            if program in contender.cannot:
                continue
            run = contender.run(program)
            if cpu:
                run = replace(run, seconds=run.cpu_seconds)
            if name not in best or run.seconds < best[name].seconds:
                best[name] = run
    if len({run.output for run in best.values()}) > 1:
        raise RunFailed(f"{program}: outputs differ: { {name: run.output for name, run in best.items()} }")
    return best


def names(text: str, known: tuple[str, ...]) -> list[str]:
    return list(known) if text == "all" else text.split(",") if text else []


def factor(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def table(results: Results) -> Table:
    """Seconds on each machine, and how many times as fast each of ours is as each peer."""
    machines = (*results.ours, *results.peers)
    pairs = [(machine, peer) for machine in results.ours for peer in results.peers]
    shown = Table(title="seconds, start-up subtracted; how many times as fast ours are; geometric means")
    shown.add_column("program")
    for heading in ("class", "M instr", *machines, *(f"{machine}\n/{peer}" for machine, peer in pairs)):
        shown.add_column(heading, justify="left" if heading == "class" else "right")
    for program, seconds in results.seconds.items():
        count = results.instructions.get(program)
        shown.add_row(
            program, PROGRAMS[program], f"{count / 1e6:.0f}" if count else "-",
            *(f"{seconds[machine]:.3f}" if machine in seconds else "-" for machine in machines),
            *(factor(results.ratio(program, machine, peer)) for machine, peer in pairs),
        )
    shown.add_section()
    for kind, programs in results.groups().items():
        means = (factor(results.mean(programs, machine, peer)) for machine, peer in pairs)
        shown.add_row(kind, "", "", *[""] * len(machines), *means, style="bold")
    return shown


@click.command()
@click.option("--programs", default="all", help="Names or classes, with commas between.  [default: all]")
@click.option("--engines", default="all", help="Ours: interpreter, plain (without fusion), jit; with settings of the "
                                               "environment as in jit:VM_JIT_PAGE_ENTRIES=0.  [default: all]")
@click.option("--peers", default="qemu,native", show_default=True,
              help="Others: qemu, qemu-user, unicorn, spike, native; `all`, or nothing.")
@click.option("--rounds", default=3, show_default=True, help="Turns of each machine; the best counts.")
@click.option("--cpu", is_flag=True, help="Measure processor time, not time on the wall: for a busy host.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here.")
def main(programs: str, engines: str, peers: str, rounds: int, cpu: bool, json_file: Path | None) -> None:
    """Compare machines on the benchmark programs."""
    wanted = names(programs, tuple(PROGRAMS))
    chosen = [name for name, kind in PROGRAMS.items() if name in wanted or kind in wanted]
    console = Console(width=None if sys.stdout.isatty() else 200)
    try:
        machines = available(names(engines, tuple(ENGINES)) + names(peers, tuple(PEERS)),
                             lambda text: click.echo(text, err=True))
        unknown = set(wanted) - set(PROGRAMS) - set(PROGRAMS.values())
        if unknown or not machines:
            raise VmError(f"no such programs: {', '.join(sorted(unknown))}" if unknown else "no machine is there")
        results = compare(chosen, machines, rounds, cpu, lambda text: click.echo(text, err=True))
    except VmError as error:
        raise click.ClickException(str(error)) from error
    console.print(table(results))
    if json_file:
        json_file.write_text(json.dumps(results.as_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()
