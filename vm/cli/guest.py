"""The guest of a command, a program, a kernel or the file of a snapshot: options that say which, and its machine."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vm.cli.boot import given_beside, installer
from vm.cli.options import Address, Command, build_machine, machine_options

if TYPE_CHECKING:
    from vm.machine import Machine

OF_A_KERNEL = ("initrd", "append", "firmware")
DEBIAN, DEMO = "debian", "demo"         # as FILE, where there is none: the guests of `vm boot debian` and `vm demo`


def guest_options(command: Command) -> Command:
    """FILE or a kernel, and the machine: what `machine_of` takes, beside FILE."""
    for option in (
        machine_options(memory="512M", clock="virtual"),
        click.option("--firmware", metavar="FILE",
                     help="Run this in machine mode, as OpenSBI, not the firmware built in."),
        click.option("--append", metavar="TEXT", default="", help="Kernel command line."),
        click.option("--initrd", metavar="FILE", help="Initial RAM disk of a kernel."),
        click.option("--kernel", metavar="FILE", help="Boot this in supervisor mode, as vm boot does."),
        click.option("--address", type=Address(), metavar="ADDR", help="Load FILE, or the kernel, as raw bytes here."),
    ):
        command = option(command)
    return command


def refuse_other_than_one(file: str | None, kernel: str | None) -> None:
    """Raises UsageError unless there is one guest, and options of a kernel go with one."""
    context = click.get_current_context()
    if (file is None) == (kernel is None):
        raise click.UsageError("say either FILE or --kernel FILE", context)
    of_its_own = tuple(name for name in OF_A_KERNEL if file != DEBIAN or name == "initrd")
    if kernel is None and (others := given_among(of_its_own)):
        raise click.UsageError(f"{', '.join(others)}: goes with --kernel", context)


def given_among(names: tuple[str, ...]) -> list[str]:
    """The options on the command line that are some of these."""
    beside = given_beside(names)
    return [option for option in given_beside(()) if option not in beside]


def machine_of(file: str | None, *, kernel: str | None, initrd: str | None, append: str, firmware: str | None,
               address: int | None, engine: str | None, disks: tuple[str, ...], networks: tuple[str, ...],
               shares: tuple[str, ...], **board: Any) -> Machine:
    """The machine with its guest; the caller closes it. Raises UsageError for what does not go together."""
    refuse_other_than_one(file, kernel)
    if file is not None and is_snapshot(file):
        from vm.cli.restore import machine_from

        changes = {"engine": engine, "threads": board.pop("threads")}
        if others := given_among(("address", *board)):
            raise click.UsageError(f"{file}: a snapshot has its own {', '.join(others)}", click.get_current_context())
        return machine_from(file, changes, disks, networks, shares)
    machine = build_machine(disks, networks, shares=shares, engine=engine, **board)
    try:
        if file == DEBIAN and not Path(file).exists():
            kernel, initrd, append = installer(None, append)
        if file == DEMO and not Path(file).exists():
            with as_file(files("vm.guests.demo") / "demo.elf") as path:
                machine.load(path, address=address)
        elif kernel is None:
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
