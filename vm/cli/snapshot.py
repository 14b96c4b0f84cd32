"""`vm snapshot`: what a file of a snapshot holds, and whether it is whole."""

from __future__ import annotations

from pathlib import Path

import click

from vm.cli.options import Commands

FILE = click.argument("path", metavar="FILE", type=click.Path(path_type=Path))


@click.group(cls=Commands, epilog="Example: vm snapshot info booted.vmsnap")
def snapshot() -> None:
    """Look at files of snapshots."""


@snapshot.command(epilog="Example: vm snapshot info booted.vmsnap")
@FILE
def info(path: Path) -> None:
    """Show what the machine of a file was built with, its memory, its identity, and the files that it needs."""
    from vm.saving import arguments_in
    from vm.snapshots.file import SnapshotFile

    with SnapshotFile(path) as file:
        click.echo(f"identity  {file.identity.hex()}")
        arguments = ", ".join(f"{name}={value!r}" for name, value in arguments_in(file).items())
        click.echo(f"machine   {arguments or 'none that this vm knows'}")
        for number, region in enumerate(file.regions):
            click.echo(f"memory    {region.name}: {region.size:,} bytes, {int(file.held(number).sum()):,} pages of it "
                       "not zero")
        for one in file.chain():
            click.echo(f"file      {one.path}: {one.size:,} bytes, {one.pages:,} pages")


@snapshot.command(epilog="Example: vm snapshot verify booted.vmsnap")
@FILE
def verify(path: Path) -> None:
    """Read all of a file, and of those that it needs; fail if any part is damaged."""
    from vm.snapshots.file import SnapshotFile

    with SnapshotFile(path) as file:
        file.verify()
        click.echo(f"{path}: whole" + f", and the {file.depth - 1} that it needs" * (file.depth > 1))
