"""Mutators of the user's: modules with the functions of AFL++'s custom mutators in Python, or a function.

A module has `fuzz(buf, add_buf, max_size)`, which returns a bytearray; and, if it likes, `init(seed)`, `deinit()` and
`post_process(buf)` (AFL++, docs/custom_mutators.md). A function is called as libFuzzer's are, with (data, max_size,
seed), and returns bytes.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from vm.errors import ConfigurationError

Function = Callable[[bytes, int, int], bytes]
SEEDS = 1 << 32


class CustomMutator:
    """One of the user's, from `init` to `deinit`. What it raises comes out unchanged."""

    def __init__(self, named: str | Function, random: Random, longest: int):
        self._random = random
        self._longest = longest
        self._module: Any = None
        self._function: Function | None = None
        if callable(named):
            self._function = named
            return
        self._module = found(named)
        if hasattr(self._module, "init"):
            self._module.init(random.randrange(SEEDS))

    def mutate(self, data: bytes, other: bytes) -> bytes:
        if self._function is not None:
            changed = self._function(data, self._longest, self._random.randrange(SEEDS))
        else:
            changed = self._module.fuzz(bytearray(data), bytearray(other), self._longest)
        return self._made("mutator", changed)

    def _made(self, what: str, changed: Any) -> bytes:
        if not isinstance(changed, (bytes, bytearray, memoryview)):
            raise ConfigurationError(f"the {what} has returned {changed!r:.80}, which is no bytes")
        return bytes(changed)[:self._longest]

    def processed(self, data: bytes) -> bytes:
        """What is given to the guest for an input of the corpus, however that has been made."""
        if self._module is None or not hasattr(self._module, "post_process"):
            return data
        return self._made("mutator's post_process", self._module.post_process(bytearray(data)))

    def end(self) -> None:
        if self._module is not None and hasattr(self._module, "deinit"):
            self._module.deinit()


def name_of(mutator: str | ModuleType | Function | None) -> str | Function | None:
    """By which other processes find it. Raises ConfigurationError for what is no mutator."""
    if isinstance(mutator, ModuleType):
        mutator = str(mutator.__file__) if mutator.__name__ == "__main__" else mutator.__name__
    if isinstance(mutator, str):
        found(mutator)
        return mutator
    if mutator is not None and not callable(mutator):
        raise ConfigurationError(f"mutator={mutator!r}: a module with fuzz(buf, add_buf, max_size), its name or file, "
                                 "or a function of (data, max_size, seed)")
    return mutator


def found(name: str) -> ModuleType:
    """A module by its name, or its file. Raises ConfigurationError."""
    try:
        module = loaded(Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise ConfigurationError(f"mutator={name!r}: {error}") from error
    if not hasattr(module, "fuzz"):
        raise ConfigurationError(f"mutator={name!r}: it has no function fuzz(buf, add_buf, max_size)")
    return module


def loaded(path: Path) -> ModuleType:
    name = f"vm_mutator_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
