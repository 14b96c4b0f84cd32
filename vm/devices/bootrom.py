"""Boot ROM: the bytes at a hart's reset vector, put there by the board (QEMU's `virt` has 0xf000 bytes at 0x1000).

It has no registers and no device-tree node. Reads of any size; writes are ignored.
"""

from vm.devices.base import Device, reads
from vm.errors import ConfigurationError

SIZE = 0xF000


class BootROM(Device):
    """`data` is what it holds, from its first byte; the rest reads as zero."""

    size = SIZE
    state = ("data",)
    setup = ("data",)

    def __init__(self, data: bytes = b""):
        super().__init__()
        if len(data) > SIZE:
            raise ConfigurationError(f"{len(data)} bytes do not fit in the boot ROM of {SIZE}")
        self.data = bytes(data)

    @reads(0x0, SIZE)
    def read_bytes(self, offset: int, size: int) -> int:
        return int.from_bytes(self.data[offset:offset + size], "little")
