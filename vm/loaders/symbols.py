"""The symbol table of a program: addresses by name, and names by address."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class Symbol(NamedTuple):
    """Where a symbol lies (virtual address) and how many bytes it covers (0: not known)."""

    address: int
    size: int


class Symbols(Mapping[str, Symbol]):
    """Maps a name to its `Symbol`; `lookup` goes the other way.

    Of several symbols of one name the first given wins, of several at one address the first given names it.
    Symbols in `absolute` are numbers rather than places: they have a value but never name an address.
    """

    def __init__(self, symbols: Iterable[tuple[str, int, int]] = (), absolute: Iterable[tuple[str, int, int]] = ()):
        self._by_name: dict[str, Symbol] = {}
        places: dict[int, tuple[str, int]] = {}
        for name, address, size in symbols:
            self._by_name.setdefault(name, Symbol(address, size))
            places.setdefault(address, (name, size))
        for name, value, size in absolute:
            self._by_name.setdefault(name, Symbol(value, size))
        self._addresses = sorted(places)
        self._places = [places[address] for address in self._addresses]

    def __getitem__(self, name: str) -> Symbol:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def lookup(self, address: int) -> str | None:
        """`name` or `name+0x10`; None below the first symbol and past the end of one whose size is known."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        name, size = self._places[index]
        offset = address - self._addresses[index]
        if size and offset >= size:
            return None
        return f"{name}+{offset:#x}" if offset else name
