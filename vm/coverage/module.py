"""The ELF file of a program, where it lies in the guest's virtual memory."""

from __future__ import annotations

import os
from typing import NamedTuple

from vm.errors import LoadError
from vm.loaders import Program
from vm.loaders.common import read_file
from vm.loaders.elf import FILE_OVERHEAD, MAGIC, PT_LOAD, Elf, read_headers


class Module(NamedTuple):
    """`bias`: by how much it was moved from where it was linked."""

    elf: Elf | None
    places: tuple[range, ...]
    bias: int


def module_of(program: Program) -> Module:
    """Its segments; where they were loaded, if it is no ELF file or another by now."""
    loaded = tuple(range(segment.base, segment.end) for segment in program.segments)
    if not os.path.isfile(program.path):
        return Module(None, loaded, 0)
    file = read_file(program.path, FILE_OVERHEAD)
    if not file.data.startswith(MAGIC):
        return Module(None, loaded, 0)
    try:
        elf = read_headers(file)
    except LoadError:
        return Module(None, loaded, 0)
    headers = [header for header in elf.segments if header.type == PT_LOAD and header.memsz]
    if not headers or len(headers) != len(loaded):
        return Module(None, loaded, 0)
    bias = min(place.start for place in loaded) - min(header.paddr for header in headers)
    if dict(elf.symbols(bias)) != dict(program.symbols):
        return Module(None, loaded, 0)
    return Module(elf, tuple(range(header.vaddr + bias, header.vaddr + bias + header.memsz) for header in headers),
                  bias)
