"""`vm fuzz`: inputs that crash a guest."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vm.cli.exit_codes import CRASHED, INTERRUPTED
from vm.cli.guest import guest_options, is_snapshot, machine_of

if TYPE_CHECKING:
    from vm.fleet.fuzzing import Campaign
    from vm.fleet.places import Place
    from vm.machine import Machine

EXAMPLES = """\b
Examples:
  vm fuzz firmware.elf --until "ready" --call "parse(data, size)" --buffer packet -o found
  vm fuzz firmware.elf --at parse --data a0 --size a1 --capacity 512 --done ra -i seeds -o found --time 300
  vm fuzz at-parse.vmsnap --symbols firmware.elf --data packet --size packet_size -o found --jobs 2"""
CALL = re.compile(r"\s*([\w.$]+)\s*\(([^()]*)\)\s*")
OFTEN, SELDOM = 0.5, 10.0               # seconds between two reports: on a terminal, and into a file
NO_END = 1 << 62                        # runs


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="FILE")
@click.option("--input", "-i", "inputs", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Inputs to begin with, a file each.")
@click.option("--output", "-o", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Where the corpus, crashes and hangs go. Inputs that are in its corpus already are begun with.")
@click.option("--at", "at", metavar="FUNCTION|ADDR", help="Begin when the guest comes there.")
@click.option("--until", metavar="TEXT", help="Begin when the guest has printed this.")
@click.option("--call", metavar="CALL", help="Call a function with each input, as in 'parse(data, size)'. Other "
                                             "arguments are numbers, or symbols for their addresses.")
@click.option("--buffer", metavar="WHERE", help="With --call: where inputs are written, a symbol or an address.")
@click.option("--data", metavar="WHERE", help="Without --call: write inputs here, a symbol, an address or a register.")
@click.option("--size", metavar="WHERE", help="With --data: write their length here.")
@click.option("--capacity", type=click.IntRange(min=1), metavar="BYTES",
              help="How long an input can be.  [default: the size of the symbol]")
@click.option("--done", metavar="WHERE", multiple=True, help="There a run is over, and all is well: repeatable.")
@click.option("--crash", metavar="FUNCTION", multiple=True,
              help="The guest calls this when something is wrong: repeatable.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", default=1_000_000, show_default=True,
              help="A run of more is a hang.")
@click.option("--runs", type=click.IntRange(min=1), metavar="N", help="End after so many runs.")
@click.option("--time", "seconds", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="End after so long.")
@click.option("--crashes", type=click.IntRange(min=1), metavar="N", help="End when so many have been found.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), metavar="N", default=1, show_default=True,
              help="Processes at once.")
@click.option("--dict", "dictionary", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="Words, in AFL's format.")
@click.option("--mutator", metavar="MODULE|FILE", help="One of your own, a Python module as AFL++ has them.")
@click.option("--symbols", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="The ELF file of the program in a snapshot.")
@guest_options
@click.option("--quiet", "-q", is_flag=True, help="Report nothing but crashes and hangs.")
def fuzz(file: str, inputs: Path | None, output: Path | None, at: str | None, until: str | None, call: str | None,
         buffer: str | None, data: str | None, size: str | None, capacity: int | None, done: tuple[str, ...],
         crash: tuple[str, ...], steps: int, runs: int | None, seconds: float | None, crashes: int | None, jobs: int,
         dictionary: str | None, mutator: str | None, symbols: str | None, quiet: bool,
         **options: Any) -> int:
    """Look for inputs that crash FILE, an ELF or the file of a snapshot, until Ctrl-C or as long as is said.

    The machine runs to --at, or until it has printed --until. From there it is run with one input after the other;
    those that take new ways through its code are changed further. What crashes is saved in FOLDER/crashes, each a
    folder for `vm replay`, also with --gdb. Of --seed all chance of the fuzzer derives, too.

    \b
    Exit codes:
      0    nothing was found
      130  it ended with Ctrl-C; what was found is in FOLDER
      139  the guest crashes
    """
    place = place_of(call, buffer, data, size, capacity)
    from vm.fleet.fuzzing import fuzz as look_for_crashes

    seed = options["seed"]
    if is_snapshot(file):
        del options["seed"]                 # of the machine: that has its own
    with machine_of(file, **options) as machine:
        if symbols is not None:
            machine.read_symbols(symbols)
        begin(machine, at, until)
        snapshot = machine.snapshot()
    watch = Watch(quiet)
    try:
        found = look_for_crashes(
            snapshot, place, inputs=() if inputs is None else inputs, output=output,
            done=[location(where) for where in done], crash=[location(where) for where in crash], steps=steps,
            seed=seed, runs=NO_END if runs is seconds is crashes is None else runs, seconds=seconds,
            crashes=crashes, jobs=jobs, dictionary=() if dictionary is None else dictionary, mutator=mutator,
            symbols=symbols, progress=watch)
    except KeyboardInterrupt:
        watch.end()
        watch.say_last()
        return INTERRUPTED
    watch.end()
    if not quiet:
        click.echo(f"vm: {repr(found)[1:-1]}", err=True)
    return CRASHED if found.crashes else 0


def place_of(call: str | None, buffer: str | None, data: str | None, size: str | None, capacity: int | None) -> Place:
    """What the options say. Raises UsageError."""
    context = click.get_current_context()
    if (call is None) == (data is None):
        raise click.UsageError("say how an input gets into the guest: by --call and --buffer, or by --data and --size",
                               context)
    from vm.fleet.places import Buffer, Call

    if data is not None:
        if buffer is not None:
            raise click.UsageError("--buffer goes with --call", context)
        return Buffer(location(data), None if size is None else location(size), capacity)
    assert call is not None
    match = CALL.fullmatch(call)
    if match is None or buffer is None or size is not None:
        raise click.UsageError("--call is like 'parse(data, size)'; it goes with --buffer, and without --size", context)
    arguments = [argument.strip() for argument in match[2].split(",")] if match[2].strip() else []
    return Call(location(match[1]), tuple(location(argument) for argument in arguments), location(buffer), capacity)


def location(text: str) -> int | str:
    """An address, or else a symbol or a register."""
    try:
        return int(text, 0)
    except ValueError:
        return text


def begin(machine: Machine, at: str | None, until: str | None) -> None:
    """Run to where each input begins. Raises UsageError where that never comes."""
    if at is not None and until is not None:
        raise click.UsageError("say either --at or --until", click.get_current_context())
    if until is not None:
        machine.console.expect(until)
    elif at is not None:
        breakpoint = machine.breakpoint(location(at))
        stop = machine.run()
        breakpoint.remove()
        if not stop.hits:
            raise click.UsageError(f"--at {at}: the guest ends before ({stop.reason.value})",
                                   click.get_current_context())


class Watch:
    """Says how it goes, on standard error."""

    def __init__(self, quiet: bool):
        self._quiet = quiet
        self._known: set[int] = set()       # findings that were told of
        self._next = time.monotonic()
        self._on_terminal = sys.stderr.isatty()
        self._shown = False
        self._line = "no runs"              # how it has gone so far

    def __call__(self, campaign: Campaign) -> None:
        findings = [*campaign.crashes, *campaign.hangs]
        for finding in findings:
            if id(finding) not in self._known:
                self._known.add(id(finding))
                self.end()
                where = "" if finding.folder is None else f"; vm replay {finding.folder}"
                click.echo(f"vm: {type(finding).__name__.lower()}: {finding.title}{where}", err=True)
        self._line = (f"{campaign.runs:,} runs, {campaign.runs / max(campaign.seconds, 1e-9):,.0f}/s, "
                      f"{len(campaign.corpus):,} inputs, {campaign.corpus.edges:,} edges, "
                      f"{len(campaign.crashes)} crashes, {len(campaign.hangs)} hangs")
        now = time.monotonic()
        if not self._quiet and now >= self._next:
            self._next = now + (OFTEN if self._on_terminal else SELDOM)
            line = f"vm: {self._line}"
            click.echo(f"\r{line}\x1b[K" if self._on_terminal else line, nl=not self._on_terminal, err=True)
            self._shown = self._on_terminal

    def say_last(self) -> None:
        """What there is when it is interrupted."""
        if not self._quiet:
            click.echo(f"vm: Fuzzing: {self._line}", err=True)

    def end(self) -> None:
        """Of the line that is written over and over."""
        if self._shown:
            click.echo(err=True)
            self._shown = False
