"""`--display`: a machine whose console is a page of the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vm.cli.session import conclusion
from vm.terminal import unwind_by_signals

if TYPE_CHECKING:
    from vm.machine import Machine


def show_to_end(machine: Machine, name: str, port: int, quiet: bool = False) -> int:
    """Show the machine until its guest has ended and nobody looks any more; the exit code. Ctrl-C ends it before.

    `port`: of this computer, 0 for any that is free. `name` is the guest's, for the message on how it ended, which
    `quiet` leaves out.
    """
    machine.console.record = False
    unwind_by_signals()
    with machine.web(port) as console:
        click.echo(f"vm: web console at {console.url}", err=True)
        stop = console.serve()
    code, message = conclusion(machine, stop)
    if message and not quiet:
        click.echo(f"vm: {name}: {message}", err=True)
    return code
