"""`vm boot` with a shell in the guest: a command that it runs, or input that is piped to it."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from functools import partial

import click

from vm.cli.exit_codes import FAILED, NOBODY_READS, NOT_DONE
from vm.cli.session import conclusion
from vm.errors import ExpectStopped, ExpectTimeout, UnexpectedOutput
from vm.machine import Machine
from vm.stop import StopReason
from vm.terminal import Terminal

# Of busybox in Debian's small system: the directory. It may ask the terminal then where the cursor is.
PROMPT = re.compile(rb"(^|\n)\S+ # (\x1b\[6n)?\Z")
PANIC_SECONDS = 0.1         # guest time that the kernel needs to say why it panics
TAIL = 300                  # bytes of output that a prompt is looked for in


def run_command(machine: Machine, name: str, command: str, timeout: float | None) -> int:
    """Run a command in the guest's shell, its output on standard output; its exit status.

    `name` is the guest's, for messages. Where the command ends the machine, the code is what that ends with.
    """
    end = None if timeout is None else time.monotonic() + timeout
    waiting = "no shell answered"
    try:
        shell = machine.shell(seconds=math.inf, timeout=timeout)
        waiting = "the command did not end"
        left = None if end is None else max(end - time.monotonic(), 0)
        return shell.run(command, seconds=math.inf, timeout=left, show=partial(print_now, sys.stdout.fileno())).status
    except BrokenPipeError:
        return NOBODY_READS
    except ExpectTimeout:
        # Without --timeout only a guest that waits for nothing gets here.
        limit = "; every hart waits, and nothing could wake one" if timeout is None else " within --timeout"
        tail = last_line(machine) if waiting.startswith("no shell") else ""
        click.echo(f"vm: {name}: {waiting}{limit}{tail}", err=True)
        return NOT_DONE
    except UnexpectedOutput as error:
        machine.run(seconds=PANIC_SECONDS, timeout=1)       # the rest of the line
        panic = str(error.match[0])
        reason = panic + machine.console.text.rpartition(panic)[2].partition("\n")[0].rstrip()
        click.echo(f"vm: {name}: {reason}", err=True)
        return FAILED
    except ExpectStopped as error:
        if error.stop.reason is StopReason.RESET:
            click.echo(f"vm: {name}: the guest reset the machine before the command ended", err=True)
            return FAILED
        code, message = conclusion(machine, error.stop)
        if message:
            click.echo(f"vm: {name}: {message}", err=True)
        return code


def last_line(machine: Machine) -> str:
    """What of the guest's console says most about why it does not answer."""
    line = machine.console.text.rstrip().rpartition("\n")[2].strip()
    return f"; its console ends with: {line}" if line else "; it printed nothing"


def print_now(fd: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


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
