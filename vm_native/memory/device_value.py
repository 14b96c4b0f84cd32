"""What a device may return for a read: the rule, and what is said where it is broken."""

from operator import index
from typing import Any


def whole_number(device: object, offset: int, size: int, value: Any) -> int:
    """The value as an unsigned number of `size` bytes; whole numbers of other types, as NumPy has them, are taken.

    Raises ValueError or TypeError, which name the class of the device, the offset of the read in it, and the value.
    """
    largest = 256**size - 1
    try:
        number = index(value)
        kind: type[Exception] = ValueError
    except TypeError:
        number = -1
        kind = TypeError
    if 0 <= number <= largest:
        return int(number)
    raise kind(f"{type(device).__name__}: the read of {size} bytes at offset {offset:#x} returned {value!r}, which is "
               f"no whole number from 0 to {largest:#x}")
