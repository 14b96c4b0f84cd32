"""The subjects of the benchmark report: a file each, with a function `rows(quick)`."""

from importlib import import_module
from types import ModuleType

SUBJECTS = ("startup", "blocks", "memory", "copying", "engines", "system", "recording", "snapshots", "programs",
            "vectors", "reverse", "watching", "fleet", "builds")


def subject(name: str) -> ModuleType:
    """The module of a subject."""
    return import_module(f"vm.bench.rows.{name}")
