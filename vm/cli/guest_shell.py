"""`vm boot` with a shell in the guest: a command that it runs, or input that is piped to it."""

from __future__ import annotations

import math
import re
import sys
import time
from shlex import quote

import click

from vm.cli.exit_codes import FAILED, NOBODY_READS, NOT_DONE
from vm.cli.session import conclusion
from vm.errors import ExpectStopped, ExpectTimeout, UnexpectedOutput
from vm.machine import Machine
from vm.outlet import ROOM, Outlet
from vm.shell import PANIC
from vm.stop import StopReason
from vm.terminal import Terminal, unwind_by_signals

# Of busybox in Debian's small system: the directory. It may ask the terminal then where the cursor is.
PROMPT = re.compile(rb"[/~][^\n]* # (\x1b\[6n)?\Z")
PANIC_SECONDS = 0.1         # guest time that the kernel needs to say why it panics
TAIL = 300                  # bytes of output that a prompt is looked for in


def run_command(machine: Machine, name: str, command: str, timeout: float | None) -> int:
    """Run a command in the guest's shell, its output on standard output; its exit status.

    `name` is the guest's, for messages. Where the command ends the machine, the code is what that ends with.
    """
    unwind_by_signals()
    end = None if timeout is None else time.monotonic() + timeout
    output = Outlet(sys.stdout.fileno())
    try:
        code, message = outcome(machine, command, end, output)
        if not output.drain(end):
            code, message = NOT_DONE, "nobody took the command's output within --timeout"
    except BrokenPipeError:
        return NOBODY_READS
    finally:
        output.close()
    if message:
        click.echo(f"vm: {name}: {message}", err=True)
    return code


def outcome(machine: Machine, command: str, end: float | None, output: Outlet) -> tuple[int, str]:
    """The exit code, and what there is to say about it. `end` is of time.monotonic()."""
    def time_left() -> float | None:
        return None if end is None else max(end - time.monotonic(), 0)

    def show(data: bytes) -> None:
        output.write(data)
        if output.full and not output.drain(end, ROOM):
            raise ExpectTimeout("nobody takes the output")

    waiting = "no shell answered"
    try:
        shell = machine.shell(seconds=math.inf, timeout=time_left())
        waiting = "the command did not end"
        # In a shell below that one: `exit` is the command's end, not the machine's.
        return shell.run(f"(eval {quote(command)})", seconds=math.inf, timeout=time_left(), show=show).status, ""
    except ExpectTimeout:
        # Without --timeout only a guest that waits for nothing gets here.
        limit = "; every hart waits, and nothing could wake one" if end is None else " within --timeout"
        return NOT_DONE, waiting + limit + (last_line(machine) if waiting.startswith("no shell") else "")
    except UnexpectedOutput:
        machine.run(seconds=PANIC_SECONDS, timeout=1)       # the rest of the line, and what ends the kernel's message
        *_, panic = PANIC.finditer(machine.console.output)
        return FAILED, machine.console.output[panic.start():].partition(b"\n")[0].decode(errors="replace").rstrip()
    except ExpectStopped as error:
        if error.stop.reason is StopReason.RESET:
            return FAILED, "the guest reset the machine before the command ended"
        return conclusion(machine, error.stop)


def last_line(machine: Machine) -> str:
    """What of the guest's console says most about why it does not answer."""
    line = machine.console.text.rstrip().rpartition("\n")[2].strip()
    return f"; its console ends with: {line}" if line else "; it printed nothing"


class PipedShell(Terminal):
    """Standard input that is no terminal, for Debian's small system: typed when the shell's prompt is there.

    At the end of the input the shell is left, when it asks for more; the machine goes off then.
    """

    def __init__(self, machine: Machine):
        super().__init__(machine)
        self._tail = b""                        # what was printed since something was typed
        self._started = False                   # the first prompt was there
        self._typed = b"\n"                     # the last of it
        self._leaving = False

    def write(self, data: bytes) -> None:
        super().write(data)
        self._tail = (self._tail + data)[-TAIL:]
        if PROMPT.search(self._tail):
            if not self._started:
                self._started = True
                self._start_feeding()
                self.machine.request_stop()     # so that the input is looked at
            elif not self.feeding:
                self._leave()

    def on_input(self) -> None:
        super().on_input()
        if not self.feeding:
            if self._typed != b"\n":
                self.machine.console.send(b"\n")
                self._tail = b""
            if PROMPT.search(self._tail):
                self._leave()

    def _start_feeding(self) -> None:
        if self._started:
            super()._start_feeding()
            if not self.feeding:                # standard input is closed
                self._leave()

    def _type(self, data: bytes) -> None:
        super()._type(data)
        self._tail, self._typed = b"", data[-1:] or self._typed

    def _leave(self) -> None:
        if not self._leaving:
            self._leaving = True
            self.machine.console.send(b"exit\n")
