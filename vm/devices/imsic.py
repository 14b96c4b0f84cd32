"""Incoming MSI controllers: for each hart a page to which messages of one privilege level are written; and of S-mode
one for each guest that has a file there.

RISC-V Advanced Interrupt Architecture 1.0, chapter "Incoming MSI Controller (IMSIC)"; device-tree binding riscv,imsics.
What is pending and enabled is the hart's own state, which it reaches by CSRs: this device only passes on the numbers.

    0x1000 * page       seteipnum_le: make the identity that is written pending; reads as zero
    0x1000 * page + 4   seteipnum_be: the same of one in big-endian byte order

The pages of a hart begin with its own, and go on with those of guests 1, 2, ..., up to a power of two.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from vm.devices.base import Device, TreeContext, writes

IDENTITIES = 255                    # as on QEMU's `virt`
PAGE = 0x1000


class Hart(Protocol):
    """What the controllers ask of a hart."""

    def receive_message(self, interrupt: int, identity: int, guest: int, /) -> None: ...


class IMSIC(Device):
    """Those of all `harts` for one external interrupt, MACHINE_EXTERNAL or SUPERVISOR_EXTERNAL, in the order given;
    each with files for so many `guests`.
    """

    compatible = "qemu,imsics\0riscv,imsics"
    node_name = "imsics"
    state = ()
    unsaved = Device.unsaved + ("_harts", "guest_bits", "interrupt", "page_count", "size")

    def __init__(self, harts: Sequence[Hart], interrupt: int, guests: int = 0):
        self._harts = harts
        self.interrupt = interrupt
        self.guest_bits = guests.bit_length()
        self.page_count = len(harts) << self.guest_bits
        self.size = PAGE * self.page_count
        super().__init__()

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        guests = {"riscv,guest-index-bits": self.guest_bits} if self.guest_bits else {}
        return guests | {
            "interrupts-extended": context.to_harts(self.interrupt), "interrupt-controller": None,
            "#address-cells": 0, "#interrupt-cells": 0, "msi-controller": None, "#msi-cells": 0,
            "riscv,num-ids": IDENTITIES,
            "phandle": context.phandle,
        }

    @writes(0x0, count="page_count", stride=PAGE)
    def write_little_endian(self, page: int, identity: int) -> None:
        hart, guest = divmod(page, 1 << self.guest_bits)
        self._harts[hart].receive_message(self.interrupt, identity, guest)

    @writes(0x4, count="page_count", stride=PAGE)
    def write_big_endian(self, page: int, value: int) -> None:
        self.write_little_endian(page, int.from_bytes(value.to_bytes(4, "little"), "big"))
