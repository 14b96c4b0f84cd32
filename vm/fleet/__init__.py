"""Many runs of one machine: a function over forks of a snapshot, here or on other computers, and fuzzing."""

from typing import TYPE_CHECKING

from vm.lazy import from_modules

if TYPE_CHECKING:
    from vm.fleet.findings import Crash, Finding, Fuzzing, Hang
    from vm.fleet.fleet import Fleet
    from vm.fleet.fuzzing import fuzz
    from vm.fleet.places import Buffer, Call
    from vm.fleet.result import Result

__all__ = ["Buffer", "Call", "Crash", "Finding", "Fleet", "Fuzzing", "Hang", "Result", "fuzz"]

__getattr__ = from_modules(__name__, {
    "Buffer": "vm.fleet.places", "Call": "vm.fleet.places", "Crash": "vm.fleet.findings",
    "Finding": "vm.fleet.findings", "Fleet": "vm.fleet.fleet", "Fuzzing": "vm.fleet.findings",
    "Hang": "vm.fleet.findings", "Result": "vm.fleet.result", "fuzz": "vm.fleet.fuzzing"})
