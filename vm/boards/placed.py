"""A device and where it is, and what every board does with all of its devices."""

from typing import NamedTuple, TypeVar

from vm.devices.base import Device
from vm.errors import ConfigurationError

Kind = TypeVar("Kind", bound=Device)


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

    def has_slot(self, address: int | None, irq: int | None = None) -> bool:
        """Whether a slot for virtio devices is at that address, or at any; empty or not."""
        return False

    def name_of(self, device: Device | str) -> str:
        """The name in `devices` of a device, which may be given by that. Raises ConfigurationError."""
        if isinstance(device, str):
            if device not in self.devices:
                raise ConfigurationError(f"no device is called {device!r}: there are {', '.join(self.devices)}")
            return device
        for name, placed in self.devices.items():
            if placed.device is device:
                return name
        raise ConfigurationError(f"{device!r} is not attached to this machine")

    def first(self, kind: type[Kind]) -> Kind | None:
        """The first of the devices of a kind; None if there is none."""
        return next((placed.device for placed in self.devices.values() if isinstance(placed.device, kind)), None)

    def device_at(self, address: int) -> str:
        """The name of the device that serves a physical address, at which there is one."""
        return max((placed.address, name) for name, placed in self.devices.items() if placed.address <= address)[1]

    def detach(self, device: Device | str, force: bool = False) -> Device:
        """Take a device out of its slot; see `Machine.detach`."""
        name = self.name_of(device)
        raise ConfigurationError(f"{name} stands at an address of its own, and stays there: what can be detached are "
                                 "virtio devices in slots")

    def reset(self) -> None:
        """All devices to their power-on state."""
        for placed in self.devices.values():
            placed.device.reset()

    def close(self) -> None:
        for placed in self.devices.values():
            placed.device.close()
