"""Getting programs into guest memory: ELF, raw bytes, Linux `Image` with initrd.

A loader is a function: it reads a file, checks it, writes it to memory and says in a frozen dataclass what is where.
All that is wrong with a file is a `vm.errors.LoadError` that names it; memory is then untouched.
"""

from __future__ import annotations

import os

from vm.errors import LoadError
from vm.loaders.common import Program, Range, Writable, read_file
from vm.loaders.elf import FILE_OVERHEAD, MAGIC, place_elf
from vm.loaders.linux import LinuxBoot, load_linux, place_device_tree
from vm.loaders.raw import place_raw
from vm.loaders.symbols import Symbol, Symbols

__all__ = ["LinuxBoot", "Program", "Range", "Symbol", "Symbols", "load", "load_linux", "place_device_tree",
           "place_program", "read_program"]


def load(path: str | os.PathLike[str], memory: Writable, ram: Range, address: int | None = None) -> Program:
    """Load an ELF, or anything else as raw bytes at `address`."""
    return place_program(os.fspath(path), read_program(path, ram), memory, ram, address)


def read_program(path: str | os.PathLike[str], ram: Range) -> bytes:
    """The content of a file that `place_program` takes."""
    return read_file(path, ram.size + FILE_OVERHEAD)


def place_program(name: str, data: bytes, memory: Writable, ram: Range, address: int | None = None) -> Program:
    """The same as `load` for a file that was read already; `name` is for messages."""
    if data.startswith(MAGIC):
        return place_elf(name, data, memory, ram)
    if address is None:
        raise LoadError(f"{name}: not an ELF file; to load it as raw bytes say at which address")
    return place_raw(name, data, memory, ram, address)
