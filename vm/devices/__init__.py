"""The devices of a machine. One file each, all on the protocol of `vm.devices.base`."""

from typing import TYPE_CHECKING

from vm.devices.aplic import APLIC
from vm.devices.base import Device, SteadyAccesses, TreeContext, reads, writes
from vm.devices.bootrom import BootROM
from vm.devices.clint import CLINT
from vm.devices.generation import GenerationId
from vm.devices.imsic import IMSIC
from vm.devices.interrupt import InterruptLine
from vm.devices.plic import PLIC
from vm.devices.port import ConsolePort, Port
from vm.devices.rtc import GoldfishRTC
from vm.devices.syscon import Syscon
from vm.devices.uart import UART
from vm.lazy import from_modules

if TYPE_CHECKING:
    from vm.devices.virtio import (
        Balloon,
        BlockDevice,
        ComputeDevice,
        Entropy,
        Keyboard,
        Network,
        Screen,
        SharedFolder,
        Tablet,
        VirtioConsole,
        Vsock,
        VsockConnection,
        VsockListener,
    )

__all__ = [
    "APLIC", "CLINT", "IMSIC", "PLIC", "UART", "Balloon", "BlockDevice", "BootROM", "ComputeDevice", "ConsolePort",
    "Device", "Entropy", "GenerationId", "GoldfishRTC", "InterruptLine", "Keyboard", "Network", "Port", "Screen",
    "SharedFolder", "SteadyAccesses", "Syscon", "Tablet", "TreeContext", "VirtioConsole", "Vsock", "VsockConnection",
    "VsockListener", "reads", "writes",
]

VIRTIO = ("Balloon", "BlockDevice", "ComputeDevice", "Entropy", "Keyboard", "Network", "Screen", "SharedFolder",
          "Tablet", "VirtioConsole", "Vsock", "VsockConnection", "VsockListener")
__getattr__ = from_modules(__name__, dict.fromkeys(VIRTIO, "vm.devices.virtio"))


def __dir__() -> list[str]:
    return __all__
