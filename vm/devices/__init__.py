"""The devices of a machine. One file each, all on the protocol of `vm.devices.base`."""

from vm.devices.base import Device, SteadyAccesses, TreeContext, reads, writes
from vm.devices.bootrom import BootROM
from vm.devices.clint import CLINT
from vm.devices.generation import GenerationId
from vm.devices.interrupt import InterruptLine
from vm.devices.plic import PLIC
from vm.devices.port import ConsolePort, Port
from vm.devices.rtc import GoldfishRTC
from vm.devices.syscon import Syscon
from vm.devices.uart import UART
from vm.devices.virtio import (
    Balloon,
    BlockDevice,
    Connection,
    Entropy,
    Keyboard,
    Listener,
    Network,
    Screen,
    SharedFolder,
    Tablet,
    VirtioConsole,
    Vsock,
)

__all__ = [
    "CLINT", "PLIC", "UART", "Balloon", "BlockDevice", "BootROM", "Connection", "ConsolePort", "Device", "Entropy",
    "GenerationId", "GoldfishRTC", "InterruptLine", "Keyboard", "Listener", "Network", "Port", "Screen",
    "SharedFolder", "SteadyAccesses", "Syscon", "Tablet", "TreeContext", "VirtioConsole", "Vsock", "reads", "writes",
]
