"""Coverage of lines, in the format of lcov's tracefiles: geninfo(1).

Which instructions a line has is in the DWARF line table (DWARF 5, section 6.2); where functions begin, in the entries
of the debug information (section 3.3.1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vm.errors import LoadError
from vm.loaders.loaded import loaded_elf

if TYPE_CHECKING:
    from os import PathLike

    from vm.loaders import Program

FIRST_FILE = {5: 0}                 # of a line program's table, by DWARF's version; 1 before


class Function(NamedTuple):
    name: str
    line: int
    address: int


class Source:
    """A file: its lines that have code, each with how often the most frequent of its places was executed."""

    def __init__(self) -> None:
        self.lines: dict[int, int] = {}
        self.functions: dict[Function, int] = {}

    def record(self, path: str) -> Iterator[str]:
        """The lines of a tracefile."""
        functions = sorted(self.functions.items(), key=lambda item: (item[0].line, item[0].name, item[0].address))
        yield from ("TN:", f"SF:{path}")
        yield from (f"FN:{function.line},{function.name}" for function, _ in functions)
        yield from (f"FNDA:{count},{function.name}" for function, count in functions)
        yield from (f"FNF:{len(functions)}", f"FNH:{sum(count > 0 for _, count in functions)}")
        yield from (f"DA:{line},{count}" for line, count in sorted(self.lines.items()))
        yield from (f"LF:{len(self.lines)}", f"LH:{sum(count > 0 for count in self.lines.values())}")
        yield "end_of_record"


def write_lcov(path: str | PathLike[str], counts: Mapping[int, int], program: Program) -> None:
    """`counts`: of executions, by address. Raises LoadError."""
    sources = sources_of(program, counts)
    lines = [line for name in sorted(sources) for line in sources[name].record(name)]
    Path(path).write_text("\n".join([*lines, ""]), encoding="utf-8", errors="surrogateescape")


def sources_of(program: Program, counts: Mapping[int, int]) -> dict[str, Source]:
    from elftools.common.exceptions import DWARFError, ELFError  # here: only this needs it
    from elftools.elf.elffile import ELFFile

    loaded = loaded_elf(program)
    if loaded is None:
        raise LoadError(f"{program.path}: is no ELF file, or not the one that was loaded: lines of sources are not "
                        "known")
    sources: dict[str, Source] = {}
    try:
        elf = ELFFile(BytesIO(loaded.elf.file.data))
        dwarf = elf.get_dwarf_info()
        for unit in dwarf.iter_CUs() if elf.has_dwarf_info() else ():
            table = dwarf.line_program_for_CU(unit)
            if table is not None:
                add_unit(sources, unit, table, counts, loaded.bias)
    except (ELFError, DWARFError, AssertionError, LookupError, UnicodeDecodeError, ValueError) as error:
        raise LoadError(f"{program.path}: damaged debug information: {error or type(error).__name__}") from error
    if not sources:
        raise LoadError(f"{program.path}: has no lines of sources; compile it with -g")
    return sources


def add_unit(sources: dict[str, Source], unit: Any, table: Any, counts: Mapping[int, int], bias: int) -> None:
    """What a compilation unit has."""
    names = file_names(unit, table)
    for entry, end in rows(table):
        if not entry.line:
            continue                        # the compiler's own code
        lines = sources.setdefault(names[entry.file], Source()).lines
        count = max((counts.get(address + bias, 0) for address in range(entry.address, end, 2)), default=0)
        lines[entry.line] = max(lines.get(entry.line, 0), count)
    for die in unit.iter_DIEs():
        if die.tag == "DW_TAG_subprogram" and "DW_AT_low_pc" in die.attributes:
            name, file, line = described(die)
            if name and file in names and line:
                address = die.attributes["DW_AT_low_pc"].value + bias
                source = sources.setdefault(names[file], Source())
                source.functions[Function(name, line, address)] = counts.get(address, 0)


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


def described(die: Any) -> tuple[str, int, int]:
    """Name, file and line of a function, also where another entry says them."""
    name, file, line = "", -1, 0
    while True:
        attributes = die.attributes
        name = name or text(attributes.get("DW_AT_name"))
        if "DW_AT_decl_line" in attributes and not line:
            file, line = attributes["DW_AT_decl_file"].value if "DW_AT_decl_file" in attributes else file, \
                attributes["DW_AT_decl_line"].value
        reference = next((key for key in ("DW_AT_abstract_origin", "DW_AT_specification") if key in attributes), None)
        if reference is None:
            return name, file, line
        die = die.get_DIE_from_attribute(reference)


def text(attribute: Any) -> str:
    return "" if attribute is None else os.fsdecode(attribute.value)
