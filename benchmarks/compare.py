"""Our machine beside QEMU and Unicorn on the programs of benchmarks/guests: `python -m benchmarks.compare`.

The machines take turns within each round, so that a slow spell of the host falls on all of them; the best of the
rounds counts. Every machine must print the same text.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.guests.build import EMPTY, PROGRAMS, build
from benchmarks.peers import MACHINES, Run, RunFailed, available


def best_of(program: Path, machines: Sequence[str], rounds: int) -> dict[str, Run]:
    """The fastest run of each machine."""
    best: dict[str, Run] = {}
    for _ in range(rounds):
        for machine in machines:
            run = MACHINES[machine](program)
            if machine not in best or run.seconds < best[machine].seconds:
                best[machine] = run
    if len({run.output for run in best.values()}) > 1:
        raise RunFailed(f"{program.name}: outputs differ: { {name: run.output for name, run in best.items()} }")
    return best


def report(results: dict[str, dict[str, Run]], machines: Sequence[str]) -> Table:
    """Seconds and MIPS of each machine, and how many times as fast the first is as each other one."""
    first, *others = machines
    table = Table(title=f"{first} beside {', '.join(others)}" if others else first)
    headings = ["M instr", *(f"{name} {unit}" for name in machines for unit in ("s", "MIPS"))]
    table.add_column("program")
    for heading in [*headings, *(f"{first}/{other}" for other in others)]:
        table.add_column(heading, justify="right")
    ratios: dict[str, list[float]] = {other: [] for other in others}
    for program, runs in results.items():
        instructions = next((run.instructions for run in runs.values() if run.instructions), None)
        cells = [f"{instructions / 1e6:.0f}" if instructions else "-"]
        for name in machines:
            seconds = runs[name].seconds
            cells += [f"{seconds:.3f}", f"{instructions / seconds / 1e6:.0f}" if instructions else "-"]
        for other in others:
            ratio = runs[other].seconds / runs[first].seconds
            cells.append(f"{ratio:.2f}x")
            if program != EMPTY:
                ratios[other].append(ratio)
        table.add_row(program, *cells)
    if any(ratios.values()):
        means = (f"{prod(values) ** (1 / len(values)):.2f}x" for values in ratios.values())
        table.add_section()
        table.add_row("geometric mean", *[""] * len(headings), *means)
    return table


@click.command()
@click.argument("programs", nargs=-1)
@click.option("--machine", "machines", multiple=True, type=click.Choice(list(MACHINES)), help="Default: all there are.")
@click.option("--rounds", default=3, show_default=True, help="Turns of each machine; the best counts.")
def main(programs: tuple[str, ...], machines: tuple[str, ...], rounds: int) -> None:
    """Compare machines on PROGRAMS (default: all, and `empty` for the start-up time)."""
    machines = machines or tuple(available())
    results = {}
    for program in programs or (EMPTY, *PROGRAMS):
        try:
            results[program] = best_of(build(program), machines, rounds)
        except RunFailed as error:
            raise click.ClickException(str(error)) from error
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(report(results, machines))


if __name__ == "__main__":
    main()
