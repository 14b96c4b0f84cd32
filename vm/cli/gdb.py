"""`vm gdb`: a guest that waits for a debugger."""

from __future__ import annotations

from typing import Any

import click

from vm.cli.guest import guest_options, machine_of
from vm.cli.options import refuse_one_stream

EXAMPLES = """\b
Examples:
  vm gdb firmware.elf
  vm gdb --kernel Image --initrd initrd.gz --append console=ttyS0 --at /tmp/gdb
  gdb-multiarch -ex "target remote | vm gdb firmware.elf --at stdio" firmware.elf"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="[FILE|debian|demo]", required=False)
@click.option("--at", "where", metavar="PORT|PATH|stdio", default="1234", show_default=True,
              help="Where GDB comes: a port of this computer, HOST:PORT, ./PATH for a socket, or stdio.")
@click.option("--history", is_flag=True, help="Keep a history from the start, for reverse-continue and others.")
@guest_options
def gdb(file: str | None, where: str, history: bool, **options: Any) -> int:
    """Wait for GDB, then run FILE as it says: an ELF or raw bytes in machine mode, or the file of a snapshot.

    The guest's console is this terminal; by stdio it is GDB's. `monitor help` in GDB says what else there is. When GDB
    detaches, the guest runs on, and GDB can come again. Exit codes are those of `vm run`; 0 where GDB kills it.
    """
    refuse_one_stream(where, file or options["kernel"])
    from vm.cli.debugging import debug_to_end

    with machine_of(file, **options) as machine:
        if history:
            machine.keep_history()
        return debug_to_end(machine, file or options["kernel"], where, wait=True)
