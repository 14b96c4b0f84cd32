"""The devices of a machine. One file each, all on the protocol of `vm.devices.base`."""

from vm.devices.base import Device, SteadyAccesses, TreeContext, reads, writes
from vm.devices.bootrom import BootROM
from vm.devices.clint import CLINT
from vm.devices.generation import GenerationId
from vm.devices.interrupt import InterruptLine
from vm.devices.plic import PLIC
from vm.devices.port import ConsolePort
from vm.devices.rtc import GoldfishRTC
from vm.devices.syscon import Syscon
from vm.devices.uart import UART
from vm.devices.virtio import BlockDevice, Entropy, Network, SharedFolder, VirtioConsole

__all__ = [
    "CLINT", "PLIC", "UART", "BlockDevice", "BootROM", "ConsolePort", "Device", "Entropy",
    "GenerationId", "GoldfishRTC", "InterruptLine", "Network", "SharedFolder", "SteadyAccesses", "Syscon",
    "TreeContext", "VirtioConsole", "reads", "writes",
]
