"""The size of a page, and memory sizes as people write them: `512M` or `512MiB`, `1G`, `65536K`, or bytes."""

import re

from vm.errors import ConfigurationError
from vm_native.memory.ram import PAGE_BYTES

PAGE_SIZE = PAGE_BYTES
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LIMIT = 1 << 40

ACCEPTED = f"say how many bytes, a multiple of {PAGE_SIZE} up to 1T, as in 512M, 1G or 65536K"


def parse_size(size: str | int) -> int:
    """The number of bytes in a memory size: a positive multiple of the page size, at most 1 TiB."""
    match = re.fullmatch(r"([0-9]{1,20})(?:([KMGT])(?:IB)?)?", str(size).strip().upper())
    if not match:
        raise ConfigurationError(f"memory size {size!r}: not a size; {ACCEPTED}")
    bytes_ = int(match[1]) * UNITS[match[2] or ""]
    if bytes_ == 0:
        raise ConfigurationError(f"memory size {size!r}: no memory at all; {ACCEPTED}")
    if bytes_ > LIMIT:
        raise ConfigurationError(f"memory size {size!r}: too large; {ACCEPTED}")
    if bytes_ % PAGE_SIZE:
        raise ConfigurationError(f"memory size {size!r}: not a multiple of 4096; {ACCEPTED}")
    return bytes_
