"""Coverage in the format of DynamoRIO's drcov, version 2, as Lighthouse, Cutter and Binary Ninja read it.

A text with the modules, then for each block its offset in one of them, its size and the number of the module.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vm.loaders.loaded import loaded_elf
from vm.whole_file import naming

if TYPE_CHECKING:
    from os import PathLike

    from vm.loaders import Program

ENTRY = struct.Struct("<IHH")       # offset, size, module
LONGEST = 0xFFFE                    # bytes of a block; instructions are of two or four
SPACE = 1 << 32                     # that an offset reaches


class Place(NamedTuple):
    """A module in memory."""

    base: int
    end: int
    entry: int
    path: str


def write_drcov(path: str | PathLike[str], blocks: Iterable[range], program: Program) -> None:
    """Code that is not the program's is in modules of 4 GiB, which are called [anonymous]."""
    loaded = loaded_elf(program)
    parts = [range(part.base, part.end) for part in program.segments] if loaded is None else loaded.places
    first, last = min(part.start for part in parts), max(part.stop for part in parts)
    entry = program.entry if loaded is None else loaded.elf.entry + loaded.bias
    places = [Place(first, last, entry, program.path)]
    numbers: dict[int, int] = {}
    entries = []
    for block in sorted(blocks, key=lambda block: (block.start, block.stop)):
        number = 0
        if not (first <= block.start and block.stop <= last and block.stop - first < SPACE):
            base = block.start & -SPACE
            if base not in numbers:
                numbers[base] = len(places)
                places.append(Place(base, base + SPACE, 0, "[anonymous]"))
            number = numbers[base]
        entries += [ENTRY.pack(start - places[number].base, size, number) for start, size in pieces(block)]
    lines = ["DRCOV VERSION: 2", "DRCOV FLAVOR: drcov", f"Module Table: version 2, count {len(places)}",
             "Columns: id, base, end, entry, path",
             *(f"{number:>3}, {place.base:#018x}, {place.end:#018x}, {place.entry:#018x}, {place.path}"
               for number, place in enumerate(places)),
             f"BB Table: {len(entries)} bbs", ""]
    with naming(path):
        Path(path).write_bytes("\n".join(lines).encode("utf-8", "surrogateescape") + b"".join(entries))


def pieces(block: range) -> Iterator[tuple[int, int]]:
    """Start and size of the parts of a block that have room in an entry."""
    for start in range(block.start, block.stop, LONGEST):
        yield start, min(LONGEST, block.stop - start)
