"""The size of a page, and memory sizes as people write them: `512M`, `1.5G`, `64MiB`, or bytes."""

import re

from vm.errors import ConfigurationError
from vm_native.memory.ram import PAGE_BYTES

PAGE_SIZE = PAGE_BYTES
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LIMIT = 1 << 40

SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)([KMGT]?)(I?)(B?)", re.ASCII)
ACCEPTED = f"say how many bytes, a multiple of {PAGE_SIZE} up to 1T, as in 512M, 1.5G, 64MiB or 65536K"


def parse_size(size: str | int) -> int:
    """The number of bytes in a memory size: a positive multiple of the page size, at most 1 TiB.

    K, M, G and T are binary, as QEMU has them, and the same as KiB, MiB, GiB and TiB. KB to TB are refused: they are
    powers of 1000 for some and of 1024 for others.
    """
    match = SIZE.fullmatch(str(size).strip().upper())
    if not match or (match[3] and not (match[2] and match[4])):
        raise ConfigurationError(f"memory size {size!r}: not a size; {ACCEPTED}")
    number, unit, binary, _ = match.groups()
    if unit and match[4] and not binary:
        raise ConfigurationError(f"memory size {size!r}: {unit}B is not the same for everybody, write {unit}iB for "
                                 f"2**{UNITS[unit].bit_length() - 1} bytes; {ACCEPTED}")
    whole, _, part = number.partition(".")
    bytes_, fraction = divmod(int(whole + part) * UNITS[unit], int(10 ** len(part)))
    if not bytes_ and not fraction:
        raise ConfigurationError(f"memory size {size!r}: no memory at all; {ACCEPTED}")
    if bytes_ > LIMIT:
        raise ConfigurationError(f"memory size {size!r}: too large; {ACCEPTED}")
    if fraction or bytes_ % PAGE_SIZE:
        raise ConfigurationError(f"memory size {size!r}: not a multiple of {PAGE_SIZE}; {ACCEPTED}")
    return bytes_
