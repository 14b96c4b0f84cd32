"""A device and where it is, and what every board does with all of its devices."""

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


class DevicesOfBoard:
    """The part of a board that owns its devices, by name."""

    devices: dict[str, Placed]

    def reset(self) -> None:
        """All devices to their power-on state."""
        for placed in self.devices.values():
            placed.device.reset()

    def close(self) -> None:
        for placed in self.devices.values():
            placed.device.close()
