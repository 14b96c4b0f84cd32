"""The symbols of a guest's programs and libraries: from their files, of which the host has copies in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from vm.errors import LoadError
from vm.linux.mappings import Mapping
from vm.loaders.common import File
from vm.loaders.elf import MAGIC, PT_LOAD, SHT_SYMTAB, Elf, ProgramHeader, read_headers
from vm.loaders.symbols import Symbols

SHT_DYNSYM = 11


class ProgramFile(NamedTuple):
    """What of an ELF file gives addresses names; they are those at which it was linked."""

    segments: list[ProgramHeader]
    symbols: Symbols


class Programs:
    """The ELF files of a guest, in a folder of the host that has them under the guest's paths."""

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise LoadError(f"{folder}: is no folder; name one that has the guest's files under their paths, as "
                            "usr/bin/busybox")
        self._folder = folder.resolve()
        self._files: dict[str, ProgramFile | None] = {}

    def lookup(self, mapping: Mapping, address: int) -> str | None:
        """The symbol at an address that is mapped from a file; None where the folder has none. Raises LoadError."""
        path = mapping.path or ""
        if path not in self._files:
            self._files[path] = self._read(path)
        file, at = self._files[path], address - mapping.start + mapping.offset
        for segment in file.segments if file else ():
            if file and segment.type == PT_LOAD and segment.offset <= at < segment.offset + segment.filesz:
                return file.symbols.lookup(at - segment.offset + segment.vaddr)
        return None

    def _read(self, path: str) -> ProgramFile | None:
        """None for a file that is not in the folder, also where a link leads out of it, and for what is no ELF file."""
        place = (self._folder / path.lstrip("/")).resolve()
        if not place.is_relative_to(self._folder) or not place.is_file():
            return None
        try:
            data = place.read_bytes()
        except OSError as error:
            raise LoadError(f"{place}: cannot read: {error.strerror}") from error
        if not data.startswith(MAGIC):
            return None
        elf = read_headers(File(str(place), data))
        return ProgramFile(elf.segments, symbols_of_file(elf))


def symbols_of_file(elf: Elf) -> Symbols:
    """All that the file has; of a stripped one those for dynamic linking."""
    if any(section.type == SHT_SYMTAB for section in elf.sections):
        return elf.symbols()
    for section in elf.sections:
        if section.type == SHT_DYNSYM and section.link < len(elf.sections):
            return Symbols(elf.content(section), elf.content(elf.sections[section.link]))
    return Symbols()
