"""Memory as a debugger sees it: through the page tables of a hart, whatever these permit it to do.

A debugger reads the user's memory from within a kernel, and writes to code. A page is looked for as the hart has it in
its privilege, then as the supervisor, then as the user. Nothing of the hart has changed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

from vm.errors import Access, BusError, PageFault
from vm.hart import Hart
from vm.memory import Memory
from vm.sizes import PAGE_SIZE

SUPERVISOR, USER = 1, 0
ACCESSES: tuple[Access, ...] = ("read", "execute")
Done = TypeVar("Done")


class DebuggersMemory:
    """`physical`: addresses are, as QEMU's PhyMemMode has it."""

    def __init__(self, memory: Memory):
        self._memory = memory
        self.physical = False

    def read(self, hart: Hart, address: int, size: int) -> bytes:
        """Up to `size` bytes: those before the first page that is not there. Raises PageFault or BusError for none."""
        data = b""
        for start, part in pieces(address, size):
            try:
                data += self._attempt(hart, start, partial(self._read_physical, part))
            except (PageFault, BusError):
                if not data:
                    raise
                break
        return data

    def write(self, hart: Hart, address: int, data: bytes) -> None:
        """Raises PageFault or BusError; what comes before the page that is not there has been written."""
        for start, part in pieces(address, len(data)):
            content = data[start - address : start - address + part]
            self._attempt(hart, start, partial(self._write_physical, content))

    def refuse_devices(self, hart: Hart, address: int, size: int) -> None:
        """Raises BusError where something is mapped that is no memory."""
        for start, part in pieces(address, size):
            with suppress(PageFault):
                self._attempt(hart, start, partial(self._refuse_device, part))

    def _refuse_device(self, size: int, address: int) -> None:
        self._memory.view(address, size)

    def _read_physical(self, size: int, address: int) -> bytes:
        return self._memory.read(address, size)

    def _write_physical(self, data: bytes, address: int) -> None:
        self._memory.write(address, data)

    def _attempt(self, hart: Hart, address: int, action: Callable[[int], Done]) -> Done:
        """Do it at the first physical address where something answers."""
        unanswered: BusError | None = None
        for place in self._places(hart, address):
            try:
                return action(place)
            except BusError as error:
                unanswered = unanswered or error
        assert unanswered is not None
        raise unanswered

    def _places(self, hart: Hart, address: int) -> Iterator[int]:
        """What may be meant by an address, the likeliest first; at least one. Raises PageFault."""
        if self.physical:
            yield address
            return
        found = dict.fromkeys(place for privilege in dict.fromkeys(
                                  (hart.privilege, hart.privilege | SUPERVISOR, SUPERVISOR, USER))
                              if (place := translation(hart, address, privilege)) is not None)
        if not found:
            raise PageFault(address, "read")
        yield from found


def translation(hart: Hart, address: int, privilege: int) -> int | None:
    """The physical address as the hart would find it in another privilege."""
    own = hart.privilege
    if privilege != own:
        hart.privilege = privilege
    try:
        for access in ACCESSES:
            try:
                return hart.virtual.physical(address, access)
            except PageFault:
                pass
        return None
    finally:
        if privilege != own:
            hart.privilege = own


def pieces(address: int, size: int) -> Iterator[tuple[int, int]]:
    """A range by pages; above the last address comes the first."""
    while size > 0:
        part = min(size, PAGE_SIZE - address % PAGE_SIZE)
        yield address, part
        address += part             # pages of a range that is asked for in one packet: it never goes around twice
        size -= part
