"""Breakpoints and watchpoints of a debugger: the packets Z and z.

All of them are the core's: there is no limit, and nothing is written to the guest's memory. They count in every address
space, and watchpoints also where a page is not mapped yet; where the debugger has physical addresses, watchpoints are
physical.

Debuggers take all of them away at each stop and set them again; what is taken away stays until the machine runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vm.errors import MachineUnusable
from vm.gdb.memory import DebuggersMemory
from vm.hart import Hart
from vm.probes import Hit, Probe, Space, WatchedAccess

if TYPE_CHECKING:
    from vm.machine import Machine

BREAKPOINTS = {0: b"swbreak", 1: b"hwbreak"}
WATCHPOINTS: dict[int, tuple[WatchedAccess, bytes]] = {
    2: ("write", b"watch"), 3: ("read", b"rwatch"), 4: ("access", b"awatch"),
}
LONGEST = 1 << 20                   # bytes of a range that is watched
END = 1 << 64                       # of the address space


class Point(NamedTuple):
    """What a debugger has set: `kind` is the number in the packet, 0 to 4."""

    kind: int
    address: int
    size: int


class Points:
    """The points of one debugger."""

    def __init__(self, machine: Machine, memory: DebuggersMemory):
        self._machine = machine
        self._memory = memory
        self._probes: dict[Point, Probe] = {}
        self._unwanted: set[Point] = set()

    def add(self, point: Point, hart: Hart) -> None:
        """`hart` is the one whose page tables say what is behind a watched range. Twice is harmless.

        Raises BusError where that is no memory, and ConfigurationError.
        """
        if point not in self._probes:
            self._probes[point] = self._set(point, hart)
        self._unwanted.discard(point)

    def remove(self, point: Point) -> None:
        """Twice is harmless."""
        if point in self._probes:
            self._unwanted.add(point)

    @property
    def watching(self) -> bool:
        """Whether there is a watchpoint."""
        return any(point.kind in WATCHPOINTS for point in self._probes)

    def is_withdrawn(self, probe: Probe) -> bool:
        """Whether the debugger has taken it away since the machine stopped."""
        return any(self._probes[point] is probe for point in self._unwanted)

    def settle(self) -> None:
        """The machine is about to run: what was taken away must be gone."""
        for point in self._unwanted:
            self._probes.pop(point).remove()
        self._unwanted.clear()

    def clear(self) -> None:
        """The debugger leaves."""
        self._unwanted.update(self._probes)
        try:
            self.settle()
        except MachineUnusable:     # it is closed, and its probes gone with it
            self._probes.clear()

    def reason(self, hit: Hit) -> bytes:
        """What a stop reply says of a hit; nothing of a probe that the debugger has not set."""
        for point, probe in self._probes.items():
            if hit.probe is not probe:
                continue
            if point.kind in BREAKPOINTS:
                return BREAKPOINTS[point.kind] + b":;"
            first = max(hit.address, point.address)         # that is watched of what was accessed
            return b"%b:%x;" % (WATCHPOINTS[point.kind][1], first)
        return b""

    def _set(self, point: Point, hart: Hart) -> Probe:
        if point.kind in BREAKPOINTS:
            return self._machine.breakpoint(point.address)
        if not 0 < point.size <= LONGEST or point.address + point.size > END:
            raise ValueError(f"a range of {point.size} bytes cannot be watched")
        self._memory.refuse_devices(hart, point.address, point.size)
        access, _ = WATCHPOINTS[point.kind]
        space: Space = "physical" if self._memory.physical else "virtual"
        return self._machine.watchpoint(point.address, size=point.size, access=access, space=space)
