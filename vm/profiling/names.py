"""What functions are called: of the program of a machine, of ELF files that the user names, and of who else knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from vm.display import printable
from vm.errors import ConfigurationError, GuestError, MachineUnusable
from vm.loaders.common import Program, read_file
from vm.loaders.elf import FILE_OVERHEAD, PT_LOAD, Elf, read_headers
from vm.loaders.loaded import loaded_elf
from vm.loaders.symbols import Symbols
from vm.profiling.cfi import CallFrames

if TYPE_CHECKING:
    from vm.linux import LinuxGuest
    from vm.loaders.common import Source


@runtime_checkable
class KnowsNames(Protocol):
    """Who has names for virtual addresses: those of a kernel and its modules, or of a process."""

    def name_of(self, address: int, /) -> str | None:
        """The function that an address is in; None for what is none."""


if TYPE_CHECKING:
    Naming: TypeAlias = KnowsNames | Source | tuple[Source, int]


class SymbolTable:
    """Symbols, of which those without a size name nothing outside these ranges of addresses."""

    def __init__(self, symbols: Symbols, ranges: Iterable[range]):
        self._symbols = symbols
        self._ranges = tuple(ranges)

    def name_of(self, address: int) -> str | None:
        found = self.find(address)
        return None if found is None else found[0]

    def find(self, address: int) -> tuple[str, int] | None:
        """The same, and how many bytes behind its start."""
        found = self._symbols.find(address)
        if found is None:
            return None
        known = any(address in places for places in self._ranges) or self._symbols[found[0]].size
        return found if known else None


class Binary:
    """An ELF file, in memory where it was linked, but for `bias`."""

    def __init__(self, elf: Elf, bias: int = 0):
        self.elf = elf
        self._bias = bias
        self._table = SymbolTable(elf.symbols(bias), (
            range(header.vaddr + bias, header.vaddr + header.memsz + bias) for header in elf.segments
            if header.type == PT_LOAD))
        self.name_of, self.find = self._table.name_of, self._table.find

    def call_frames(self) -> CallFrames:
        return CallFrames(self.elf.file.name, self.elf.file.data, self._bias)


class LinuxNames:
    """The Linux of a machine, once it was looked at."""

    def __init__(self, looked_at: Callable[[], LinuxGuest | None]):
        self._looked_at = looked_at

    def name_of(self, address: int) -> str | None:
        found = self.find(address)
        return None if found is None else found[0]

    def find(self, address: int) -> tuple[str, int] | None:
        """The same, and how many bytes behind its start."""
        linux = self._looked_at()
        return linux.find(address) if linux is not None and linux.found else None

    def processes(self) -> dict[int, str]:
        """Number and name of those that there are now, by the physical address of the page table."""
        linux = self._looked_at()
        if linux is None or not linux.found:
            return {}
        try:
            tasks = linux.processes()
        except (GuestError, MachineUnusable):       # it is gone: then a process is its page table
            return {}
        return {task.page_table: f"{task.pid} {printable(task.name)}" for task in tasks if task.page_table is not None}


class Names:
    """Asks one after the other, and remembers what it was told."""

    def __init__(self, sources: Sequence[KnowsNames]):
        self.sources = sources
        self._told: dict[int, str | None] = {}

    def function(self, address: int) -> str | None:
        """The name of the function that an address is in, if anybody knows."""
        if address not in self._told:
            names = (told_by(source, address) for source in self.sources)
            self._told[address] = next((name for name in names if name), None)
        return self._told[address]

    def start(self, address: int) -> int | None:
        """Where the function begins that an address is in, if who knows its name knows that, too."""
        for source in self.sources:
            if told_by(source, address):
                found = source.find(address) if isinstance(source, (Binary, SymbolTable, LinuxNames)) else None
                return None if found is None else address - found[1]
        return None

    @property
    def knows_any(self) -> bool:
        """Whether there was a name for anything that was asked for."""
        return any(self._told.values())

    def ask_again(self) -> None:
        """For what nobody knew: a kernel may have come that knows its own."""
        self._told = {address: name for address, name in self._told.items() if name is not None}


def told_by(source: KnowsNames, address: int) -> str | None:
    """What it says, as text that can be printed. Raises TypeError for what is none."""
    name = source.name_of(address)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name_of({address:#x}) of {source!r} is {name!r}: must be a name or None")
    return name and printable(name)


def named_sources(symbols: object) -> list[KnowsNames]:
    """What the user named: one or several. Raises ConfigurationError and LoadError."""
    several = symbols if isinstance(symbols, (list, tuple)) else [symbols]
    if isinstance(symbols, tuple) and len(symbols) == 2 and isinstance(symbols[1], int):
        several = [symbols]
    return [source_of(one) for one in several]


def source_of(one: object) -> KnowsNames:
    if isinstance(one, KnowsNames):
        return one
    file, bias = one if isinstance(one, tuple) and len(one) == 2 else (one, 0)
    if not isinstance(file, (str, bytes, os.PathLike)) or not isinstance(bias, int):
        raise ConfigurationError(f"symbols={one!r}: an ELF file, (file, by how much it was moved), or something with "
                                 "name_of(address)")
    return Binary(read_headers(read_file(file, FILE_OVERHEAD)), bias)


def source_of_program(program: Program) -> KnowsNames:
    """Its file, for what the machine did not keep of that; else the symbols alone."""
    loaded = loaded_elf(program)
    if loaded is not None:
        return Binary(loaded.elf, loaded.bias)
    return SymbolTable(program.symbols, [range(segment.base, segment.end) for segment in program.segments])


def all_sources(symbols: object, program: Program | None, linux: LinuxNames) -> list[KnowsNames]:
    """What the user named, then the program, then a Linux. Raises ConfigurationError and LoadError."""
    return [*named_sources(symbols), *(() if program is None else (source_of_program(program),)), linux]


def no_symbols(program: Program | None) -> str:
    """Why no function has a name, and what to do."""
    if program is None:
        why = "no program is loaded"
    elif program.symbols:
        why = f"{program.path} has none for what was executed"
    else:
        why = f"{program.path} is stripped" if loaded_elf(program) else f"{program.path} has none"
    return (f"no symbols: {why}; symbols= or --symbols names a file that has some, machine.linux.symbols or --linux "
            "finds those of a Linux")
