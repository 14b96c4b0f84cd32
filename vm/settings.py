"""What the environment can say, in one table; nothing else in `vm` reads it.

A machine takes its part as a value, `Settings`, so that a program or a test says the same with an argument. One row is
read elsewhere: `vm_native.memory.copy`, which knows nothing of `vm`, looks at VM_COPY itself when it is imported: that
choice is the process's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

from vm.errors import ConfigurationError


class Kind(Enum):
    """How a variable's text is read. Of all, empty is the same as not set."""

    TEXT = "text"
    SWITCH = "0 or 1"
    NUMBER = "a whole number"


class Setting(NamedTuple):
    """`name` is the field of `Settings` that it fills, empty where it is not a machine's."""

    name: str
    variable: str
    kind: Kind
    meaning: str


TABLE = (
    # --- Of a machine -------------------------------------------------------------------------------------------------
    Setting("engine", "VM_ENGINE", Kind.TEXT, "what runs the guest where nobody says: auto, interpreter or jit"),
    Setting("dispatch", "VM_DISPATCH", Kind.TEXT, "the interpreter's form: threaded or switch, as built"),
    Setting("linking", "VM_LINKING", Kind.SWITCH, "links between blocks in the interpreter"),
    Setting("fusion", "VM_FUSION", Kind.SWITCH, "pairs of micro-operations in the interpreter"),
    Setting("data_tlb", "VM_TLB", Kind.SWITCH, "the TLB of loads and stores"),
    Setting("answers", "VM_ANSWERS", Kind.SWITCH, "steady registers that the core answers, and calls of methods"),
    Setting("perf_map", "VM_PERF_MAP", Kind.SWITCH, "tell Linux perf what compiled code is"),
    Setting("hot", "VM_JIT_HOT", Kind.NUMBER, "how often a block is interpreted before it is compiled"),
    Setting("seed", "VM_JIT_SEED", Kind.NUMBER, "not 0: each block draws its own number between 0 and VM_JIT_HOT"),
    Setting("code_bytes", "VM_JIT_BYTES", Kind.NUMBER,
            "bytes of code memory, 512 KiB to 512 MiB; else an eighth of RAM, and no less than 64 MiB"),
    Setting("draft_bytes", "VM_JIT_DRAFT_BYTES", Kind.NUMBER,
            "with so many bytes of compiled code, 4 MiB unless set, blocks are compiled alone first"),
    Setting("code_cache", "VM_JIT_CACHE", Kind.SWITCH, "keep compiled code for the next process"),
    # --- Of images ----------------------------------------------------------------------------------------------------
    Setting("", "VM_CACHE", Kind.TEXT, "where downloads and compiled code are kept"),
    Setting("", "XDG_CACHE_HOME", Kind.TEXT, "its parent, where VM_CACHE is not set"),
    Setting("", "VM_DEBIAN_MIRROR", Kind.TEXT, "the mirror that Debian's packages come from"),
    Setting("", "http_proxy", Kind.TEXT, "the proxy for downloads over http, where the host's apt names none"),
    Setting("", "https_proxy", Kind.TEXT, "the same for https"),
    Setting("", "no_proxy", Kind.TEXT, "hosts that are reached without one"),
    Setting("", "npm_config_registry", Kind.TEXT, "the registry that the terminal of the web console comes from"),
    # --- Of the command line ------------------------------------------------------------------------------------------
    Setting("", "NO_COLOR", Kind.TEXT, "set: print without colours (https://no-color.org)"),
    Setting("", "TERM", Kind.TEXT, "dumb: print without colours"),
    Setting("", "COLUMNS", Kind.TEXT, "the width of the terminal"),
    # --- Of the process -----------------------------------------------------------------------------------------------
    Setting("", "VM_COPY", Kind.TEXT, "the instruction set that copies memory"),
)
VARIABLES = frozenset(setting.variable for setting in TABLE)
COMPILER_PREFIX = "VM_JIT_"
NUMBERS = {"hot": 2**32 - 1, "seed": 2**64 - 1, "code_bytes": 2**64 - 1, "draft_bytes": 2**64 - 1}  # and the largest


@dataclass(frozen=True)
class Settings:
    """What can be set of a machine beside its parameters, to measure what a part brings and for tests.

    - engine: where `Machine(engine=...)` does not say.
    - dispatch: the interpreter's form; None for the best that is built.
    - linking, fusion, data_tlb: links between blocks and pairs of micro-operations in the interpreter, and the TLB of
      loads and stores.
    - answers: what the core knows of the registers of devices: it answers steady ones, and calls the methods of others.
    - perf_map: where `Machine(perf_map=...)` does not say.
    - hot, seed, code_bytes, draft_bytes: the compiler's, whose own defaults are taken for None.
    - code_cache: a machine begins with what one of another process has compiled of the same guest (vm.code_cache).
    - switches: parts of the compiler by name, off where False.
    """

    engine: str = "auto"
    dispatch: str | None = None
    linking: bool = True
    fusion: bool = True
    data_tlb: bool = True
    answers: bool = True
    perf_map: bool = False
    hot: int | None = None
    seed: int | None = None
    code_bytes: int | None = None
    draft_bytes: int | None = None
    code_cache: bool = False
    switches: Mapping[str, bool] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """What the variables say. A value that is none, or another VM_JIT_ variable, is a ConfigurationError."""
        switches = switch_rows()
        known = [row.variable for row in (*TABLE, *switches) if row.variable.startswith(COMPILER_PREFIX)]
        environment = os.environ if environment is None else environment
        for variable in environment:
            if variable.startswith(COMPILER_PREFIX) and variable not in known:
                raise ConfigurationError(f"{variable}: no such setting; there is {', '.join(known)}")
        return cls(**read((row for row in TABLE if row.name), environment), switches=read(switches, environment))

    def of_compiler(self) -> dict[str, Any]:
        """What is set of the compiler, as its arguments. Raises ConfigurationError for numbers out of range."""
        given = {name: value for name in NUMBERS if (value := getattr(self, name)) is not None}
        for name, value in given.items():
            if not 0 <= value <= NUMBERS[name]:
                raise ConfigurationError(f"{variable_of(name)}={value}: a number from 0 to {NUMBERS[name]} is wanted")
        return given | {"relocatable": self.code_cache} | dict(self.switches)


@cache
def switch_rows() -> tuple[Setting, ...]:
    """A row for each part of the compiler that can be turned off; their names are the compiler's own."""
    from vm_native.jit.compiler import SWITCHES  # here: command lines that build no machine need no core

    return tuple(Setting(name, f"{COMPILER_PREFIX}{name.upper()}", Kind.SWITCH, "a part of the compiler")
                 for name in SWITCHES)


def read(rows: Iterable[Setting], environment: Mapping[str, str]) -> dict[str, Any]:
    """The values of those that are set, by name."""
    return {row.name: parse(row, text) for row in rows if (text := environment.get(row.variable))}


def parse(setting: Setting, text: str) -> Any:
    if setting.kind is Kind.SWITCH:
        if text not in ("0", "1"):
            raise ConfigurationError(f"{setting.variable}={text}: 0 and 1 are what it can be")
        return text == "1"
    if setting.kind is Kind.NUMBER:
        if not text.isdecimal():
            raise ConfigurationError(f"{setting.variable}={text}: a whole number is wanted")
        return int(text)
    return text


def variable_of(name: str) -> str:
    """The variable that sets a machine's setting of this name."""
    (variable,) = [row.variable for row in TABLE if row.name == name]
    return variable


def given(variable: str) -> str | None:
    """What a variable of the table holds; None if it is empty or not set."""
    assert variable in VARIABLES, variable
    return os.environ.get(variable) or None


def child_environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """The whole environment, changed, for another process; None takes a variable out."""
    changed = {**os.environ, **changes}
    return {variable: value for variable, value in changed.items() if value is not None}


def proxies(host: str) -> dict[str, str]:
    """The proxy for each scheme to reach a host by, as http_proxy, https_proxy and no_proxy say."""
    from urllib.request import getproxies, proxy_bypass  # here: it takes long to load

    return {} if proxy_bypass(host) else getproxies()
