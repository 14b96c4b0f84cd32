"""`vm coverage`: which code of a guest is executed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from vm.cli.guest import guest_options, machine_of
from vm.cli.naming import LINUX_OPTION, SYMBOLS_OPTION, find_linux
from vm.cli.options import MAX_INSTRUCTIONS_OPTION, TIMEOUT_OPTION
from vm.cli.places import place_in, refuse_outputs, write_output
from vm.privilege import WORDS, Mode

if TYPE_CHECKING:
    from vm.coverage.coverage import Coverage

EXAMPLES = """\b
Examples:
  vm coverage firmware.elf --functions
  vm coverage firmware.elf --lcov firmware.info && genhtml firmware.info --output-directory html"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="[FILE|debian|demo]", required=False)
@click.option("--drcov", type=click.Path(dir_okay=False), metavar="FILE",
              help="Write the blocks, for Lighthouse and others: drcov, version 2.")
@click.option("--lcov", type=click.Path(dir_okay=False), metavar="FILE",
              help="Write the lines of sources, for genhtml and editors; compile with -g.")
@click.option("--functions", is_flag=True, help="List the functions, with calls and instructions.")
@click.option("--opcodes", is_flag=True, help="List how often each instruction was executed, and by extension.")
@click.option("--where", metavar="NAME|A-B", help="Only blocks that begin in this function, or at these addresses.")
@click.option("--privilege", type=click.Choice(list(WORDS)), help="Only blocks of this privilege.")
@SYMBOLS_OPTION
@LINUX_OPTION
@guest_options
@MAX_INSTRUCTIONS_OPTION
@TIMEOUT_OPTION
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about how FILE ended, nor how much was covered.")
def coverage(file: str | None, drcov: str | None, lcov: str | None, functions: bool, opcodes: bool, where: str | None,
             privilege: Mode | None, symbols: tuple[tuple[str, int], ...], linux: bool, max_instructions: int | None,
             timeout: float | None, quiet: bool, **options: Any) -> int:
    """Run FILE, or a kernel, and say which of its code was executed, and how often.

    FILE is an ELF or raw bytes in machine mode, or the file of a snapshot; the file that is written can be -,
    standard output. The guest's console is this terminal; what was covered is listed on standard error when it
    ends, or after Ctrl-A X. Exit codes are those of `vm run`.
    """
    refuse_outputs(drcov=drcov, lcov=lcov)
    from vm.cli.session import run_to_end
    from vm.coverage.lcov import refuse_without_lines

    with (machine_of(file, **options) as machine,
          machine.coverage(where=place_in(machine.program, where),
                           privilege=privilege, symbols=list(symbols)) as taken):
        program = machine.program
        if program is None and (drcov or lcov):
            raise click.UsageError(f"{'--drcov' if drcov else '--lcov'} goes with a program, whose file says where its "
                                   f"code is from; {file or options['kernel']} is a kernel or a snapshot",
                                   click.get_current_context())
        if program is not None and lcov:
            refuse_without_lines(program)   # now: at the end what was covered would be lost
        with ExitStack() as at_the_end:     # also after Ctrl-C; the last one first, whatever becomes of the others
            if lcov is not None:
                at_the_end.callback(write_output, lcov, taken.write_lcov, "lcov")
            if drcov is not None:
                at_the_end.callback(write_output, drcov, taken.write_drcov, "drcov")
            at_the_end.callback(tell, taken, functions or None if quiet else functions, opcodes)
            at_the_end.callback(taken.stop)
            if linux:
                at_the_end.callback(find_linux, machine)
            return run_to_end(machine, file or options["kernel"], max_instructions, timeout, quiet=quiet)


def tell(taken: Coverage, functions: bool | None, opcodes: bool) -> None:
    """What was covered, on standard error. `functions`: whether they are listed; None: not even how much there is."""
    if functions is not None:
        click.echo(taken.table(None if functions else 0), err=True)
    if opcodes:
        for histogram in (taken.extensions(), taken.opcodes()):
            click.echo("\n".join(f"{count:>16,}  {name}" for name, count in histogram.items()), err=True)
