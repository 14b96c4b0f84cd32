"""Virtio devices on the memory-mapped transport, after the Virtual I/O Device specification, version 1.2.

`transport.py` is section 4.2 and `queue.py` section 2.7; each device file is its chapter of section 5. The
host's side of the block device is `vm.disks`, that of the 9P device `vm.share`.
"""

from typing import TYPE_CHECKING

from vm.devices.virtio.transport import EmptySlot, VirtioDevice
from vm.lazy import from_modules

if TYPE_CHECKING:
    from vm.devices.virtio.balloon import Balloon
    from vm.devices.virtio.block import BlockDevice
    from vm.devices.virtio.compute import ComputeDevice
    from vm.devices.virtio.console import VirtioConsole
    from vm.devices.virtio.entropy import Entropy
    from vm.devices.virtio.gpu import Screen
    from vm.devices.virtio.input import Keyboard, Tablet
    from vm.devices.virtio.net import Network
    from vm.devices.virtio.p9 import SharedFolder
    from vm.devices.virtio.vsock import Vsock
    from vm.devices.virtio.vsock_ends import VsockConnection, VsockListener

__all__ = ["Balloon", "BlockDevice", "ComputeDevice", "EmptySlot", "Entropy", "Keyboard", "Network", "Screen",
           "SharedFolder", "Tablet", "VirtioConsole", "VirtioDevice", "Vsock", "VsockConnection", "VsockListener"]

MODULES = {
    "Balloon": "balloon", "BlockDevice": "block", "ComputeDevice": "compute", "Entropy": "entropy",
    "Keyboard": "input", "Network": "net", "Screen": "gpu", "SharedFolder": "p9", "Tablet": "input",
    "VirtioConsole": "console", "Vsock": "vsock", "VsockConnection": "vsock_ends", "VsockListener": "vsock_ends",
}
__getattr__ = from_modules(__name__, {name: f"{__name__}.{module}" for name, module in MODULES.items()})


def __dir__() -> list[str]:
    return __all__
