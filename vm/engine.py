"""What runs a machine's code: a form of the interpreter, and a compiler for what is hot where the host can."""

from __future__ import annotations

import functools
import warnings
from typing import Literal, get_args

from vm.clock import ClockKind
from vm.errors import ConfigurationError
from vm.settings import Settings, variable_of
from vm_native.execution.scheduler import Scheduler
from vm_native.interpreter.forms import forms
from vm_native.jit.compiler import JitCompiler, unavailable

Engine = Literal["auto", "interpreter", "jit"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
# How often a block is interpreted before it is compiled where the next boot is the same and has all of it: this one
# takes as long as with the compiler's own number, and leaves twice as much.
HOT_WHERE_KEPT = 4


def dispatch_form(settings: Settings) -> str:
    """The interpreter's form: the one that is set, or the best of those built."""
    form = settings.dispatch or forms()[0]
    if form not in forms():
        raise ConfigurationError(f"VM_DISPATCH={form}: built are {', '.join(forms())}")
    return form


def compiler_for(engine: str, settings: Settings, clock: ClockKind) -> JitCompiler | None:
    """What compiles hot code for the engine of that name, if it is one that compiles."""
    if engine not in ENGINES:
        raise ConfigurationError(f"engine={engine!r}: there is {', '.join(map(repr, ENGINES))}")
    if engine == "interpreter":
        return None
    missing = unavailable()
    if missing is not None:
        if engine == "jit":
            raise ConfigurationError(f"engine='jit': {missing}; use 'auto' or 'interpreter'")
        say_once(f"no just-in-time compilation: {missing}")
        return None
    try:
        kept = {"hot": HOT_WHERE_KEPT} if settings.code_cache and clock == "virtual" else {}
        return JitCompiler(**kept | settings.of_compiler())
    except (ValueError, MemoryError) as error:
        raise ConfigurationError(f"{variable_of('code_bytes')}, or another setting of the compiler: {error}") from error


def run_in_threads(scheduler: Scheduler) -> str:
    """Give each hart, all of which the machine has by now, a thread of its own; what a machine says of that."""
    try:
        scheduler.use_threads()
    except (ValueError, MemoryError) as error:
        raise ConfigurationError(f"threads=True: {error}") from error
    return " in threads"


@functools.cache
def say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
