"""Breakpoints and watchpoints, as whoever set them holds them, and what a run that ended at one says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Space = Literal["virtual", "physical"]
WatchedAccess = Literal["read", "write", "access"]      # access: a read or a write
Access = Literal["read", "write", "access", "execute"]


class Breakpoint:
    """`Machine.run` ends before the instruction at an address. `Machine.breakpoint` sets one.

    - address, space: where that is. A virtual address counts in whichever address space it is executed.
    """

    def __init__(self, address: int, space: Space, remove: Callable[[], None]):
        self.address = address
        self.space = space
        self._remove = remove

    def remove(self) -> None:
        """End it. Twice is harmless. Raises MachineBusy while the machine runs."""
        self._remove()

    def __repr__(self) -> str:
        return f"<Breakpoint: {self.space} {self.address:#x}>"


class Watchpoint:
    """`Machine.run` ends after an instruction that accesses a range of RAM. `Machine.watchpoint` sets one.

    - address, size, space: the range. Virtual addresses count in whichever address space they are accessed.
    - access: which accesses, "read", "write", or "access" for both.
    """

    def __init__(self, address: int, size: int, space: Space, access: WatchedAccess, remove: Callable[[], None]):
        self.address = address
        self.size = size
        self.space = space
        self.access = access
        self.space = space
        self._remove = remove

    def remove(self) -> None:
        """End it. Twice is harmless. Raises MachineBusy while the machine runs."""
        self._remove()

    def __repr__(self) -> str:
        return f"<Watchpoint: {self.access} of {self.space} [{self.address:#x}, {self.address + self.size:#x})>"


Probe = Breakpoint | Watchpoint


@dataclass(frozen=True)
class Hit:
    """One breakpoint or watchpoint that a run has met.

    - access: "execute" of a breakpoint; else "read" or "write", and "access" where the instruction did both.
    - address, size: what was accessed, virtual or physical as the probe is, of two pages the first part; of a
      breakpoint its own address, and 0.
    - pc: virtual address of the instruction. It is done at a watchpoint, and is the next one at a breakpoint.
    """

    probe: Probe
    access: Access
    address: int
    size: int
    pc: int
