"""The symbol table of a program: addresses by name, and names by address.

A table can have hundreds of thousands of entries, and most runs ask for one or two of them: it is kept as the bytes of
the file. A few single names are looked for there; who asks for more, or for the name of an address, has it read as a
whole then.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

ENTRY = struct.Struct("<IBBHQQ")        # Elf64_Sym: st_name, st_info, st_other, st_shndx, st_value, st_size
SHN_UNDEF, SHN_ABS = 0, 0xFFF1
STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE = 1, 2, 3, 4
STB_GLOBAL = 1
SCANS = 16                              # for so many single names; then the table is read, which takes longer but once
U64 = (1 << 64) - 1


class Symbol(NamedTuple):
    """Where a symbol lies (virtual address) and how many bytes it covers (0: not known)."""

    address: int
    size: int

    def __repr__(self) -> str:
        return f"Symbol(address={self.address:#x}, size={self.size:#x})"


class Symbols(Mapping[str, Symbol]):
    """Maps a name to its `Symbol`; `lookup` and `find` go the other way. Addresses are virtual, as the program was
    linked.

    Of several symbols of one name, or at one address, functions and objects come before labels, global ones before
    local ones, and then the first of the table. Absolute symbols are numbers rather than places: they have a value but
    never name an address. Mapping symbols, labels of the assembler, sections and files are left out.
    """

    def __init__(self, entries: bytes = b"", names: bytes = b"", bias: int = 0):
        """`entries` and `names` are the sections .symtab and .strtab; `bias` is added to all that are not absolute."""
        self._entries = entries[: len(entries) // ENTRY.size * ENTRY.size]
        self._names = names
        self._bias = bias
        self._found: dict[str, Symbol | None] = {}      # until all are read: what single names were looked for
        self._all: dict[str, Symbol] | None = None
        self._addresses: list[int] = []
        self._places: list[tuple[str, int]] = []

    def __getitem__(self, name: str) -> Symbol:
        if self._all is not None:
            return self._all[name]
        if name not in self._found:
            if len(self._found) == SCANS:
                return self._read()[name]
            self._found[name] = self._scan(name)
        symbol = self._found[name]
        if symbol is None:
            raise KeyError(name)
        return symbol

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        shown = [f"{name} {symbol.address:#x}" for name, symbol in list(self.items())[:4]]
        return f"<{len(self)} symbols: {', '.join(shown)}{', ...' if len(self) > len(shown) else ''}>"

    def lookup(self, address: int) -> str | None:
        """`name` or `name+0x10`; None below the first symbol and past the end of one whose size is known."""
        found = self.find(address)
        return None if found is None else with_offset(*found)

    def find(self, address: int) -> tuple[str, int] | None:
        """The same as a name, and how many bytes behind the symbol's first one."""
        self._read()
        index = bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        name, size = self._places[index]
        offset = address - self._addresses[index]
        if size and offset >= size:
            return None
        return name, offset

    def functions(self) -> list[int]:
        """The addresses of all that the table calls functions."""
        return sorted({value + self._bias & U64 for _, info, _, section, value, _ in ENTRY.iter_unpack(self._entries)
                       if info & 15 == STT_FUNC and section not in (SHN_UNDEF, SHN_ABS)})

    def _scan(self, name: str) -> Symbol | None:
        """A symbol by its name, from the bytes of the table."""
        text = name.encode("utf-8", "surrogateescape") + b"\0"
        candidates: list[tuple[int, ...]] = []
        at = self._names.find(text) if len(text) > 1 and not ignored(name) else -1
        while at >= 0:                          # a linker lets one name be the end of another: each place counts
            candidates += self._entries_with_name(at)
            at = self._names.find(text, at + 1)
        ranked = [(rank, entry) for entry in candidates if (rank := rank_of(entry[1], entry[3])) is not None]
        if not ranked:
            return None
        _, (_, _, _, section, value, size) = min(ranked, key=lambda pair: pair[0])
        return Symbol(value if section == SHN_ABS else value + self._bias & U64, size)

    def _entries_with_name(self, offset: int) -> Iterator[tuple[int, ...]]:
        key = offset.to_bytes(4, "little")
        at = self._entries.find(key)
        while at >= 0:
            if at % ENTRY.size == 0:
                yield ENTRY.unpack_from(self._entries, at)
            at = self._entries.find(key, at + 1)

    def _read(self) -> dict[str, Symbol]:
        """All of the table."""
        if self._all is not None:
            return self._all
        ranks: tuple[list[tuple[str, Symbol, bool]], ...] = ([], [], [], [])
        names, bias = self._names, self._bias
        for start, info, _, section, value, size in ENTRY.iter_unpack(self._entries):
            rank = rank_of(info, section)
            end = names.find(b"\0", start)
            if rank is None or end <= start:
                continue                        # none, without a name, or damaged
            name = names[start:end].decode("utf-8", "surrogateescape")
            if ignored(name):
                continue
            absolute = section == SHN_ABS
            ranks[rank].append((name, Symbol(value if absolute else value + bias & U64, size), absolute))
        by_name: dict[str, Symbol] = {}
        places: dict[int, tuple[str, int]] = {}
        for name, symbol, absolute in chain(*ranks):
            by_name.setdefault(name, symbol)
            if not absolute:
                places.setdefault(symbol.address, (name, symbol.size))
        self._addresses = sorted(places)
        self._places = [places[address] for address in self._addresses]
        self._all = by_name
        self._entries = self._names = b""
        return by_name


def with_offset(name: str, offset: int) -> str:
    return f"{name}+{offset:#x}" if offset else name


def rank_of(info: int, section: int) -> int | None:
    """How well an entry with this st_info and st_shndx names an address, 0 is best; None for what is no symbol."""
    kind = info & 15
    if section == SHN_UNDEF or kind == STT_SECTION or kind == STT_FILE:
        return None
    return (0 if kind == STT_FUNC or kind == STT_OBJECT else 2) + (info >> 4 != STB_GLOBAL)


def ignored(name: str) -> bool:
    """Whether it is a mapping symbol or a label of the assembler."""
    return name.startswith(("$", ".L"))
