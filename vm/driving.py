"""Who lets a machine run that is also looked at from outside: by a debugger, by a page in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vm.stop import Stop, StopReason

if TYPE_CHECKING:
    from vm.machine import Machine


class Driver(Protocol):
    """Who runs the machine, and has its console."""

    @property
    def quitting(self) -> bool:
        """Whether the user wants all of it to end."""

    def run(self, instructions: int | None) -> Stop:
        """Run the machine, through resets that the guest asks for."""


class PlainDriver:
    """Of a program that has the machine for itself."""

    quitting = False

    def __init__(self, machine: Machine):
        self._machine = machine

    def run(self, instructions: int | None) -> Stop:
        machine = self._machine
        last_step = None if instructions is None else machine.steps + instructions
        while True:
            stop = machine.run(None if last_step is None else last_step - machine.steps)
            if stop.reason is not StopReason.RESET:
                return stop
            if machine.inputs.history is None or machine.inputs.history.live:       # else the log has it
                machine.reset()
