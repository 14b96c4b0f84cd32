"""Virtual machine generation ID: a number that is another one in each fork, and an interrupt that tells of it.

Device-tree binding microsoft,vmgenid. The guest reads 16 bytes, in whatever pieces; it reseeds its random numbers when
the interrupt comes. Bytes are read-only.
"""

import hashlib

from vm.devices.base import Device, reads
from vm.errors import ConfigurationError

GUID_BYTES = 16


class GenerationId(Device):
    """`identity` is what the number is made of: of a machine that is no fork, its own."""

    compatible = "microsoft,vmgenid"
    node_name = "rng"
    size = 0x1000
    level_triggered = False
    state = ("guid",)
    setup = ("identity",)

    def __init__(self, identity: int = 0):
        super().__init__()
        if identity < 0:
            raise ConfigurationError(f"identity={identity}: must not be negative")
        self.identity = identity
        self.guid = guid_of(identity)

    def renew(self, identity: int) -> None:
        self.guid = guid_of(identity)
        self.irq.raise_()
        self.irq.lower()

    @reads(0x0, GUID_BYTES)
    def read_bytes(self, offset: int, size: int) -> int:
        return int.from_bytes(self.guid[offset:offset + size], "little")


def guid_of(identity: int) -> bytes:
    return hashlib.shake_128(f"generation {identity}".encode()).digest(GUID_BYTES)
