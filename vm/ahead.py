"""Programs that are compiled before they run: `vm compile` makes a file, and `vm run --aot` begins with it.

The file is one of vm.code_cache, and as strict: it is for one program, ISA, processor and build of this package, and is
run only if it belongs to the user and nobody else may write to it. Code of it is run where memory holds what it was
made of; so a program that changes itself does what it does without.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vm.code_cache import Unusable, digest_of, images_of, loaded, write
from vm.errors import ConfigurationError
from vm_native.execution.ahead import compile_ahead
from vm_native.jit.image import image_of

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm.privilege import Privilege

FLOATS = (0, 1 << 13, 3 << 13)                  # mstatus.FS: off, initial, dirty
UNTRANSLATED = {"satp": 0, "pmpaddr0": (1 << 54) - 1, "pmpcfg0": 0x1F}       # and all may be fetched


def kind_of(machine: Machine) -> tuple[Any, ...]:
    """What compiled code depends on beside its program; of the parts of the compiler an image says it itself."""
    return "ahead", machine.isa.string


def compile_program(machine: Machine, path: Path, privileges: Collection[Privilege], training: int = 0) -> int:
    """Compile what the machine has loaded, for each of these privileges, with floating point off, on and in use, and
    write it to a file. How many bytes that has. The machine is of no other use afterwards.

    `training`: so many instructions of the program are run first. What is compiled then is what was hot, in the modes
    that it ran in, along the ways that branches took; that is much faster code than what nobody has seen run.

    Raises ConfigurationError for a machine that compiles nothing, or has no room for all; OSError.
    """
    compiler = machine.compiler
    if compiler is None:
        raise ConfigurationError("nothing is compiled by this engine, or on this host: use engine='jit'")
    assert machine.program is not None and machine._start is not None
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    compiler.relocatable = True
    if training:
        machine.console.record = False
        machine.run(instructions=training)
    hart = machine.harts[0]
    for name, value in UNTRANSLATED.items():
        hart.csr[name] = value
    roots = [machine.program.entry, *machine.program.symbols.functions()]
    for privilege in privileges:
        hart.privilege = privilege
        for floats in FLOATS:
            hart.csr["mstatus"] = floats
            compile_ahead(machine._scheduler, roots)
    if compiler.statistics()["reclaimed"]:
        raise ConfigurationError(f"{machine.program.path}: all of it is more than code memory holds; give more "
                                 "with VM_JIT_BYTES")
    machine._native.share_code()
    images = [image_of(shared, compiler) for shared in machine._native.shared_code]
    write(path, digest_of(kind_of(machine), machine._start), [memoryview(image) for image in images if image])
    return path.stat().st_size


def take_compiled(machine: Machine, path: Path) -> None:
    """Let a machine that has loaded a program begin with what `compile_program` has made of it.

    Raises Unusable; nothing has changed then. An engine that runs no compiled code takes none.
    """
    assert machine._start is not None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        images = images_of(path, descriptor, digest_of(kind_of(machine), machine._start))
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    compiler = machine.compiler
    if compiler is not None:
        machine._native.take_shared([loaded(path, image, compiler) for image in images])
