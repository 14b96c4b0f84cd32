"""Raw bytes to a physical address; they start there."""

from __future__ import annotations

import os

from vm.errors import LoadError
from vm.loaders.common import Program, Range, Writable, read_file


def load_raw(path: str | os.PathLike[str], memory: Writable, ram: Range, address: int) -> Program:
    """Copy a whole file to `address`."""
    return place_raw(os.fspath(path), read_file(path, ram.size), memory, ram, address)


def place_raw(name: str, data: bytes, memory: Writable, ram: Range, address: int) -> Program:
    """The same for bytes that were read already; `name` is for messages."""
    if not data:
        raise LoadError(f"{name}: the file is empty")
    place = Range(address, len(data))
    if not ram.contains(place):
        raise LoadError(f"{name}: {len(data)} bytes at {address:#x} ({place}) lie outside RAM ({ram}); "
                        "choose another address or more memory")
    memory.write(address, data)
    return Program(name, address, (place,))
