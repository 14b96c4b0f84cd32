"""`--gdb` and `vm gdb`: a machine on the user's terminal that a debugger looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from vm.cli.exit_codes import NOBODY_READS
from vm.cli.session import conclusion, run_with_input
from vm.gdb.channels import STDIO
from vm.stop import Stop, StopReason
from vm.terminal import Terminal

if TYPE_CHECKING:
    from vm.gdb.server import GdbServer
    from vm.machine import Machine


class TerminalDriver:
    """Runs the machine for a debugger, with the terminal as its console."""

    def __init__(self, machine: Machine, terminal: Terminal, server: GdbServer):
        self._machine = machine
        self._terminal = terminal
        self._server = server

    @property
    def quitting(self) -> bool:
        return self._terminal.quitting

    def run(self, instructions: int | None) -> Stop:
        return run_with_input(self._machine, self._terminal, instructions, asked=lambda: self._server.wanted)


def debug_to_end(machine: Machine, name: str, where: str, *, wait: bool = False, quiet: bool = False,
                 terminal_class: type[Terminal] = Terminal) -> int:
    """Serve debuggers until the guest ends or one of them ends it; the exit code, as of `run_to_end`."""
    machine.console.record = False
    if machine.inputs.history is not None and not machine.inputs.history.live:      # a replay, which can go back
        machine.keep_history()
    with machine.gdb(where, wait=wait) as server:
        if where == STDIO:
            return concluded(machine, name, server.serve(), quiet, lambda text: click.echo(text, err=True))
        try:
            with terminal_class(machine) as terminal:
                if not quiet:
                    terminal.report(f"vm: {'waiting for' if wait else 'ready for'} gdb: target remote {server.address}")
                stop = server.serve(TerminalDriver(machine, terminal, server))
                return 0 if terminal.quitting else concluded(machine, name, stop, quiet, terminal.report)
        except BrokenPipeError:
            return NOBODY_READS


def concluded(machine: Machine, name: str, stop: Stop, quiet: bool, report: Callable[[str], None]) -> int:
    """The exit code, and a line on how the guest ended. Where the debugger ended it, that is no failure."""
    if stop.reason is StopReason.REQUESTED:
        return 0
    code, message = conclusion(machine, stop)
    if message and not quiet:
        report(f"vm: {name}: {message}")
    return code
