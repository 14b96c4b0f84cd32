"""The memcpy family: one source, a module for each instruction set, and the best that this CPU runs chosen at import.

VM_COPY=sse2 (or another name from `simd_features`, or libc) in the environment takes that one instead. `libc` has the
same face on the C library, for machines that the kernels are not written for.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from vm_native.memory.copy.features import simd_features

if TYPE_CHECKING:
    from types import ModuleType

    from vm_native.memory.copy import libc as chosen  # they all have one face

__all__ = [
    "adaptive_threshold", "compare", "fill", "implementation", "implementations", "instruction_set", "kernels",
    "memcpy_adaptive", "memcpy_adaptive_with_threshold", "memcpy_fast", "memmove", "simd_features",
]


def implementations() -> list[str]:
    """The names of those that run here, best first."""
    return [*(name for name, there in simd_features().items() if there), "libc"]


def implementation(name: str) -> "ModuleType":
    """The module of one instruction set. Raises ImportError where the CPU does not run it: it is not even loaded."""
    if name not in implementations():
        raise ImportError(f"the memcpy family has no {name!r} here; this CPU runs {', '.join(implementations())}")
    return import_module(f"vm_native.memory.copy.{name}")


instruction_set = os.environ.get("VM_COPY") or implementations()[0]
if instruction_set not in implementations():
    raise ImportError(f"VM_COPY={instruction_set}: this CPU runs {', '.join(implementations())}")

if not TYPE_CHECKING:
    chosen = implementation(instruction_set)

adaptive_threshold = chosen.adaptive_threshold
compare = chosen.compare
fill = chosen.fill
kernels = chosen.kernels
memcpy_adaptive = chosen.memcpy_adaptive
memcpy_adaptive_with_threshold = chosen.memcpy_adaptive_with_threshold
memcpy_fast = chosen.memcpy_fast
memmove = chosen.memmove
