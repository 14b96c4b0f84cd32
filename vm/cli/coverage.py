"""`vm coverage`: which code of a guest is executed."""

from __future__ import annotations

from typing import Any

import click

from vm.cli.guest import OF_ANY_GUEST, guest_options, machine_of, refuse_other_than_one
from vm.cli.options import MAX_INSTRUCTIONS_OPTION, TIMEOUT_OPTION
from vm.cli.places import place_in, refuse_unwritable
from vm.privilege import WORDS, Mode

FILES = ("drcov", "lcov")               # options that name what is written
OF_COVERAGE = (*FILES, "functions", "opcodes", "where", "privilege", "max_instructions", "timeout", "quiet")

EXAMPLES = """\b
Examples:
  vm coverage firmware.elf --functions
  vm coverage firmware.elf --lcov firmware.info && genhtml firmware.info --output-directory html"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--drcov", type=click.Path(dir_okay=False), metavar="FILE",
              help="Write the blocks, for Lighthouse and others: drcov, version 2.")
@click.option("--lcov", type=click.Path(dir_okay=False), metavar="FILE",
              help="Write the lines of sources, for genhtml and editors; compile with -g.")
@click.option("--functions", is_flag=True, help="List the functions, with calls and instructions.")
@click.option("--opcodes", is_flag=True, help="List how often each instruction was executed, and by extension.")
@click.option("--where", metavar="NAME|A-B", help="Only blocks that begin in this function, or at these addresses.")
@click.option("--privilege", type=click.Choice(list(WORDS)), help="Only blocks of this privilege.")
@guest_options
@MAX_INSTRUCTIONS_OPTION
@TIMEOUT_OPTION
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about how FILE ended, nor how much was covered.")
def coverage(file: str | None, drcov: str | None, lcov: str | None, functions: bool, opcodes: bool, where: str | None,
             privilege: Mode | None, address: int | None, kernel: str | None, initrd: str | None, append: str,
             firmware: str | None, max_instructions: int | None, timeout: float | None, quiet: bool,
             **options: Any) -> int:
    """Run FILE, or a kernel, and say which of its code was executed, and how often.

    FILE is an ELF or raw bytes in machine mode, or the file of a snapshot. The guest's console is this terminal; what
    was covered is listed on standard error when it ends, or after Ctrl-A X. Exit codes are those of `vm run`.
    """
    refuse_other_than_one(file, kernel)
    refuse_unwritable(drcov=drcov, lcov=lcov)
    from vm.cli.session import run_to_end

    beside_a_snapshot = (*OF_ANY_GUEST, *OF_COVERAGE)
    with (machine_of(file, kernel, initrd, append, firmware, address, options, beside_a_snapshot) as machine,
          machine.coverage(where=place_in(machine.program, where),
                           privilege=privilege) as taken):
        try:
            return run_to_end(machine, file or str(kernel), max_instructions, timeout, quiet=quiet)
        finally:                            # also after Ctrl-C
            taken.stop()
            if drcov is not None:
                taken.write_drcov(drcov)
            if lcov is not None:
                taken.write_lcov(lcov)
            if functions or not quiet:
                click.echo(taken.table(None if functions else 0), err=True)
            if opcodes:
                for histogram in (taken.extensions(), taken.opcodes()):
                    click.echo("\n".join(f"{count:>16,}  {name}" for name, count in histogram.items()), err=True)
