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
    LimitReached,
    LinuxError,
    LoadError,
    LogError,
    MachineBusy,
    MachineUnusable,
    PageFault,
    ReplayDiverged,
    SnapshotError,
    UnexpectedOutput,
    Unreachable,
    VmError,
    WorkerLost,
)
from vm.lazy import from_modules

if TYPE_CHECKING:
    from vm import copy, devices, disks, fleet, images
    from vm.fleet.fleet import Fleet
    from vm.limits import Limits
    from vm.log import Log
    from vm.machine import Machine
    from vm.replaying import replay
    from vm.settings import Settings
    from vm.snapshot import Snapshot
    from vm.stop import Stop, StopReason

__version__ = "0.1.0"

__all__ = [
    "BusError", "CommandFailed", "ConfigurationError", "ExpectFailed", "ExpectStopped", "ExpectTimeout", "Fleet",
    "GuestError", "ImageError", "LimitReached", "Limits", "LinuxError", "LoadError", "Log", "LogError", "Machine",
    "MachineBusy", "MachineUnusable", "PageFault", "ReplayDiverged", "Settings", "Snapshot", "SnapshotError", "Stop",
    "StopReason", "UnexpectedOutput", "Unreachable", "VmError", "WorkerLost",
    "copy", "devices", "disks", "fleet", "images", "replay",
]

FROM_MODULES = {"Fleet": "vm.fleet.fleet", "Limits": "vm.limits", "Log": "vm.log", "Machine": "vm.machine",
                "Settings": "vm.settings", "Snapshot": "vm.snapshot", "Stop": "vm.stop", "StopReason": "vm.stop",
                "replay": "vm.replaying"}
MODULES = ("copy", "devices", "disks", "fleet", "images")
from_module = from_modules(__name__, FROM_MODULES)


def __getattr__(name: str) -> object:
    return import_module(f"vm.{name}") if name in MODULES else from_module(name)


def __dir__() -> list[str]:
    return __all__
