"""The part of a machine by which a program looks at its guest: breakpoints, watchpoints, debuggers."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from vm.probes import Breakpoint, Probe, Space, WatchedAccess, Watchpoint

if TYPE_CHECKING:
    from vm.gdb.server import GdbServer
    from vm.machine import Machine
    from vm.probing import Probing
    from vm.profiling.names import Naming
    from vm.profiling.profile import Profile
    from vm.runner import Runner
    from vm_native.execution.scheduler import Scheduler


class SightsOfMachine(ABC):
    """What `Machine` lets one see; what is declared here is the machine's."""

    _scheduler: Scheduler
    _runner: Runner
    _probing: Probing

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

    def profile(self, every: int | None = None, *, seconds: float | None = None,
                symbols: Naming | Sequence[Naming] = (), call_frames: bool = True, depth: int = 128) -> Profile:
        """From now on look at the harts at fixed guest times, and keep where they are, with their call stacks.

        The guest runs as without: the samples of a run with a virtual clock are the same each time.

        - every: steps of the machine from one sample to the next, 100,003 unless something is said; at multiples of it,
          counted from power-on. Each hart that has taken steps since the last sample gives one, with their number as
          its weight, so that weights add up to the steps that were taken.
        - seconds: guest time from one sample to the next, instead. Each hart that has been started gives one, also
          where it waits. With a real clock that is when the slice ends that is running.
        - symbols: ELF files beside the one that was loaded, where they were linked, or (file, by how much it was
          moved); or what knows names otherwise, by a method `name_of(address)`, which returns one or None. Also a list.
        - call_frames: use the call frame information (.debug_frame, .eh_frame) of these files; elsewhere, and without,
          stacks are walked by frame pointers (-fno-omit-frame-pointer).
        - depth: how many functions of a stack are kept, the innermost.

        Ends with `stop()` of what this returns, or with its `with` block. Raises ConfigurationError, also while another
        profile is taken, and LoadError for a file.
        """
        from vm.profiling.sampling import Watched
        from vm.profiling.starting import start_profile

        machine = cast("Machine", self)
        watched = Watched(machine._native, self._scheduler, machine.clock, machine.harts)
        return start_profile(self._runner, watched, machine.memory, machine.program, every, seconds, symbols,
                             call_frames, depth)
