"""Arrays of the guest as arrays of NumPy: the same bytes where they lie in one piece of RAM, copies where they do not.

A result goes where it belongs through `Memory.writable`, or piece by piece through `Memory.write`: both mark pages and
drop translated code. Every method that reaches memory raises `Refused` for what is not RAM.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vm.devices.virtio.compute.layout import Layout, Refused, Status
from vm.errors import BusError

if TYPE_CHECKING:
    from vm.memory import Memory


BOOL = np.dtype("bool")


def over(layout: Layout, buffer: Any) -> NDArray[Any]:
    """The array over a buffer of the bytes from its first to its last."""
    return np.ndarray(layout.shape, layout.dtype, buffer, layout.start, layout.strides)


def readable(memory: Memory, layout: Layout, number: int) -> NDArray[Any]:
    """A read-only array: of the guest's own bytes, where those are in one piece. `number` is told by Refused."""
    if not layout.pieces:
        return np.empty(layout.shape, layout.dtype)
    try:
        views = [memory.view(*piece) for piece in layout.pieces]
    except BusError:
        raise Refused(Status.ADDRESS, number) from None
    array = over(layout, views[0] if len(views) == 1 else b"".join(views))
    return array if layout.dtype != BOOL else truths(array)


def truths(array: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same, of 0 and 1 alone, which NumPy relies on: it counts by adding. A copy where the guest has others."""
    held = array.view(np.uint8)
    if held.size == 0 or held.max() <= 1:
        return array
    made = np.not_equal(held, 0, out=np.empty(array.shape, BOOL))       # an array, also where it has no axes
    made.flags.writeable = False
    return made


def refuse_other_than_ram(memory: Memory, layout: Layout, number: int) -> None:
    """For what is to be written: a guest does not write to ROM by way of a device, either."""
    try:
        for piece in layout.pieces:
            memory.view(*piece)
    except BusError:
        raise Refused(Status.ADDRESS, number) from None
    for base, size in memory.roms:
        if any(address < base + size and base < address + length for address, length in layout.pieces):
            raise Refused(Status.ADDRESS, number)


@contextmanager
def writable(memory: Memory, layout: Layout, number: int) -> Iterator[NDArray[Any]]:
    """An array whose content is the guest's when the block ends. It must not be kept, nor a part of it."""
    found = layout.pieces
    refuse_other_than_ram(memory, layout, number)
    if len(found) == 1:
        with memory.writable(*found[0]) as view:
            yield over(layout, view)
        return
    copy = bytearray()
    for piece in found:
        copy += memory.view(*piece)         # what is between elements stays
    yield over(layout, copy)
    start = 0
    with memoryview(copy) as changed:
        for address, length in found:
            memory.write(address, changed[start:start + length])
            start += length
