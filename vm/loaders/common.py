"""What all loaders share: address ranges, reading a file that the user named, and the result of loading a program."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Protocol

from vm.errors import LoadError
from vm.loaders.symbols import Symbols

ZEROES = bytes(1 << 20)


class Writable(Protocol):
    """The one thing a loader needs of guest memory."""

    def write(self, address: int, data: bytes | memoryview) -> None: ...


@dataclass(frozen=True)
class Range:
    """The physical addresses `base` up to, not including, `base + size`."""

    base: int
    size: int

    @property
    def end(self) -> int:
        return self.base + self.size

    def contains(self, other: Range) -> bool:
        return self.base <= other.base and other.end <= self.end

    def overlaps(self, other: Range) -> bool:
        return self.base < other.end and other.base < self.end

    def __str__(self) -> str:
        return f"{self.base:#x}..{self.end:#x}"


@dataclass(frozen=True)
class Program:
    """A program in guest memory: where it starts, what it occupies and how its addresses are called."""

    path: str
    entry: int                      # physical address of the first instruction
    segments: tuple[Range, ...]     # physical, in file order, zero-filled parts included
    symbols: Symbols = field(default_factory=Symbols)

    @property
    def end(self) -> int:
        """The first address above the program."""
        return max(segment.end for segment in self.segments)


def read_file(path: str | os.PathLike[str], limit: int) -> bytes:
    """The content of a file that may hold at most `limit` bytes; what goes wrong is a LoadError that names it."""
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise LoadError(f"{os.fspath(path)}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > limit:
        raise LoadError(f"{os.fspath(path)}: holds more than {limit:,} bytes, which RAM has no room for")
    return data


def fill_zero(memory: Writable, address: int, size: int) -> None:
    """Zero guest memory in pieces: a large bss must not become a large Python object."""
    zeroes = memoryview(ZEROES)
    for offset in range(0, size, len(zeroes)):
        memory.write(address + offset, zeroes[: size - offset])
