"""A virtual machine that people program from Python: `vm.Machine` is the computer, the rest is what it is made of.

Names are imported when they are first used, so that `vm --help` needs neither NumPy nor the compiled core.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vm.errors import (
    BusError,
    CommandFailed,
    ConfigurationError,
    ExpectFailed,
    ExpectStopped,
    ExpectTimeout,
    GuestError,
    ImageError,
    LoadError,
    MachineBusy,
    MachineUnusable,
    PageFault,
    UnexpectedOutput,
    Unreachable,
    VmError,
)

if TYPE_CHECKING:
    from vm import copy, devices, disks, images
    from vm.machine import Machine
    from vm.settings import Settings
    from vm.stop import Stop, StopReason

__version__ = "0.1.0"

__all__ = [
    "BusError", "CommandFailed", "ConfigurationError", "ExpectFailed", "ExpectStopped", "ExpectTimeout", "GuestError",
    "ImageError", "LoadError", "Machine", "MachineBusy", "MachineUnusable", "PageFault", "Settings", "Stop",
    "StopReason", "UnexpectedOutput", "Unreachable", "VmError",
    "copy", "devices", "disks", "images",
]

CLASSES = {"Machine": "vm.machine", "Settings": "vm.settings", "Stop": "vm.stop", "StopReason": "vm.stop"}
MODULES = ("copy", "devices", "disks", "images")


def __getattr__(name: str) -> object:
    if name in CLASSES:
        return getattr(import_module(CLASSES[name]), name)
    if name in MODULES:
        return import_module(f"vm.{name}")
    raise AttributeError(f"module 'vm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
