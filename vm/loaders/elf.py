"""ELF executables for 64-bit little-endian RISC-V (System V gABI chapters 4 and 5, RISC-V ELF psABI).

Segments go to their physical addresses (`p_paddr`). A position-independent executable that is linked at address 0 is
loaded at the start of RAM: it relocates itself, as OpenSBI does.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from vm.errors import LoadError
from vm.loaders.common import Program, Range, Writable, fill_zero
from vm.loaders.symbols import Symbols

MAGIC = b"\x7fELF"
HEADER_SIZE = 64
FILE_OVERHEAD = 1 << 30         # debug information may make a file larger than the RAM that it is loaded to

DAMAGED = (ELFError, ValueError, OverflowError, KeyError, IndexError)     # what pyelftools raises on nonsense

NOT_EXECUTABLE = {
    "ET_REL": "is an object file, not an executable; link it first",
    "ET_CORE": "is a core dump, not an executable",
}
ARCHITECTURES = {
    "EM_386": "x86", "EM_X86_64": "x86-64", "EM_ARM": "Arm", "EM_AARCH64": "AArch64", "EM_PPC64": "PowerPC 64",
    "EM_MIPS": "MIPS", "EM_S390": "S/390", "EM_LOONGARCH": "LoongArch", "EM_SPARCV9": "SPARC V9",
}


def place_elf(name: str, data: bytes, memory: Writable, ram: Range) -> Program:
    """Load an executable; nothing is written unless all of it fits. `name` is for messages."""
    elf = parse_elf(name, data)
    try:
        segments = [(number, segment.header) for number, segment in enumerate(elf.iter_segments())
                    if segment["p_type"] == "PT_LOAD" and segment["p_memsz"]]
        symbols = read_symbols(elf)
    except DAMAGED as error:
        raise LoadError(f"{name}: damaged ELF file ({error})") from error
    if not segments:
        raise LoadError(f"{name}: has no segment to load; link it as an executable")

    linked_at_zero = min(header.p_paddr for _, header in segments) == 0
    bias = ram.base if elf["e_type"] == "ET_DYN" and linked_at_zero else 0
    entry = elf["e_entry"] + bias
    ranges = []
    for number, header in segments:
        place = Range(header.p_paddr + bias, header.p_memsz)
        _check_segment(name, number, header, place, len(data), ram)
        ranges.append(place)
        if header.p_vaddr <= elf["e_entry"] < header.p_vaddr + header.p_memsz:
            entry = elf["e_entry"] - header.p_vaddr + place.base     # the hart starts untranslated

    contents = memoryview(data)
    for (_, header), place in zip(segments, ranges, strict=True):
        memory.write(place.base, contents[header.p_offset:header.p_offset + header.p_filesz])
        fill_zero(memory, place.base + header.p_filesz, header.p_memsz - header.p_filesz)
    return Program(name, entry, tuple(ranges), name_symbols(symbols, bias))


def parse_elf(name: str, data: bytes) -> ELFFile:
    if not data.startswith(MAGIC):
        raise LoadError(f"{name}: not an ELF file" if data else f"{name}: the file is empty")
    if len(data) < HEADER_SIZE:
        raise LoadError(f"{name}: truncated ELF file ({len(data)} bytes)")
    try:
        elf = ELFFile(BytesIO(data))
    except DAMAGED as error:
        raise LoadError(f"{name}: damaged or truncated ELF file ({error})") from error
    machine = elf["e_machine"]
    if machine != "EM_RISCV":
        label = ARCHITECTURES.get(machine, str(machine).removeprefix("EM_"))
        raise LoadError(f"{name}: an executable for {label}, not for RISC-V")
    if elf.elfclass != 64:
        raise LoadError(f"{name}: a 32-bit executable; this machine is 64-bit (build it with -march=rv64gc)")
    if not elf.little_endian:
        raise LoadError(f"{name}: a big-endian executable; this machine is little-endian")
    if reason := NOT_EXECUTABLE.get(elf["e_type"]):
        raise LoadError(f"{name}: {reason}")
    tables_end = max(elf["e_phoff"] + elf["e_phnum"] * elf["e_phentsize"],
                     elf["e_shoff"] + elf["e_shnum"] * elf["e_shentsize"])
    if tables_end > len(data):
        raise LoadError(f"{name}: truncated ELF file: {len(data)} bytes, of at least {tables_end}")
    return elf


def _check_segment(name: str, number: int, header: Any, place: Range, file_size: int, ram: Range) -> None:
    if header.p_filesz > header.p_memsz:
        raise LoadError(f"{name}: damaged ELF file: segment {number} is larger in the file than in memory")
    if header.p_offset + header.p_filesz > file_size:
        raise LoadError(f"{name}: truncated ELF file: segment {number} ends at byte "
                        f"{header.p_offset + header.p_filesz}, the file at {file_size}")
    if not ram.contains(place):
        advice = "give the machine more memory" if ram.base <= place.base < ram.end else "link it there"
        raise LoadError(f"{name}: segment {number} ({place}) lies outside RAM ({ram}); {advice}")


def read_symbols(elf: ELFFile) -> list[tuple[str, int, int, bool]]:
    """(name, value, size, absolute) of all symbols, the ones that best name an address first."""
    found = []
    for section in elf.iter_sections():
        if not isinstance(section, SymbolTableSection) or section["sh_type"] != "SHT_SYMTAB":
            continue
        for symbol in section.iter_symbols():
            kind, bind = symbol["st_info"]["type"], symbol["st_info"]["bind"]
            if not symbol.name or symbol.name.startswith(("$", ".L")):
                continue                        # mapping symbols and assembler-local labels
            if kind in ("STT_FILE", "STT_SECTION") or symbol["st_shndx"] == "SHN_UNDEF":
                continue
            rank = (kind not in ("STT_FUNC", "STT_OBJECT"), bind != "STB_GLOBAL")
            found.append((rank, symbol.name, symbol["st_value"], symbol["st_size"], symbol["st_shndx"] == "SHN_ABS"))
    found.sort(key=lambda entry: entry[0])      # stable: file order within a rank
    return [entry[1:] for entry in found]


def name_symbols(symbols: list[tuple[str, int, int, bool]], bias: int) -> Symbols:
    return Symbols(
        [(name, value + bias, size) for name, value, size, absolute in symbols if not absolute],
        [(name, value, size) for name, value, size, absolute in symbols if absolute],
    )
