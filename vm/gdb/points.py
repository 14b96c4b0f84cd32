"""Breakpoints and watchpoints of a debugger: the packets Z and z.

All of them are the core's: there is no limit, and nothing is written to the guest's memory. A virtual breakpoint counts
in every address space. A watchpoint is one of the physical memory that is behind its range when it is set, whatever the
guest maps there later.

Debuggers take all of them away at each stop and set them again; what is taken away stays until the machine runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vm.errors import MachineUnusable
from vm.gdb.memory import DebuggersMemory
from vm.hart import Hart
from vm.probes import Hit, Probe, WatchedAccess, Watchpoint

if TYPE_CHECKING:
    from vm.machine import Machine

BREAKPOINTS = {0: b"swbreak", 1: b"hwbreak"}
WATCHPOINTS: dict[int, tuple[WatchedAccess, bytes]] = {
    2: ("write", b"watch"), 3: ("read", b"rwatch"), 4: ("access", b"awatch"),
}
LONGEST = 1 << 20                   # bytes of a range that is watched


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
        self._probes: dict[Point, list[Probe]] = {}
        self._unwanted: set[Point] = set()

    def add(self, point: Point, hart: Hart) -> None:
        """`hart` is the one whose page tables say what is behind a watched range. Twice is harmless.

        Raises PageFault and ConfigurationError.
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

    def settle(self) -> None:
        """The machine is about to run: what was taken away must be gone."""
        for point in self._unwanted:
            for probe in self._probes.pop(point):
                probe.remove()
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
        for point, probes in self._probes.items():
            if hit.probe not in probes:
                continue
            if point.kind in BREAKPOINTS:
                return BREAKPOINTS[point.kind] + b":;"
            return b"%b:%x;" % (WATCHPOINTS[point.kind][1], watched_address(point, probes, hit))
        return b""

    def _set(self, point: Point, hart: Hart) -> list[Probe]:
        if point.kind in BREAKPOINTS:
            return [self._machine.breakpoint(point.address)]
        if not 0 < point.size <= LONGEST:
            raise ValueError(f"a range of {point.size} bytes cannot be watched")
        access, _ = WATCHPOINTS[point.kind]
        probes: list[Probe] = []
        try:
            for address, size in self._memory.translated(hart, point.address, point.size):
                probes.append(self._machine.watchpoint(address, size=size, access=access, space="physical"))
        except BaseException:
            for probe in probes:
                probe.remove()
            raise
        return probes


def watched_address(point: Point, probes: list[Probe], hit: Hit) -> int:
    """The address of what was accessed, or of the first byte of it that is watched, as the debugger knows it."""
    at = point.address
    for probe in probes:
        assert isinstance(probe, Watchpoint)
        if probe is hit.probe:
            return at + max(hit.address - probe.address, 0)
        at += probe.size
    raise AssertionError("the probe of a hit is one of these")
