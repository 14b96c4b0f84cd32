"""Raw bytes to a physical address; they start there."""

from __future__ import annotations

from vm.errors import LoadError
from vm.loaders.common import Program, Range, Writable


def place_raw(name: str, data: bytes, memory: Writable, ram: Range, address: int) -> Program:
    """Copy a whole file to `address`; `name` is for messages."""
    if not data:
        raise LoadError(f"{name}: the file is empty")
    place = Range(address, len(data))
    if not ram.contains(place):
        raise LoadError(f"{name}: {len(data)} bytes at {address:#x} ({place}) lie outside RAM ({ram}); "
                        "choose another address or more memory")
    memory.write(address, data)
    return Program(name, address, (place,))
