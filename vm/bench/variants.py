"""Variants of our machine by name: `jit`, or `jit:VM_JIT_PAGE_ENTRIES=0` with settings of the environment behind it.

Which variable does what stands here, for all of vm/bench and benchmarks/.
"""

from typing import NamedTuple

from vm.engine import Engine
from vm.errors import VmError

ENGINE = "VM_ENGINE"
NO_FUSION, NO_LINKING, NO_TLB = {"VM_FUSION": "0"}, {"VM_LINKING": "0"}, {"VM_TLB": "0"}
CODE_KEPT = {"VM_JIT_CACHE": "1"}
NO_ANSWERS = {"VM_ANSWERS": "0"}
SWITCH_FORM = {"VM_DISPATCH": "switch"}


class Variant(NamedTuple):
    engine: Engine
    environment: dict[str, str]


ENGINES = {
    "interpreter": Variant("interpreter", {}),
    "plain": Variant("interpreter", NO_FUSION),
    "jit": Variant("jit", {}),
}


def without(part: str) -> dict[str, str]:
    """Turns a part of the JIT off, one of vm_native.jit.compiler.SWITCHES."""
    return {f"VM_JIT_{part.upper()}": "0"}


def named(base: str, environment: dict[str, str]) -> str:
    """The name of a variant."""
    return f"{base}:{','.join(f'{variable}={value}' for variable, value in environment.items())}"


def variant(name: str) -> Variant:
    """The variant of that name. Raises VmError where there is none."""
    base, _, text = name.partition(":")
    if base not in ENGINES:
        raise VmError(f"{name}: no such engine; there are {', '.join(ENGINES)}, with settings of the environment as in "
                      "jit:VM_JIT_PAGE_ENTRIES=0")
    pairs = [setting.partition("=") for setting in text.split(",") if setting]
    engine, environment = ENGINES[base]
    return Variant(engine, environment | {variable: value for variable, _, value in pairs})
