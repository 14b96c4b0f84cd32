"""A kernel's page tables, walked in guest memory: as the MMU does it, but without permissions, and changing nothing.

RISC-V privileged specification: "Supervisor Address Translation and Protection Register" and "Sv39" to "Sv57"; Svnapot.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vm.errors import PageFault
from vm.memory import Memory
from vm.sizes import PAGE_SIZE

LEVELS = {8: 3, 9: 4, 10: 5}                # of tables, by satp.MODE: Sv39, Sv48, Sv57
MODE_SHIFT, PPN_MASK = 60, (1 << 44) - 1    # of satp
VALID, LEAF = 1 << 0, 0b1110                # of a page table entry; R, W or X make a leaf
NAPOT, NAPOT_64K, NAPOT_PAGES = 1 << 63, 0b1000, 16
PAGE_SHIFT, INDEX_BITS = 12, 9
TABLE = struct.Struct("<512Q")
ENTRY = struct.Struct("<Q")
U64 = (1 << 64) - 1
KERNEL_HALF = 1 << 63                       # is set in every address of the upper half


class Mapped(NamedTuple):
    """One leaf of the tables: `size` bytes at a virtual address lie at a physical one."""

    address: int
    physical: int
    size: int


class PageTables:
    """Memory as a satp shows it. Addresses are virtual; methods raise PageFault and, where no RAM answers, BusError.

    What was translated once is remembered: an object serves while the guest does not run.
    """

    def __init__(self, memory: Memory, levels: int, root: int):
        """`levels` of tables, of which the root lies at a physical address."""
        self.memory = memory
        self.levels = levels
        self.root = root
        self._pages: dict[int, int] = {}

    @classmethod
    def of_satp(cls, memory: Memory, satp: int) -> PageTables | None:
        """None where paging is off."""
        levels = LEVELS.get(satp >> MODE_SHIFT)
        return None if levels is None else cls(memory, levels, (satp & PPN_MASK) << PAGE_SHIFT)

    def twin(self, root: int) -> PageTables:
        """Other tables of the same depth."""
        return PageTables(self.memory, self.levels, root)

    def physical(self, address: int) -> int:
        """Where an address lies."""
        page = (address & U64) >> PAGE_SHIFT        # a damaged pointer and an offset may lead around
        if page not in self._pages:
            self._pages[page] = self._walk(page << PAGE_SHIFT)
        return self._pages[page] + address % PAGE_SIZE

    def read(self, address: int, size: int) -> bytes:
        """RAM, across pages."""
        parts = []
        while size > 0:
            part = min(size, PAGE_SIZE - address % PAGE_SIZE)
            parts.append(self.memory.view(self.physical(address), part))    # a read() of a device has side effects
            address += part
            size -= part
        return b"".join(parts)

    def integer(self, address: int, size: int = 8) -> int:
        """Little-endian, unsigned."""
        return int.from_bytes(self.read(address, size), "little")

    def text(self, address: int, longest: int = PAGE_SIZE) -> str:
        """A string that a zero byte ends."""
        data = b""
        while b"\0" not in data and len(data) < longest:
            data += self.read(address + len(data), min(64, PAGE_SIZE - (address + len(data)) % PAGE_SIZE))
        return data.partition(b"\0")[0][:longest].decode(errors="replace")

    def mapped(self, start: int, end: int) -> Iterator[Mapped]:
        """The leaves from `start` up to `end`, by address."""
        yield from self._leaves(self.root, self.levels - 1, 0, start, end)

    def _leaves(self, table: int, level: int, below: int, start: int, end: int) -> Iterator[Mapped]:
        """Those of one table, the first entry of which translates the address `below`, not sign-extended."""
        shift = PAGE_SHIFT + INDEX_BITS * level
        for index, entry in enumerate(TABLE.unpack(self.memory.view(table, PAGE_SIZE))):
            address = below + (index << shift)
            extended = self._extended(address)
            if not entry & VALID or extended >= end or extended + (1 << shift) <= start:
                continue
            if entry & LEAF:
                yield Mapped(extended, leaf_address(entry, level, address), 1 << shift)
            elif level:
                yield from self._leaves(frame(entry), level - 1, address, start, end)

    def _extended(self, address: int) -> int:
        """An address with its highest translated bit in all that are above."""
        top = 1 << (PAGE_SHIFT + INDEX_BITS * self.levels - 1)
        return address | -(address & top) & U64

    def _walk(self, address: int) -> int:
        """The physical address of a page."""
        table = self.root
        bits = PAGE_SHIFT + INDEX_BITS * self.levels
        if self._extended(address % (1 << bits)) != address:
            raise PageFault(address, "read")
        for level in range(self.levels - 1, -1, -1):
            index = address >> (PAGE_SHIFT + INDEX_BITS * level) & (1 << INDEX_BITS) - 1
            entry, = ENTRY.unpack(self.memory.view(table + ENTRY.size * index, ENTRY.size))
            if not entry & VALID:
                break
            if entry & LEAF:
                return leaf_address(entry, level, address)
            table = frame(entry)
        raise PageFault(address, "read")


def frame(entry: int) -> int:
    """The physical address in an entry."""
    return (entry >> 10 & PPN_MASK) << PAGE_SHIFT


def leaf_address(entry: int, level: int, address: int) -> int:
    """Where the page of an address lies, by the leaf that translates it."""
    covered = 1 << (PAGE_SHIFT + INDEX_BITS * level)
    base = frame(entry)
    if entry & NAPOT and level == 0 and base >> PAGE_SHIFT & NAPOT_PAGES - 1 == NAPOT_64K:
        covered = NAPOT_PAGES * PAGE_SIZE
    return base - base % covered + (address % covered & -PAGE_SIZE)
