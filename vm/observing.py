"""The part of a machine by which a program looks at its guest: breakpoints, watchpoints, debuggers."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, cast

from vm.errors import GuestError
from vm.probes import Breakpoint, Probe, Space, WatchedAccess, Watchpoint

if TYPE_CHECKING:
    from vm.gdb.server import GdbServer
    from vm.linux import LinuxGuest
    from vm.machine import Machine
    from vm.probing import Probing
    from vm.runner import Runner
    from vm_native.execution.scheduler import Scheduler


class SightsOfMachine(ABC):
    """What `Machine` lets one see; what is declared here is the machine's."""

    _scheduler: Scheduler
    _runner: Runner
    _probing: Probing
    _linux: LinuxGuest | None = None

    def add_breakpoint(self, address: int, space: Space = "virtual") -> Breakpoint:
        """From now on `run` ends before each instruction at this address, with reason `breakpoint`.

        A hart that is reported there goes on past it in the next run. Raises ConfigurationError.
        """
        return self._probing.add_breakpoint(address, space)

    def add_watchpoint(self, address: int, size: int = 8, access: WatchedAccess = "write") -> Watchpoint:
        """From now on `run` ends after each instruction that accesses this range of RAM, with reason `watchpoint`.

        - address: physical; `hart.virtual.physical` has that of a virtual one. size: in bytes.
        - access: "read", "write", or "access" for both. Atomics do both. What devices and Python do does not count, nor
          do fetches and the walk of page tables, which can set bits there.

        Raises ConfigurationError where the range is not RAM.
        """
        return self._probing.add_watchpoint(address, size, access)

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The breakpoints and watchpoints that are set."""
        return tuple(self._runner.probes.values())

    def gdb(self, where: int | str = 1234, *, wait: bool = True) -> GdbServer:
        """Let GDB look at the machine: `serve()` of what this returns waits for it, and runs the machine as it says.

        - where: a TCP port of this computer, which no other reaches; "HOST:PORT" for another address; a path, for a
          socket in the file system; or "stdio". Port 0 is one that is free: `address` says which.
        - wait: the machine does not run before a debugger has come.

        Raises ConfigurationError where none can come.
        """
        from vm.gdb.server import GdbServer

        return GdbServer(cast("Machine", self), self._scheduler, where, wait)

    @property
    def linux(self) -> LinuxGuest:
        """The Linux that runs in the machine, as its own tables in guest memory show it: processes, modules, log."""
        if self._linux is None:
            from vm.linux import LinuxGuest

            machine = cast("Machine", self)
            self._linux = LinuxGuest(machine.memory, machine.harts)
        return self._linux

    def _symbol(self, address: int) -> str | None:
        """The name of a virtual address: by the symbols of a program, or of a Linux that was looked at before."""
        program = cast("Machine", self).program
        if program and (name := program.symbols.lookup(address)):
            return name
        try:
            return self._linux.lookup(address) if self._linux is not None and self._linux.found else None
        except GuestError:                  # that kernel is gone, or damaged: an address is better than no report
            return None
