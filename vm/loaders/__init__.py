"""Getting programs into guest memory: ELF, raw bytes, Linux `Image` with initrd.

A loader is a function: it reads a file, checks it, writes it to memory and says in a frozen dataclass what is where.
All that is wrong with a file is a `vm.errors.LoadError` that names it; memory is then untouched.
"""

from __future__ import annotations

import os

from vm.errors import LoadError
from vm.loaders.common import Program, Range, Writable, read_file
from vm.loaders.elf import FILE_OVERHEAD, MAGIC, load_elf, place_elf
from vm.loaders.linux import LinuxBoot, load_linux, place_device_tree
from vm.loaders.raw import load_raw, place_raw
from vm.loaders.symbols import Symbol, Symbols

__all__ = ["LinuxBoot", "Program", "Range", "Symbol", "Symbols", "load", "load_elf", "load_linux", "load_raw",
           "place_device_tree"]


def load(path: str | os.PathLike[str], memory: Writable, ram: Range, address: int | None = None) -> Program:
    """Load an ELF, or anything else as raw bytes at `address`. Firmware loads likewise: `address=ram.base`."""
    name = os.fspath(path)
    data = read_file(path, ram.size + FILE_OVERHEAD)
    if data.startswith(MAGIC):
        return place_elf(name, data, memory, ram)
    if address is None:
        raise LoadError(f"{name}: not an ELF file; to load it as raw bytes say at which address")
    return place_raw(name, data, memory, ram, address)
