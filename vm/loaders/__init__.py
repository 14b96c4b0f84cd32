"""Getting programs into guest memory: ELF, raw bytes, Linux `Image` with initrd.

A loader is a function of what was read and of where RAM is. It says in a frozen dataclass what will be where, and gives
the segments that put it there; it writes nothing. What is wrong with a file is a `vm.errors.LoadError` that names it.
Kernels are in `vm.loaders.linux`, which is imported where one is booted.
"""

from __future__ import annotations

from vm.errors import LoadError
from vm.loaders.common import File, Program, Range, Segment, read_file
from vm.loaders.elf import FILE_OVERHEAD, MAGIC, plan_elf, refuse_address
from vm.loaders.places import place_device_tree
from vm.loaders.raw import plan_raw
from vm.loaders.symbols import Symbol, Symbols

__all__ = ["FILE_OVERHEAD", "File", "Program", "Range", "Segment", "Symbol", "Symbols", "place_device_tree",
           "plan_program", "read_file"]


def plan_program(file: File, ram: Range, address: int | None = None) -> tuple[Program, list[Segment]]:
    """An ELF, or anything else as raw bytes at `address`: what goes where. Raises LoadError."""
    if file.data.startswith(MAGIC):
        refuse_address(file, address)
        return plan_elf(file, ram)
    if address is None:
        wrong = "not an ELF file; to load it as raw bytes say at which address" if file.data else "the file is empty"
        raise LoadError(f"{file.name}: {wrong}")
    return plan_raw(file, ram, address)
