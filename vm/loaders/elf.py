"""ELF executables for 64-bit little-endian RISC-V (System V gABI chapters 4 and 5, RISC-V ELF psABI).

Segments go to their physical addresses (`p_paddr`). A position-independent executable that is linked at address 0 is
loaded at the start of RAM: it relocates itself, as OpenSBI does.

The headers are read here: to import pyelftools takes as long as to build a machine and run a small program.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import NamedTuple

from vm.errors import LoadError
from vm.loaders.common import File, Program, Range, Segment
from vm.loaders.symbols import Symbols

MAGIC = b"\x7fELF"
FILE_OVERHEAD = 1 << 30         # debug information may make a file larger than the RAM that it is loaded to

CLASS, DATA, TYPE_AND_MACHINE = 4, 5, 16        # where in the header these stand, in a file of any kind
CLASS_64, LITTLE_ENDIAN = 2, 1
EM_RISCV = 243
ET_DYN = 3
PT_LOAD, PT_NOTE = 1, 4
SHT_SYMTAB, SHT_NOBITS = 2, 8
MORE_SEGMENTS = 0xFFFF          # PN_XNUM: sh_info of the first section says how many there are
U64 = (1 << 64) - 1

# e_ident, e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum,
# e_shentsize, e_shnum, e_shstrndx
HEADER = struct.Struct("<16s HH I QQQ I HHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")

NOT_EXECUTABLE = {0: "is no executable", 1: "is an object file, not an executable; link it first",
                  4: "is a core dump, not an executable"}
ARCHITECTURES = {3: "x86", 62: "x86-64", 40: "Arm", 183: "AArch64", 21: "PowerPC 64", 8: "MIPS", 22: "S/390",
                 258: "LoongArch", 43: "SPARC V9"}


class ProgramHeader(NamedTuple):
    """As in the file."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


class Section(NamedTuple):
    """As in the file."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


class Elf(NamedTuple):
    """The headers of an executable that this machine could run, and where in the file they stand."""

    file: File
    type: int
    entry: int
    segments: list[ProgramHeader]
    sections: list[Section]
    headers: list[range]

    def content(self, section: Section) -> bytes:
        """Raises LoadError where the file ends before the section does."""
        if section.type == SHT_NOBITS:
            return b""
        end = section.offset + section.size
        if end > len(self.file.data):
            raise LoadError(f"{self.file.name}: truncated ELF file: a section ends at byte {end}, the file at "
                            f"{len(self.file.data)}")
        return self.file.data[section.offset:end]

    def symbols(self, bias: int = 0) -> Symbols:
        for section in self.sections:
            if section.type == SHT_SYMTAB:
                if section.link >= len(self.sections):
                    raise LoadError(f"{self.file.name}: damaged ELF file: the symbols have no names")
                return Symbols(self.content(section), self.content(self.sections[section.link]), bias)
        return Symbols()


class Loadable(NamedTuple):
    """What goes to memory of a segment, which has this number in the file."""

    number: int
    place: Range
    data: bytes


def plan_elf(file: File, ram: Range) -> tuple[Program, list[Segment]]:
    """What of an executable goes where. Raises LoadError for what this machine cannot run."""
    elf = read_headers(file)
    loaded = [(number, header) for number, header in enumerate(elf.segments)
              if header.type == PT_LOAD and header.memsz]
    if not loaded:
        raise LoadError(f"{file.name}: has no segment to load; link it as an executable")
    bias = ram.base if elf.type == ET_DYN and min(header.paddr for _, header in loaded) == 0 else 0
    parts = [part for number, header in loaded if (part := _part(elf, number, header, bias, ram))]
    if not parts:
        raise LoadError(f"{file.name}: has only headers and notes in its segments; link it as an executable")
    for one, other in pairwise(sorted(parts, key=lambda part: part.place.base)):
        if one.place.overlaps(other.place):
            raise LoadError(f"{file.name}: segments {one.number} ({one.place}) and {other.number} ({other.place}) "
                            "overlap; mend the linker script")
    program = Program(file.name, physical_entry(elf) + bias, tuple(part.place for part in parts), elf.symbols(bias))
    return program, [Segment(part.place, part.data) for part in parts]


def refuse_address(file: File, address: int | None) -> None:
    """Raise LoadError for an address that the file has no use for."""
    if address is not None:
        raise LoadError(f"{file.name}: an ELF file, which says itself where it goes; leave out the address "
                        f"{address:#x}")


def physical_entry(elf: Elf) -> int:
    """Where the hart starts, untranslated, in what is loaded where it was linked."""
    for header in elf.segments:
        if header.type == PT_LOAD and header.vaddr <= elf.entry < header.vaddr + header.memsz:
            return elf.entry - header.vaddr + header.paddr
    return elf.entry


def _part(elf: Elf, number: int, header: ProgramHeader, bias: int, ram: Range) -> Loadable | None:
    """A segment, less what of it lies outside RAM and says nothing to the program; None if that is all."""
    name, size = elf.file.name, len(elf.file.data)
    if header.filesz > header.memsz:
        raise LoadError(f"{name}: damaged ELF file: segment {number} is larger in the file than in memory")
    if header.offset + header.filesz > size:
        raise LoadError(f"{name}: truncated ELF file: segment {number} ends at byte {header.offset + header.filesz}, "
                        f"the file at {size}")
    place = Range(header.paddr + bias, header.memsz)
    data = elf.file.data[header.offset:header.offset + header.filesz]       # a copy: the rest of the file can go
    if ram.contains(place):
        return Loadable(number, place, data)
    below = min(max(ram.around(place.end - 1).base - place.base, 0), place.size)
    rest = Range(place.base + below, place.size - below)
    if below <= header.filesz and (not rest.size or ram.contains(rest)) and _is_overhead(elf, header, below):
        return Loadable(number, rest, data[below:]) if rest.size else None
    advice = ("it is position-independent and spread out; link it with -no-pie" if bias else
              "give the machine more memory" if ram.base <= place.base < ram.end else "link it there")
    raise LoadError(f"{name}: segment {number} ({place}) lies outside RAM ({ram}); {advice}")


def _is_overhead(elf: Elf, segment: ProgramHeader, size: int) -> bool:
    """Whether a segment begins with `size` bytes of headers or notes that a linker put there, and padding behind them.

    `-Wl,-Ttext=0x80000000` asks for it: what precedes the code in the file precedes it in memory.
    """
    offset = segment.offset
    rest = bytearray(elf.file.data[offset:offset + size])
    notes = [range(header.offset, header.offset + header.filesz) for header in elf.segments if header.type == PT_NOTE]
    known = [*elf.headers, *notes]
    if not any(offset in part for part in known):
        return False
    for part in known:
        start, end = max(part.start - offset, 0), min(part.stop - offset, len(rest))
        if start < end:
            rest[start:end] = bytes(end - start)
    return rest.count(0) == len(rest)


def read_headers(file: File) -> Elf:
    """The headers of an ELF file, checked. Raises LoadError for what is none, or not for this machine, or cut."""
    name, data = file
    if not data.startswith(MAGIC):
        raise LoadError(f"{name}: not an ELF file" if data else f"{name}: the file is empty")
    if len(data) < HEADER.size:
        raise LoadError(f"{name}: truncated ELF file ({len(data)} bytes)")
    kind, machine = struct.unpack_from(f"{'<>'[data[DATA] == 2]}HH", data, TYPE_AND_MACHINE)
    if machine != EM_RISCV:
        raise LoadError(f"{name}: an executable for {ARCHITECTURES.get(machine, f'machine {machine}')}, not for RISC-V")
    if data[CLASS] != CLASS_64:
        raise LoadError(f"{name}: a 32-bit executable; this machine is 64-bit (build it with -march=rv64gc)")
    if data[DATA] != LITTLE_ENDIAN:
        raise LoadError(f"{name}: a big-endian executable; this machine is little-endian")
    if reason := NOT_EXECUTABLE.get(kind):
        raise LoadError(f"{name}: {reason}")
    (_, _, _, _, entry, segment_table, section_table, _, _, segment_size, segment_count, section_size, section_count,
     _) = HEADER.unpack_from(data)
    if section_table and (not section_count or segment_count == MORE_SEGMENTS):     # more than 16 bits can say
        (first,), _ = _table(file, section_table, SECTION_HEADER, section_size, 1)
        section_count = section_count or first[5]
        segment_count = first[7] if segment_count == MORE_SEGMENTS else segment_count
    segments, where = _table(file, segment_table, PROGRAM_HEADER, segment_size, segment_count)
    sections, _ = _table(file, section_table, SECTION_HEADER, section_size, section_count)
    return Elf(file, kind, entry, [ProgramHeader(*row) for row in segments], [Section(*row) for row in sections],
               [range(HEADER.size), where])


Rows = list[tuple[int, ...]]


def _table(file: File, start: int, row: struct.Struct, size: int, count: int) -> tuple[Rows, range]:
    """The rows of a table of headers, which the file says are of `size` bytes, and where it stands."""
    if not count:
        return [], range(0)
    where = range(start, start + size * count)
    if size < row.size:
        raise LoadError(f"{file.name}: damaged ELF file: headers of {size} bytes, not {row.size}")
    if where.stop > len(file.data):
        raise LoadError(f"{file.name}: truncated ELF file: {len(file.data)} bytes, of at least {where.stop}")
    return [row.unpack_from(file.data, at) for at in where[::size]], where
