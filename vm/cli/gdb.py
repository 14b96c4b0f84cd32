"""`vm gdb`: a guest that waits for a debugger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vm.cli.boot import given_beside
from vm.cli.options import Address, build_machine, machine_options, refuse_beside_gdb

if TYPE_CHECKING:
    from vm.machine import Machine

FROM_A_FILE = ("file", "where", "history", "engine", "disks")       # options that go with a snapshot
OF_A_KERNEL = ("initrd", "append", "firmware")

EXAMPLES = """\b
Examples:
  vm gdb firmware.elf
  vm gdb --kernel Image --initrd initrd.gz --append console=ttyS0 --at /tmp/gdb
  gdb-multiarch -ex "target remote | vm gdb firmware.elf --at stdio" firmware.elf"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--at", "where", metavar="PORT|PATH|stdio", default="1234", show_default=True,
              help="Where GDB comes: a port of this computer, HOST:PORT, a path for a socket, or by stdio.")
@click.option("--history", is_flag=True, help="Keep a history from the start, for reverse-continue and others.")
@click.option("--address", type=Address(), metavar="ADDR", help="Load FILE, or the kernel, as raw bytes here.")
@click.option("--kernel", metavar="FILE", help="Boot this in supervisor mode, as vm boot does.")
@click.option("--initrd", metavar="FILE", help="Initial RAM disk of a kernel.")
@click.option("--append", metavar="TEXT", default="", help="Kernel command line.")
@click.option("--firmware", metavar="FILE", help="Run this in machine mode, as OpenSBI, not the firmware built in.")
@machine_options(memory="512M", clock="virtual")
def gdb(file: str | None, where: str, history: bool, address: int | None, kernel: str | None, initrd: str | None,
        append: str, firmware: str | None, **options: Any) -> int:
    """Wait for GDB, then run FILE as it says: an ELF or raw bytes in machine mode, or the file of a snapshot.

    The guest's console is this terminal; by stdio it is GDB's. `monitor help` in GDB says what else there is. When GDB
    detaches, the guest runs on, and GDB can come again. Exit codes are those of `vm run`; 0 where GDB kills it.
    """
    context = click.get_current_context()
    if (file is None) == (kernel is None):
        raise click.UsageError("say either FILE or --kernel FILE", context)
    if kernel is None and (others := given_among(OF_A_KERNEL)):
        raise click.UsageError(f"{', '.join(others)}: goes with --kernel", context)

    refuse_beside_gdb(where, file or kernel)
    from vm.cli.debugging import debug_to_end

    with machine_of(file, kernel, initrd, append, firmware, address, options) as machine:
        if history:
            machine.keep_history()
        return debug_to_end(machine, file or str(kernel), where, wait=True)


def given_among(names: tuple[str, ...]) -> list[str]:
    """The options on the command line that are some of these."""
    beside = given_beside(names)
    return [option for option in given_beside(()) if option not in beside]


def machine_of(file: str | None, kernel: str | None, initrd: str | None, append: str, firmware: str | None,
               address: int | None, options: dict[str, Any], from_a_file: tuple[str, ...] = FROM_A_FILE) -> Machine:
    """The machine with its guest; the caller closes it. `from_a_file`: the options that go with a snapshot."""
    if file is not None and is_snapshot(file):
        from vm.cli.restore import machine_from

        if others := given_beside(from_a_file):
            raise click.UsageError(f"{file}: a snapshot has its own {', '.join(others)}", click.get_current_context())
        return machine_from(file, options["engine"], options["disks"])
    machine = build_machine(**options)
    try:
        if kernel is None:
            assert file is not None
            machine.load(file, address=address)
        else:
            machine.boot(kernel, initrd=initrd, cmdline=os.fsencode(append), firmware=firmware, address=address)
    except BaseException:
        machine.close()
        raise
    return machine


def is_snapshot(path: str) -> bool:
    """As its first bytes say."""
    from vm.snapshots.layout import MAGIC

    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC
