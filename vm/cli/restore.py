"""`vm restore`: a machine goes on from the file of a snapshot."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from vm.cli.ending import Ending, run_until
from vm.cli.net import ORDINARY as ORDINARY_NETWORK
from vm.cli.options import DISPLAY_OPTION, ENGINE_OPTION, GDB_OPTION, TIMEOUT_OPTION, open_disk, open_networks
from vm.cli.places import refuse_unwritable
from vm.cli.share import open_shares

if TYPE_CHECKING:
    from vm.devices import BlockDevice, Device
    from vm.machine import Machine
    from vm.snapshot import Snapshot

EXAMPLES = """\b
Examples:
  vm restore booted.vmsnap
  vm restore booted.vmsnap --run "uname -a"
  vm restore booted.vmsnap --gdb 1234"""


@click.command(epilog=EXAMPLES)
@click.argument("path", metavar="FILE")
@ENGINE_OPTION
@click.option("--threads/--no-threads", default=None,
              help="Let each hart run in a thread of the host's, or let them take turns.  [default: as they did]")
@click.option("--disk", "disks", metavar="FILE[,MODE]", multiple=True,
              help="The images of the disks that the machine had, in their order, as they were: repeatable.")
@click.option("--net", "networks", metavar="KIND[,...]", multiple=True,
              help="What its network cards are plugged into, in their order, as in vm boot.  [default: user]")
@click.option("--share", "shares", metavar="DIR[,...]", multiple=True,
              help="The folders that it shared, in their order, as in vm boot: repeatable.")
@click.option("--run", "command", metavar="COMMAND", help="Run this in the guest's shell and exit with its status.")
@TIMEOUT_OPTION
@GDB_OPTION
@DISPLAY_OPTION
def restore(path: str, engine: str | None, threads: bool | None, disks: tuple[str, ...], networks: tuple[str, ...],
            shares: tuple[str, ...], command: str | None, timeout: float | None, gdb: str | None, display: int | None
            ) -> int:
    """Go on where a snapshot was taken, with the guest's console on this terminal; Ctrl-A X quits.

    FILE is one that `vm boot --snapshot-at` or Snapshot.save wrote. It is not changed. Exit codes are those of `vm
    boot`.
    """
    changes = {"engine": engine, "threads": threads}
    return go_on(path, changes, disks, networks, shares, Ending(command, gdb, display, timeout))


def go_on(path: str, changes: Mapping[str, Any], disks: Sequence[str], networks: Sequence[str], shares: Sequence[str],
          ending: Ending) -> int:
    """Run the machine of the file to that end; the exit code."""
    from vm.terminal import Terminal

    ending.refuse_unfit()
    with machine_from(path, changes, disks, networks, shares) as machine:
        if ending.by_itself:
            line = machine.console.output.rpartition(b"\n")[2]      # most often the prompt at which it waits
            click.echo(line, nl=False)
        return run_until(ending, machine, os.path.basename(path), Terminal)


def machine_from(path: str, changes: Mapping[str, Any], disks: Sequence[str], networks: Sequence[str],
                 shares: Sequence[str]) -> Machine:
    """The machine of a file, with these disks, networks and folders; the caller closes it.

    `changes` are arguments of `Machine`: where one is None it stays as it was.
    """
    from vm.snapshot import Snapshot

    snapshot = Snapshot.load(path)
    said = {name: value for name, value in changes.items() if value is not None}
    devices = opened(snapshot, path, disks, shares) | plugged(snapshot, path, networks)
    return snapshot.machine(devices=devices, **said)


def opened(snapshot: Snapshot, path: str, disks: Sequence[str], shares: Sequence[str]) -> dict[str, Any]:
    """The disks and folders, by the names of those that the machine had."""
    return (given(snapshot, path, "BlockDevice", disks, "disk", "--disk FILE", open_disks)
            | given(snapshot, path, "SharedFolder", shares, "shared folder", "--share DIR", open_shares))


def given(snapshot: Snapshot, path: str, kind: str, arguments: Sequence[str], what: str, option: str,
          opener: Callable[[Sequence[str]], Sequence[Device]]) -> dict[str, Any]:
    """Devices of a kind that must be given, by the names of those that the machine had; `what` and `option` are for
    people."""
    names = [device.name for device in snapshot.plan.devices if device.kind == kind]
    if len(names) != len(arguments):
        raise click.UsageError(f"{path}: the machine had {len(names)} {what}{'s' * (len(names) != 1)}, and "
                               f"{len(arguments)} {'is' if len(arguments) == 1 else 'are'} given: say {option} for "
                               "each", click.get_current_context())
    return dict(zip(names, opener(arguments), strict=True))


def open_disks(arguments: Sequence[str]) -> list[BlockDevice]:
    return [open_disk(argument) for argument in arguments]


def plugged(snapshot: Snapshot, path: str, networks: Sequence[str]) -> dict[str, Any]:
    """The network cards, by the names of those that the machine had: plugged into what is given, or into `user`."""
    names = [device.name for device in snapshot.plan.devices if device.kind == "Network"]
    cards = open_networks(networks or [ORDINARY_NETWORK] * len(names))
    if len(cards) > len(names):
        raise click.UsageError(f"{path}: the machine had {len(names)} network card{'s' * (len(names) != 1)}, and "
                               f"{len(cards)} {'is' if len(cards) == 1 else 'are'} given", click.get_current_context())
    return dict(zip(names, cards, strict=False))       # what is left over leads nowhere


def boot_up_to(machine: Machine, text: str, path: str, timeout: float | None) -> int:
    """Run until the guest has printed the text, and save a snapshot of that moment; the exit code."""
    from vm.cli.exit_codes import CRASHED, NOT_DONE
    from vm.errors import ExpectStopped, ExpectTimeout

    refuse_unwritable(f"--snapshot-at {text!r}", path, whole=True)
    out = sys.stdout.buffer

    def show(data: bytes) -> None:
        out.write(data)
        out.flush()

    machine.console.mirror = show
    try:
        machine.console.expect(text, seconds=math.inf, timeout=timeout)
    except (ExpectTimeout, ExpectStopped) as error:
        click.echo(f"\nvm: {str(error).partition('; its output')[0]}; nothing was saved", err=True)
        return NOT_DONE if isinstance(error, ExpectTimeout) else CRASHED
    machine.snapshot().save(path)
    click.echo(f"\nvm: saved in {path}; go on with: vm restore {path}", err=True)
    return 0
