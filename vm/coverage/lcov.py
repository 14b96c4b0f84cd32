"""Coverage of lines, in the format of lcov's tracefiles: geninfo(1).

Which instructions a line has is in the DWARF line table (DWARF 5, section 6.2); where functions begin, in the entries
of the debug information (section 3.3.1).
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vm.errors import LoadError
from vm.loaders.loaded import loaded_elf
from vm.whole_file import naming

if TYPE_CHECKING:
    from os import PathLike

    from vm.loaders import Program

WITHOUT_LINES = ": has no lines of sources; compile it with -g"
FIRST_FILE = {5: 0}                 # of a line program's table, by DWARF's version; 1 before


class Function(NamedTuple):
    """`symbol`: what the linker calls it, where that is more than the name."""

    name: str
    symbol: str
    line: int
    address: int


class Source:
    """A file: its lines that have code, each with how often the most frequent of its places was executed."""

    def __init__(self) -> None:
        self.lines: dict[int, int] = {}
        self.functions: dict[Function, int] = {}

    def record(self, path: str) -> Iterator[str]:
        """The lines of a tracefile."""
        functions = sorted(self._listed().items())
        yield from ("TN:", f"SF:{path}")
        yield from (f"FN:{line},{name}" for (line, name), _ in functions)
        yield from (f"FNDA:{count},{name}" for (_, name), count in functions)
        yield from (f"FNF:{len(functions)}", f"FNH:{sum(count > 0 for _, count in functions)}")
        yield from (f"DA:{line},{count}" for line, count in sorted(self.lines.items()))
        yield from (f"LF:{len(self.lines)}", f"LH:{sum(count > 0 for count in self.lines.values())}")
        yield "end_of_record"


    def _listed(self) -> dict[tuple[int, str], int]:
        """The counts of functions by line and name, by which alone a tracefile tells them apart.

        What overloads each other goes by its symbol, and what has another line in another unit by that, too. Copies of
        one function, as of an inline one, are one.
        """
        listed: Counter[tuple[int, str]] = Counter()
        places = places_of(self.functions, attrgetter("name"))
        of_symbols = places_of(self.functions, attrgetter("symbol"))
        for function, count in self.functions.items():
            name = function.name
            if len(places[name]) > 1:
                name = function.symbol or name
                if len(of_symbols[function.symbol]) > 1:
                    name = f"{name}:{function.line}"
            listed[function.line, name] += count
        return listed


def places_of(functions: Iterable[Function], name: Callable[[Function], str]) -> dict[str, set[tuple[str, int]]]:
    """By a name, what the functions are that have it."""
    places: dict[str, set[tuple[str, int]]] = {}
    for function in functions:
        places.setdefault(name(function), set()).add((function.symbol, function.line))
    return places


def write_lcov(path: str | PathLike[str], counts: Mapping[int, int], program: Program) -> None:
    """`counts`: of executions, by address. Raises LoadError."""
    sources = sources_of(program, counts)
    lines = [line for name in sorted(sources) for line in sources[name].record(name)]
    with naming(path):
        Path(path).write_text("\n".join([*lines, ""]), encoding="utf-8", errors="surrogateescape")


def sources_of(program: Program, counts: Mapping[int, int]) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    executed = Executed(counts)
    with debug_information(program) as (dwarf, bias):
        for unit in dwarf.iter_CUs():
            table = dwarf.line_program_for_CU(unit)
            if table is not None:
                add_unit(sources, unit, table, executed, bias)
    if not sources:
        raise LoadError(f"{program.path}{WITHOUT_LINES}")
    return sources


def refuse_without_lines(program: Program) -> None:
    """Raise LoadError where no lines can be written of a program, however long it is run."""
    with debug_information(program):
        pass


@contextmanager
def debug_information(program: Program) -> Iterator[tuple[Any, int]]:
    """What the program's file has, and by how much it was moved. Raises LoadError where there is none, and for what is
    damaged, also inside.
    """
    from elftools.elf.elffile import ELFFile  # here: only this needs it

    loaded = loaded_elf(program)
    if loaded is None:
        raise LoadError(f"{program.path}: is no ELF file, or not the one that was loaded: lines of sources are not "
                        "known")
    try:
        dwarf = ELFFile(BytesIO(loaded.elf.file.data)).get_dwarf_info()
        if dwarf.debug_line_sec is None or dwarf.debug_info_sec is None:
            raise LoadError(f"{program.path}{WITHOUT_LINES}")
        yield dwarf, loaded.bias
    except LoadError:
        raise
    except Exception as error:              # the library raises one of nearly every kind
        raise LoadError(f"{program.path}: damaged debug information: {error or type(error).__name__}") from error


class Executed:
    """How often what lies where was executed."""

    def __init__(self, counts: Mapping[int, int]):
        self._counts = counts
        self._addresses = sorted(counts)

    def at(self, address: int) -> int:
        return self._counts.get(address, 0)

    def most(self, start: int, end: int) -> int:
        """Of the instructions from one address up to another, which in damaged tables may be far away."""
        first, last = (bisect_left(self._addresses, address) for address in (start, end))
        return max((self._counts[address] for address in self._addresses[first:last]), default=0)


def add_unit(sources: dict[str, Source], unit: Any, table: Any, executed: Executed, bias: int) -> None:
    """What a compilation unit has."""
    names = file_names(unit, table)
    for entry, end in rows(table):
        if not entry.line:
            continue                        # the compiler's own code
        lines = sources.setdefault(names[entry.file], Source()).lines
        lines[entry.line] = max(lines.get(entry.line, 0), executed.most(entry.address + bias, end + bias))
    for die in unit.iter_DIEs():
        if die.tag == "DW_TAG_subprogram" and "DW_AT_low_pc" in die.attributes:
            name, symbol, file, line = described(die)
            if name and file in names and line:
                address = die.attributes["DW_AT_low_pc"].value + bias
                source = sources.setdefault(names[file], Source())
                source.functions[Function(name, symbol, line, address)] = executed.at(address)


def rows(table: Any) -> Iterator[tuple[Any, int]]:
    """The rows of a line table that have code, each with the address behind it."""
    before = None
    for entry in table.get_entries():
        state = entry.state
        if state is None:
            continue
        if before is not None and not before.end_sequence and state.address > before.address:
            yield before, state.address
        before = state


def file_names(unit: Any, table: Any) -> dict[int, str]:
    """The paths of a line table's files, by number."""
    header = table.header
    first = FIRST_FILE.get(header.version, 1)
    folder = text(unit.get_top_DIE().attributes.get("DW_AT_comp_dir"))
    folders = [os.fsdecode(name) for name in header.include_directory]
    if header.version < 5:
        folders.insert(0, folder)           # which has no number of its own there
    return {number: os.path.normpath(os.path.join(folder, folders[entry.dir_index], os.fsdecode(entry.name)))
            for number, entry in enumerate(header.file_entry, first)}


def described(die: Any) -> tuple[str, str, int, int]:
    """Name, symbol, file and line of a function, also where another entry says them."""
    name, symbol, file, line = "", "", -1, 0
    seen: set[int] = set()
    while die.offset not in seen:
        seen.add(die.offset)
        attributes = die.attributes
        name = name or text(attributes.get("DW_AT_name"))
        symbol = symbol or text(attributes.get("DW_AT_linkage_name") or attributes.get("DW_AT_MIPS_linkage_name"))
        if "DW_AT_decl_line" in attributes and not line:
            file, line = attributes["DW_AT_decl_file"].value if "DW_AT_decl_file" in attributes else file, \
                attributes["DW_AT_decl_line"].value
        reference = next((key for key in ("DW_AT_abstract_origin", "DW_AT_specification") if key in attributes), None)
        if reference is None:
            break
        die = die.get_DIE_from_attribute(reference)
    return name, symbol, file, line


def text(attribute: Any) -> str:
    return "" if attribute is None else os.fsdecode(attribute.value)
