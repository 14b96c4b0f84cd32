"""The ELF file of a program that was loaded, read again for what the machine did not keep of it."""

from __future__ import annotations

import os
from typing import NamedTuple

from vm.errors import LoadError
from vm.loaders.common import Program, read_file
from vm.loaders.elf import FILE_OVERHEAD, PT_LOAD, Elf, physical_entry, read_headers


class LoadedElf(NamedTuple):
    """`bias`: by how much it was moved from where it was linked."""

    elf: Elf
    bias: int

    @property
    def places(self) -> tuple[range, ...]:
        """The virtual addresses of its segments."""
        return tuple(range(header.vaddr + self.bias, header.vaddr + self.bias + header.memsz)
                     for header in self.elf.segments if header.type == PT_LOAD and header.memsz)


def loaded_elf(program: Program) -> LoadedElf | None:
    """None where it cannot be read, is no ELF file, or has other symbols by now than the program that was loaded."""
    if not os.path.isfile(program.path):
        return None
    try:
        elf = read_headers(read_file(program.path, FILE_OVERHEAD))
        loaded = LoadedElf(elf, program.entry - physical_entry(elf))
        is_the_same = bool(loaded.places) and dict(elf.symbols(loaded.bias)) == dict(program.symbols)
    except LoadError:
        return None
    return loaded if is_the_same else None
