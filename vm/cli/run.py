"""`vm run`: a bare-metal program."""

from __future__ import annotations

from typing import Any

import click

from vm.cli.options import Address, build_machine, machine_options


@click.command(epilog="Example: vm run firmware.elf --memory 64M --timeout 10")
@click.argument("file", metavar="FILE")
@machine_options(memory="128M", clock="virtual")
@click.option("--address", type=Address(), metavar="ADDR", help="Load FILE as raw bytes here, as in 0x80000000.")
@click.option("--max-instructions", type=click.IntRange(min=1), metavar="N", help="Stop after so many instructions.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="Stop after so much time on the host.")
def run(file: str, address: int | None, max_instructions: int | None, timeout: float | None, **options: Any) -> int:
    """Run FILE, an ELF or raw bytes, in machine mode; its console is this terminal.

    \b
    Exit codes:
      the guest's own; 0 if it powers the machine off, or after Ctrl-A X
      1    FILE or an option is wrong
      124  not done within --max-instructions or --timeout, or it waits for ever
      139  a trap that no handler of the guest takes
    """
    from vm.cli.session import run_to_end

    with build_machine(**options) as machine:
        machine.load(file, address=address)
        return run_to_end(machine, file, max_instructions, timeout)
