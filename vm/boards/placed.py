"""A device and where it is."""

from typing import NamedTuple

from vm.devices.base import Device


class Placed(NamedTuple):
    """One place on a board."""

    address: int
    device: Device
    irq: int | None                         # the source of `controller` that the device's line drives
    controller: Device | None               # None where it has no line

    def __repr__(self) -> str:
        return repr(self.device)            # says the rest
