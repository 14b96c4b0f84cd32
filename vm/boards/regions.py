"""Memory that is mapped where somebody wants it, beside what a board has or instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from vm.arguments import whole_number
from vm.boards.placed import Placed
from vm.devices.base import Device
from vm.errors import ConfigurationError
from vm.loaders.common import Range, read_file
from vm.sizes import PAGE_SIZE, parse_size
from vm_native.memory.ram import Ram

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from vm.loaders.common import Source

Kind = Literal["ram", "rom"]

WORD = 8                        # bytes: the widest access to a device
ADDRESS_BITS = 56               # of a physical address (privileged specification, section 12.4.1)
CONTENT_LIMIT = 1 << 30         # bytes, of what says the size of its region


@dataclass(frozen=True)
class MappedMemory(Range):
    """Where programs can be: the range of a board's main memory, and the others."""

    others: tuple[Range, ...] = ()

    @property
    def ranges(self) -> tuple[Range, ...]:
        return (Range(self.base, self.size), *self.others)

    def with_another(self, region: Range) -> MappedMemory:
        return MappedMemory(self.base, self.size, (*self.others, region))

    def contains(self, other: Range) -> bool:
        return any(block.contains(other) for block in self.blocks())

    def around(self, last: int) -> Range:
        return next((block for block in self.blocks() if block.base <= last < block.end), self)

    def blocks(self) -> list[Range]:
        """By address; ranges that touch are one, as they are to who reads and writes."""
        joined: list[Range] = []
        for one in sorted(self.ranges, key=lambda place: place.base):
            if joined and joined[-1].end == one.base:
                one = Range(joined[-1].base, joined.pop().size + one.size)
            joined.append(one)
        return joined

    def overlaps(self, other: Range) -> bool:
        return any(region.overlaps(other) for region in self.ranges)

    def __str__(self) -> str:
        return ", ".join(map(str, self.ranges))


class Region(NamedTuple):
    """What somebody wants mapped."""

    place: Range
    kind: Kind
    content: memoryview         # of its start; the rest is zeroes

    def __str__(self) -> str:
        return f"{self.kind.upper()} at {self.place}"


def region(address: int, size: int | str | None, kind: Kind, file: Source | None,
           data: Buffer | NDArray[Any] | None) -> Region:
    """The arguments of `Machine.map`, checked. Raises ConfigurationError, and LoadError for the file."""
    address = whole_number("address", address)
    if kind not in get_args(Kind):
        raise ConfigurationError(f"kind={kind!r}: there is {' and '.join(map(repr, get_args(Kind)))}")
    if file is not None and data is not None:
        raise ConfigurationError("file= and data=: give one of them")
    if size is None and file is None and data is None:
        raise ConfigurationError(f"a region at {address:#x}: say its size, or give file= or data=")
    most = CONTENT_LIMIT if size is None else parse_size(size)
    content = bytes_of(data) if file is None else memoryview(read_file(file, most).data)
    if size is None:
        most = -(-len(content) // PAGE_SIZE) * PAGE_SIZE
        if not most:
            raise ConfigurationError(f"a region at {address:#x}: there is nothing in it; say its size")
    if len(content) > most:
        raise ConfigurationError(f"a region at {address:#x}: {len(content):,} bytes do not go into {most:,}")
    place = Range(address, most)
    if address % PAGE_SIZE:
        below = address // PAGE_SIZE * PAGE_SIZE
        raise ConfigurationError(f"address={address:#x}: memory begins at a multiple of {PAGE_SIZE}, as {below:#x} is")
    if address < 0 or place.end > 1 << ADDRESS_BITS:
        raise ConfigurationError(f"a region at {place}: physical addresses have {ADDRESS_BITS} bits")
    return Region(place, kind, content)


def bytes_of(data: Buffer | NDArray[Any] | None) -> memoryview:
    """Raises ConfigurationError for what is no buffer, or one with gaps."""
    try:
        return memoryview(b"" if data is None else data).cast("B")
    except TypeError as error:
        raise ConfigurationError(f"data= is a {type(data).__name__} that cannot be mapped: give bytes, or an array "
                                 f"without gaps ({error})") from None


def refuse_overlap(wanted: Region, memory: Iterable[Ram], devices: Mapping[str, Placed]) -> None:
    """Raise ConfigurationError if something is there."""
    others = [("ROM" if ram.rom else "RAM", Range(ram.base, ram.size)) for ram in memory]
    others += [(name, Range(placed.address, placed.device.size)) for name, placed in devices.items()]
    for name, other in others:
        if wanted.place.overlaps(other):
            raise ConfigurationError(f"{wanted} overlaps {name} at {other}")


def refuse_place(device: Device, address: int, memory: Range, devices: Mapping[str, Placed]) -> None:
    """Raise ConfigurationError if a device cannot stand there."""
    wanted = Range(address, device.size)
    if address < 0 or wanted.end > 1 << ADDRESS_BITS:
        raise ConfigurationError(f"a device at {wanted}: physical addresses have {ADDRESS_BITS} bits")
    if address % WORD or memory.overlaps(wanted):
        raise ConfigurationError(f"a device at {address:#x}: that is not aligned to {WORD} bytes, or RAM")
    for name, placed in devices.items():
        if wanted.overlaps(Range(placed.address, placed.device.size)):
            raise ConfigurationError(f"a device at {address:#x}: {name} stands at {placed.address:#x}")
