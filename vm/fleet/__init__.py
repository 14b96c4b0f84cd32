"""Many runs of one machine: a function over forks of a snapshot, here or on other computers, and fuzzing."""

from vm.lazy import from_modules

__all__ = ["Buffer", "Call", "Crash", "Fleet", "Fuzzing", "Hang", "Result", "fuzz"]

__getattr__ = from_modules(__name__, {
    "Buffer": "vm.fleet.places", "Call": "vm.fleet.places", "Crash": "vm.fleet.findings",
    "Fleet": "vm.fleet.fleet", "Fuzzing": "vm.fleet.findings", "Hang": "vm.fleet.findings",
    "Result": "vm.fleet.result", "fuzz": "vm.fleet.fuzzing"})
