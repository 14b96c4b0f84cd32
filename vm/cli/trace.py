"""`vm trace`: what a guest does, in a file."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import click

from vm.cli.guest import guest_options, machine_of
from vm.cli.options import MAX_INSTRUCTIONS_OPTION, TIMEOUT_OPTION
from vm.cli.places import STANDARD_OUTPUT, open_to_write, place_in, refuse_outputs
from vm.privilege import WORDS, Mode

if TYPE_CHECKING:
    from vm.trace import Kind

KINDS = ("instructions", "blocks", "branches", "memory", "traps", "mmio")

EXAMPLES = """\b
Examples:
  vm trace firmware.elf --kind memory --where main -o main.npy
  vm trace firmware.elf --format spike -o commits.log"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="[FILE|debian|demo]", required=False)
@click.option("--kind", type=click.Choice(KINDS), default="instructions", show_default=True, help="What is recorded.")
@click.option("--output", "-o", type=click.Path(dir_okay=False), metavar="FILE",
              help="Where to; - is standard output.  [default: standard error]")
@click.option("--format", "form", type=click.Choice(["npy", "text", "spike"]),
              help="A NumPy file, a line for each record, or as Spike's --log-commits.  [default: npy for FILE.npy, or "
                   "text]")
@click.option("--where", metavar="NAME|A-B", help="Only instructions of this function, or at these addresses.")
@click.option("--privilege", type=click.Choice(list(WORDS)), help="Only instructions of this privilege.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after so many records.")
@guest_options
@MAX_INSTRUCTIONS_OPTION
@TIMEOUT_OPTION
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about how FILE ended.")
def trace(file: str | None, kind: Kind, output: str | None, form: str | None, where: str | None, privilege: Mode | None,
          limit: int | None, max_instructions: int | None, timeout: float | None, quiet: bool, **options: Any) -> int:
    """Run FILE, or a kernel, and write down what it does.

    FILE is an ELF or raw bytes in machine mode, or the file of a snapshot. The guest's console is this terminal. Exit
    codes are those of `vm run`.

    The log of `--format spike` has a line for each instruction that has retired: privilege, pc, word, the register that
    it wrote and its new value, and memory. Left out are what it wrote to control and status registers, also to
    fflags and mstatus, the values that atomics wrote to memory, and what cbo.zero and amocas.q do there.
    """
    form = form or ("npy" if output and output.endswith(".npy") else "text")
    if form == "npy" and output in (None, STANDARD_OUTPUT):
        raise click.UsageError("--format npy needs --output FILE", click.get_current_context())
    if form == "spike" and kind != "instructions":
        raise click.UsageError(f"--format spike is a log of instructions, not of {kind}", click.get_current_context())
    refuse_outputs(output=output)
    from vm.cli.session import run_to_end
    from vm.cli.trace_formats import NpyFile, SpikeLog, TextLines, Writer

    with ExitStack() as stack:
        machine = stack.enter_context(machine_of(file, **options))
        scope: dict[str, Any] = {"where": place_in(machine.program, where),
                                 "privilege": privilege}
        stream: Any = sys.stderr if output is None else stack.enter_context(open_to_write(output))
        if form == "npy" and not stream.seekable():
            raise click.UsageError(f"--output {output}: a NumPy file is gone back in at the end: name a regular file",
                                   click.get_current_context())
        if output is not None and form != "npy":
            stream = stack.enter_context(TextIOWrapper(stream, encoding="utf-8"))
        writers: dict[str, type[Writer]] = {"npy": NpyFile, "text": TextLines, "spike": SpikeLog}
        writer = writers[form](stream, kind, limit)
        stack.enter_context(writer.traces(machine, scope))
        return run_to_end(machine, file or options["kernel"], max_instructions, timeout, quiet=quiet)
