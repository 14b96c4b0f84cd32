"""A virtual machine that people program from Python: `vm.Machine` is the computer, the rest is what it is made of."""

from vm import devices
from vm.errors import (
    BusError,
    ConfigurationError,
    ExpectTimeout,
    GuestError,
    ImageError,
    LoadError,
    MachineBusy,
    PageFault,
    VmError,
)
from vm.machine import Machine
from vm.stop import Stop, StopReason

__version__ = "0.1.0"

__all__ = [
    "BusError", "ConfigurationError", "ExpectTimeout", "GuestError", "ImageError", "LoadError", "Machine",
    "MachineBusy", "PageFault", "Stop", "StopReason", "VmError", "devices",
]
