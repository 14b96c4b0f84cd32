"""Where in RAM the companions of a program or a kernel go: the device tree and the initial RAM disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vm.errors import LoadError
from vm.loaders.common import File, Range
from vm.sizes import PAGE_SIZE

MIB = 1 << 20
DEVICE_TREE_ALIGNMENT = 2 * MIB
DEVICE_TREE_LIMIT = 3 << 30             # below it every Linux can map the tree early
INITRD_DISTANCE = 128 * MIB             # above the start of the kernel, which may unpack itself meanwhile


def place_device_tree(ram: Range, occupied: Sequence[Range], size: int) -> int:
    """The address of the highest place that leaves `occupied` alone, at a 2 MiB boundary and below 3 GiB if it can be.

    Raises LoadError where there is none.
    """
    for top in _tops(ram, occupied):
        for alignment in (DEVICE_TREE_ALIGNMENT, PAGE_SIZE):
            place = Range((top - size) // alignment * alignment, size)
            if ram.contains(place) and not any(place.overlaps(taken) for taken in occupied):
                return place.base
    raise LoadError(f"no room for the device tree ({size:,} bytes, with the command line) in RAM ({ram}); "
                    "give the machine more memory")


def _tops(ram: Range, occupied: Sequence[Range]) -> Iterator[int]:
    """Where a gap of RAM ends, the best first."""
    starts = sorted((taken.base for taken in occupied), reverse=True)
    if ram.base < DEVICE_TREE_LIMIT:
        yield min(ram.end, DEVICE_TREE_LIMIT)
        yield from (start for start in starts if start <= DEVICE_TREE_LIMIT)
    yield ram.end
    yield from (start for start in starts if start > DEVICE_TREE_LIMIT)


def place_initrd(initrd: File, ram: Range, kernel: Range, obstacles: Sequence[Range]) -> Range:
    """As QEMU does: half of RAM or 128 MiB above the kernel's start, and past its end. Else the first gap that fits."""
    size = len(initrd.data)
    preferred = max(kernel.end, kernel.base + min(ram.size // 2, INITRD_DISTANCE))
    gaps = sorted(taken.end for taken in (kernel, *obstacles))
    for start in (preferred, *gaps):
        place = Range(-(-start // PAGE_SIZE) * PAGE_SIZE, size)
        if ram.contains(place) and not any(place.overlaps(taken) for taken in (kernel, *obstacles)):
            return place
    raise LoadError(f"{initrd.name}: the initrd ({size:,} bytes) does not fit in RAM ({ram}) beside the kernel "
                    f"({kernel}); give the machine more memory")
