"""Raw bytes to a physical address; they start there."""

from __future__ import annotations

from vm.errors import LoadError
from vm.loaders.common import File, Program, Range, Segment


def plan_raw(file: File, ram: Range, address: int) -> tuple[Program, list[Segment]]:
    """All of a file goes to `address`."""
    if not file.data:
        raise LoadError(f"{file.name}: the file is empty")
    place = Range(address, len(file.data))
    if not ram.contains(place):
        raise LoadError(f"{file.name}: {len(file.data)} bytes at {address:#x} ({place}) lie outside RAM ({ram}); "
                        "choose another address or more memory")
    return Program(file.name, address, (place,)), [Segment(place, file.data)]
