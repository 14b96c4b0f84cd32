"""`vm install`: a Debian on a new disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vm.cli.options import PACKAGES_OPTION
from vm.errors import ConfigurationError

if TYPE_CHECKING:
    from vm.install import Report

EXAMPLES = """\b
Examples:
  vm install debian --disk disk.qcow2
  vm install debian --disk disk.qcow2 --size 20G --user ada --packages git,gcc
  vm boot disk.qcow2 --net user,hostfwd=tcp:127.0.0.1:2222-:22"""


class Password(click.Option):
    """An option that is asked for, and that says so where nobody answers."""

    def prompt_for_value(self, ctx: click.Context) -> Any:
        try:
            return super().prompt_for_value(ctx)
        except click.Abort as error:
            if isinstance(error.__context__, EOFError):
                raise click.UsageError("--password: nobody answers here; say --password TEXT", ctx) from None
            raise


@click.command(epilog=EXAMPLES)
@click.argument("system", type=click.Choice(["debian"]), metavar="debian")
@click.option("--disk", required=True, metavar="FILE", help="The new disk: qcow2 if it is called so, else raw.")
@click.option("--size", default="8G", show_default=True, help="Of the disk; qcow2 takes what is in use, about 1 GB.")
@PACKAGES_OPTION
@click.option("--user", metavar="NAME", help="Make a user, who may use sudo.")
@click.option("--password", cls=Password, prompt=True, prompt_required=False, hide_input=True, confirmation_prompt=True,
              help="Of the user, or of root where there is none; without a value it is asked for. The console logs in "
                   "by itself where there is none.")
@click.option("--ssh-key", "key_files", metavar="FILE", multiple=True,
              help="A public key that may log in by ssh, as root and as the user; repeatable.  "
                   "[default: ~/.ssh/id_*.pub]")
@click.option("--hostname", metavar="NAME", default="debian", show_default=True, help="Of the new system.")
@click.option("--memory", metavar="SIZE", default="1G", show_default=True, help="RAM of the machine that installs.")
@click.option("--mirror", metavar="URL", help="The mirror to download from; the new system's apt will ask it, too.  "
                                              "[default: VM_DEBIAN_MIRROR, or the host's apt's]")
def install(system: str, disk: str, size: str, packages: tuple[str, ...], user: str | None, password: str | None,
            key_files: tuple[str, ...], hostname: str, memory: str, mirror: str | None) -> int:
    """Install Debian on a new disk, which `vm boot DISK` boots.

    Packages are downloaded, verified and cached on the host, and set up by the guest. The disk appears under its name
    when all is done.
    """
    from vm.display import size_text
    from vm.install import Settings, install_debian
    from vm.terminal import unwind_by_signals

    unwind_by_signals()         # what it has begun is taken away
    settings = Settings(hostname, user, password, public_keys(key_files))
    with shown() as report:
        done = install_debian(disk, size, packages, settings, mirror=mirror, memory=memory, report=report)
    click.echo(f"vm: {done.path}: Debian with {done.packages} packages, {size_text(done.size)} on the host; boot it "
               f"with: vm boot {done.path}", err=True)
    return 0


def public_keys(files: tuple[str, ...]) -> list[str]:
    """The lines of these files; of the user's own keys if there are none."""
    paths = [Path(name) for name in files] or sorted(Path.home().glob(".ssh/id_*.pub"))
    keys: list[str] = []
    for path in paths:
        try:
            found = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        except OSError as error:
            raise ConfigurationError(f"--ssh-key {path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"--ssh-key {path}: cannot be read: {error}") from error
        if files and not found:
            raise ConfigurationError(f"--ssh-key {path}: has no key; name the file of a public one, as "
                                     "~/.ssh/id_ed25519.pub")
        keys += found
    return keys


@contextmanager
def shown() -> Iterator[Report]:
    """What the installation reports, on standard error: bars on a terminal, else a line for each step."""
    if not sys.stderr.isatty():
        steps: list[str] = []

        def name(step: str, done: int, total: int) -> None:
            if step not in steps:
                steps.append(step)
                click.echo(f"vm: {step}", err=True)

        yield name
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def draw(step: str, done: int, total: int) -> None:
            if step not in tasks:
                for before in tasks.values():       # done, as the next has begun
                    bars.update(bars.task_ids[before], completed=bars.tasks[before].total)
                tasks[step] = len(tasks)
                bars.add_task(step, total=total)
            bars.update(bars.task_ids[tasks[step]], completed=done)

        yield draw
