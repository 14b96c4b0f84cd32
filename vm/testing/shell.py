"""A shell in a guest, for what talks to it from Python.

    machine.boot(debian_kernel(), initrd=userspace_initrd(SHELL))
    print(Shell(machine).run("uname -a"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vm.machine import Machine

PROMPT = "guest> "
# The terminal of an interactive shell shows what is typed; without that, all it prints is what commands print.
SHELL = f"stty -echo; export PS1='{PROMPT}'; exec sh"


class Shell:
    """A shell in a guest that was booted to `SHELL`."""

    def __init__(self, machine: Machine):
        self.machine = machine
        machine.console.expect(PROMPT)

    def run(self, command: str) -> str:
        """What a command prints, the last newline left out."""
        self.machine.console.send(command + "\n")
        self.machine.console.expect(PROMPT)
        printed = self.machine.console.before
        assert isinstance(printed, str)             # PROMPT is
        return printed.replace("\r\n", "\n").removesuffix("\n")
