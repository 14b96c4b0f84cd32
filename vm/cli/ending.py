"""What ends a session, as options say: a command in the guest, a debugger, the browser, a limit, or the guest."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vm.cli.options import refuse_beside

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm.terminal import Terminal


class Ending(NamedTuple):
    command: str | None = None          # for the guest's shell
    gdb: str | None = None              # where a debugger may come
    display: int | None = None          # the port of the page that shows it, instead of this terminal
    timeout: float | None = None
    max_instructions: int | None = None
    quiet: bool = False                 # nothing is said about how it ended

    @property
    def by_itself(self) -> bool:
        """Whether it is the guest, or a limit, and the terminal is its console."""
        return self.command is None and self.gdb is None and self.display is None

    def refuse_unfit(self, replay: str | None = None, snapshot_at: tuple[str, str] | None = None) -> None:
        """Raises UsageError for options that do not go together."""
        limits = {"run": self.command is not None, "timeout": self.timeout, "max_instructions": self.max_instructions,
                  "snapshot_at": snapshot_at}
        refuse_beside("--gdb", self.gdb, **limits)
        refuse_beside("--display", self.display, **limits, gdb=self.gdb, replay=replay)


def run_until(ending: Ending, machine: Machine, name: str, terminal_class: type[Terminal]) -> int:
    """Run the machine until then; the exit code. `name` is the guest's, for messages."""
    if ending.command is not None:
        from vm.cli.guest_shell import run_command

        return run_command(machine, name, ending.command, ending.timeout)
    if ending.display is not None:
        from vm.cli.display import show_to_end

        return show_to_end(machine, name, ending.display, ending.quiet)
    if ending.gdb is not None:
        from vm.cli.debugging import debug_to_end

        return debug_to_end(machine, name, ending.gdb, quiet=ending.quiet, terminal_class=terminal_class)
    from vm.cli.session import run_to_end

    return run_to_end(machine, name, ending.max_instructions, ending.timeout, quiet=ending.quiet,
                      terminal_class=terminal_class)
