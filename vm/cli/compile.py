"""`vm compile`: a program's compiled code as a file, for `vm run --aot`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vm.cli.options import Address, build_machine
from vm.errors import VmError
from vm.privilege import Privilege

PRIVILEGES = {privilege.letter.lower(): privilege for privilege in Privilege}
TRAINING = 200_000_000


@click.command(epilog="Example: vm compile firmware.elf -o firmware.vmcode && "
                                      "vm run --aot firmware.vmcode firmware.elf")
@click.argument("file", metavar="FILE")
@click.option("--output", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="IMAGE",
              help="Write the compiled code here.")
@click.option("--isa", metavar="NAME", help="ISA string or profile that FILE will run on, as in rv64gc.")
@click.option("--memory", metavar="SIZE", default="128M", show_default=True, help="RAM that FILE is loaded into.")
@click.option("--address", type=Address(), metavar="ADDR", help="Load FILE as raw bytes here, as in 0x80000000.")
@click.option("--training", type=click.IntRange(min=0), metavar="N", default=TRAINING, show_default=True,
              help="Run N instructions of FILE first, without a terminal: what they make hot is compiled best.")
@click.option("--privilege", "privileges", type=click.Choice(list(PRIVILEGES)), multiple=True, default=("m",),
              show_default=True, help="In which FILE runs what it has not come to by then; repeatable.")
def compile(file: str, output: Path, address: int | None, privileges: tuple[str, ...], training: int,
            **options: Any) -> int:
    """Compile FILE, an ELF or raw bytes, before it runs: all that can be reached from its entry and its functions.

    \b
    Exit codes:
      0    IMAGE is written
      1    FILE is wrong, or IMAGE cannot be written
      2    an option is
    """
    from vm.ahead import compile_program

    with build_machine(disks=(), networks=(), engine="jit", **options) as machine:
        machine.load(file, address=address)
        try:
            size = compile_program(machine, output, [PRIVILEGES[letter] for letter in privileges], training)
        except OSError as error:
            raise VmError(f"{output}: {error.strerror}") from error
        assert machine.compiler is not None
        counters = machine.compiler.statistics()
    click.echo(f"{output}: {counters['instructions']:,} instructions in {counters['traces']:,} traces, {size:,} bytes")
    return 0
