"""The size of a page, and memory sizes as people write them: `512M`, `1.5G`, `64MiB`, or bytes."""

import re

from vm.errors import ConfigurationError
from vm_native.memory.ram import PAGE_BYTES

PAGE_SIZE = PAGE_BYTES
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LIMIT = 1 << 40

SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)([KMGT]?)(I?)(B?)", re.ASCII)
ACCEPTED = "say how many bytes, a multiple of {} up to {}T, as in 512M, 1.5G, 64MiB or 65536K"


def parse_size(size: str | int, what: str = "memory size", multiple: int = PAGE_SIZE, limit: int = LIMIT) -> int:
    """The number of bytes in a size: a positive multiple of the page size, at most 1 TiB, unless others are given.

    K, M, G and T are binary, as QEMU has them, and the same as KiB, MiB, GiB and TiB. KB to TB are refused: they are
    powers of 1000 for some and of 1024 for others.
    """
    if type(size) is int and 0 < size <= limit and size % multiple == 0:
        return size                             # as it is in a plan, by which many machines are built
    accepted = ACCEPTED.format(multiple, limit >> 40)
    match = SIZE.fullmatch(str(size).strip().upper())
    if not match or (match[3] and not (match[2] and match[4])):
        raise ConfigurationError(f"{what} {size!r}: not a size; {accepted}")
    number, unit, binary, _ = match.groups()
    if unit and match[4] and not binary:
        raise ConfigurationError(f"{what} {size!r}: {unit}B is not the same for everybody, write {unit}iB for "
                                 f"2**{UNITS[unit].bit_length() - 1} bytes; {accepted}")
    whole, _, part = number.partition(".")
    bytes_, fraction = divmod(int(whole + part) * UNITS[unit], int(10 ** len(part)))
    if not bytes_ and not fraction:
        raise ConfigurationError(f"{what} {size!r}: nothing at all; {accepted}")
    if bytes_ > limit:
        raise ConfigurationError(f"{what} {size!r}: too large; {accepted}")
    if fraction or bytes_ % multiple:
        raise ConfigurationError(f"{what} {size!r}: not a multiple of {multiple}; {accepted}")
    return bytes_
