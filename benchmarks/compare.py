"""Our engines beside QEMU, Unicorn and the host's own processor: `python -m benchmarks.compare --help`."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vm.bench.guests.build import PROGRAMS
from vm.bench.machines import ENGINES, PEERS, available
from vm.bench.programs import Results, compare
from vm.errors import VmError


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
                                               "environment as in jit:VM_JIT_SLOTS=0.  [default: all]")
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
