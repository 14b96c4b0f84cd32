"""Call frame information of an ELF file: where a function keeps its caller's registers, for each of its instructions.

DWARF 5, section 6.4; the sections .debug_frame and .eh_frame (Linux Standard Base, chapter 10.6). Rules that are DWARF
expressions are for signal handlers and the like: a frame that needs one ends the stack.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NamedTuple

from vm.errors import LoadError

RA, SP = 1, 2
INTEGER_REGISTERS = 32                      # their numbers are x's; above are f's
Read = Callable[[int], int | None]


class FrameRow(NamedTuple):
    """What holds at one instruction. The CFA is the stack pointer of before the call."""

    register: int                           # the CFA is this one ...
    offset: int                             # ... and so much
    saved: dict[int, int]                   # where registers of the caller lie, by number, from the CFA
    outermost: bool                         # there is no caller

    def caller(self, registers: dict[int, int], read: Read) -> tuple[int, dict[int, int]] | None:
        """The return address and the caller's registers; None where they cannot be found."""
        if self.outermost or self.register not in registers:
            return None
        frame = registers[self.register] + self.offset
        if frame < registers[SP]:
            return None
        found = {number: value for number, value in registers.items() if number != RA} | {SP: frame}
        address = None if RA in self.saved else registers.get(RA)
        for number, offset in self.saved.items():
            value = read(frame + offset)
            if value is None:
                return None
            if number == RA:
                address = value
            else:
                found[number] = value
        return None if not address else (address, found)


class CallFrames:
    """Of one file. Functions are decoded when they are asked for."""

    def __init__(self, name: str, data: bytes, bias: int = 0):
        """`bias` is what the file's addresses lack in memory. Raises LoadError for what is damaged."""
        from elftools.elf.elffile import ELFFile  # here: only profiles need it

        self._name = name
        self._bias = bias
        self._rows: dict[int, tuple[list[int], list[FrameRow | None]]] = {}     # by place in `_functions`
        with self._refusing_damage():
            self._functions = functions(ELFFile(BytesIO(data)))
        self._starts = [start for start, _, _ in self._functions]

    def __bool__(self) -> bool:
        return bool(self._functions)

    def row(self, pc: int) -> FrameRow | None:
        """What holds before the instruction there; None where the file does not say. Raises LoadError."""
        address = pc - self._bias
        place = bisect_right(self._starts, address) - 1
        if place < 0 or address >= self._functions[place][1]:
            return None
        if place not in self._rows:
            with self._refusing_damage():
                self._rows[place] = decoded(self._functions[place][2])
        starts, rows = self._rows[place]
        line = bisect_right(starts, address) - 1
        return None if line < 0 else rows[line]

    @contextmanager
    def _refusing_damage(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:          # the library raises one of nearly every kind
            what = str(error) or type(error).__name__
            raise LoadError(f"{self._name}: damaged call frame information ({what}); a profile with call_frames=False "
                            "does without") from error


def functions(elf: Any) -> list[tuple[int, int, Any]]:
    """Start, end and entry (FDE) of each, in order of addresses; of two for one place, that of .debug_frame."""
    from elftools.dwarf.callframe import FDE

    if not any(elf.get_section_by_name(name) for name in (".debug_frame", ".eh_frame")):
        return []
    dwarf = elf.get_dwarf_info(relocate_dwarf_sections=False, follow_links=False)
    entries = dwarf.CFI_entries() if dwarf.has_CFI() else []
    entries += dwarf.EH_CFI_entries() if dwarf.has_EH_CFI() else []
    found: dict[int, tuple[int, int, Any]] = {}
    for entry in entries:
        if isinstance(entry, FDE) and entry["address_range"]:
            start = entry["initial_location"]
            found.setdefault(start, (start, start + entry["address_range"], entry))
    return [found[start] for start in sorted(found)]


def decoded(entry: Any) -> tuple[list[int], list[FrameRow | None]]:
    """The rows of a function, and the addresses from which on they hold; None for a rule that is an expression."""
    starts, rows = [], []
    for line in entry.get_decoded().table:
        starts.append(line["pc"])
        rows.append(as_row(line, entry.cie["return_address_register"]))
    return starts, rows


def as_row(line: dict[Any, Any], return_address: int) -> FrameRow | None:
    cfa = line["cfa"]
    rules = {number: rule for number, rule in line.items() if isinstance(number, int)}
    if cfa.reg is None or any(rule.type not in ("OFFSET", "SAME_VALUE", "UNDEFINED") for rule in rules.values()):
        return None
    saved = {RA if number == return_address else number: rule.arg for number, rule in rules.items()
             if rule.type == "OFFSET" and number < INTEGER_REGISTERS}
    outermost = return_address in rules and rules[return_address].type == "UNDEFINED"
    return FrameRow(cfa.reg, cfa.offset, saved, outermost)
