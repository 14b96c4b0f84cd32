"""The symbols of a kernel as a table of symbols, from what lists them: System.map, or the kernel's own kallsyms.

Both have a letter for each symbol, as nm(1) prints it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from vm.errors import LoadError
from vm.loaders.symbols import ENTRY, SHN_ABS, STB_GLOBAL, STT_FUNC, STT_OBJECT, Symbols
from vm.sizes import PAGE_SIZE

LINE = re.compile(rb"([0-9a-f]{16}) ([A-Za-z?]) (\S+)")
CODE = b"TtWw"
ABSOLUTE = b"Aa"
SECTION = 1                         # of what is not absolute: any that is none of the special ones
U64 = (1 << 64) - 1


class Listed(NamedTuple):
    """A symbol: a virtual address, nm's letter for what it is, and its name."""

    address: int
    letter: bytes
    name: bytes


def symbols_of(listed: Sequence[Listed], slide: int = 0) -> Symbols:
    """Sorted by address; each goes up to the next. `slide` is added to all that are not absolute."""
    entries, names, start = [], [b""], 1
    places = [one.address for one in listed if one.letter not in ABSOLUTE]
    ends = {address: later - address for address, later in pairwise(sorted(set(places)))}
    for address, letter, name in listed:
        kind = STT_FUNC if letter in CODE else STT_OBJECT
        info = kind | (STB_GLOBAL if letter.isupper() else 0) << 4
        absolute = letter in ABSOLUTE
        size = 0 if absolute else ends.get(address, PAGE_SIZE)
        entries.append(ENTRY.pack(start, info, 0, SHN_ABS if absolute else SECTION, address & U64, size))
        names.append(name)
        start += len(name) + 1
    return Symbols(b"".join(entries), b"\0".join([*names, b""]), slide)


def read_system_map(path: str | os.PathLike[str]) -> list[Listed]:
    """The lines of a System.map, by address. Raises LoadError."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise LoadError(f"{path}: cannot read: {error.strerror}") from error
    listed = []
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line.rstrip())
        if match is None:
            raise LoadError(f"{path}: line {number} is not 'ADDRESS LETTER NAME', as a kernel's System.map has it")
        listed.append(Listed(int(match[1], 16), match[2], match[3]))
    if not listed:
        raise LoadError(f"{path}: is empty; a kernel's build leaves it beside vmlinux, a distribution in /boot")
    return sorted(listed)
