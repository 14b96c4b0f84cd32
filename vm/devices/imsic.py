"""Incoming MSI controllers: for each hart a page to which messages of one privilege level are written.

RISC-V Advanced Interrupt Architecture 1.0, chapter "Incoming MSI Controller (IMSIC)"; device-tree binding riscv,imsics.
What is pending and enabled is the hart's own state, which it reaches by CSRs: this device only passes on the numbers.

    0x1000 * hart       seteipnum_le: make the identity that is written pending; reads as zero
    0x1000 * hart + 4   seteipnum_be: the same of one in big-endian byte order
"""

from collections.abc import Sequence
from typing import Any, Protocol

from vm.devices.base import Device, TreeContext, writes

IDENTITIES = 255                    # as on QEMU's `virt`
PAGE = 0x1000


class Hart(Protocol):
    """What the controllers ask of a hart."""

    def receive_message(self, interrupt: int, identity: int, /) -> None: ...


class IMSIC(Device):
    """Those of all `harts` for one external interrupt, MACHINE_EXTERNAL or SUPERVISOR_EXTERNAL, in the order given."""

    compatible = "qemu,imsics\0riscv,imsics"
    node_name = "imsics"
    state = ()
    unsaved = Device.unsaved + ("_harts", "hart_count", "interrupt", "size")

    def __init__(self, harts: Sequence[Hart], interrupt: int):
        self._harts = harts
        self.hart_count = len(harts)
        self.interrupt = interrupt
        self.size = PAGE * len(harts)
        super().__init__()

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        return {
            "interrupts-extended": context.to_harts(self.interrupt), "interrupt-controller": None,
            "#address-cells": 0, "#interrupt-cells": 0, "msi-controller": None, "#msi-cells": 0,
            "riscv,num-ids": IDENTITIES,
            "phandle": context.phandle,
        }

    @writes(0x0, count="hart_count", stride=PAGE)
    def write_little_endian(self, hart: int, identity: int) -> None:
        self._harts[hart].receive_message(self.interrupt, identity)

    @writes(0x4, count="hart_count", stride=PAGE)
    def write_big_endian(self, hart: int, value: int) -> None:
        self._harts[hart].receive_message(self.interrupt, int.from_bytes(value.to_bytes(4, "little"), "big"))
