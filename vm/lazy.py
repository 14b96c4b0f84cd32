"""Names of a package that are imported when they are first used: nobody waits for what he does not need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def from_modules(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` (PEP 562) of a package, by the module that each of its names is in."""
    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)      # this is asked once
        return value
    return get
