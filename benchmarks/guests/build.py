"""Build benchmark programs: `build("sort")` gives the path of an ELF file, compiled when its sources have changed.

A program is one C file in programs/, with an assembly file of the same name where it needs one; runtime/ and the
package's common guest sources are linked to each. `build_native` compiles the same C for the host: that is where the
results that the programs expect come from, and what the emulators are measured against.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from vm.guests import compiler
from vm.guests.compiler import COMMON, ZIG_VERSION, compile_c, compile_guest

ROOT = Path(__file__).resolve().parent
OUTPUT = ROOT.parents[1] / "build" / "guests"
RUNTIME = ("runtime/crt0.S", "../../vm/guests/common/console.c", "../../vm/guests/common/memory.c")
NATIVE_FLAGS = ("-std=gnu17", "-O2", "-g0", "-fno-sanitize=all", "-ffp-contract=off", "-fno-math-errno", "-Iruntime")

FLOATING_POINT = "floating point"
CLASSES = {
    "integer": ("sort", "crc", "sha256", "matmul", "compress"),
    "branch": ("strings", "bytecode_switch"),
    "call": ("recursion", "bytecode_calls"),
    "memory": ("copy", "chase"),
    "system": ("timer", "syscall"),
    FLOATING_POINT: ("matmul_double", "matmul_single", "nbody", "mandelbrot", "fma", "divsqrt"),
}
EMPTY = "empty"                     # nothing but start and power-off
PROGRAMS = {name: kind for kind, names in CLASSES.items() for name in names}


def build(name: str) -> Path:
    """The ELF file of the program `name`."""
    sources = [*RUNTIME, f"programs/{name}.c"]
    if (ROOT / f"programs/{name}.S").exists():
        sources.append(f"programs/{name}.S")
    floating_point = PROGRAMS.get(name) == FLOATING_POINT
    return _built(f"{name}.elf", sources, lambda output: compile_guest(
        ROOT, sources, "runtime/link.ld", output, includes=("runtime",), floating_point=floating_point
    ))


def build_native(name: str) -> Path:
    """The same program for this computer, all its instructions allowed."""
    sources = [f"programs/{name}.c"]
    return _built(name, sources, lambda output: compile_c(ROOT, [*NATIVE_FLAGS, *sources], output))


def _built(name: str, sources: list[str], compile_into: Callable[[Path], Path]) -> Path:
    inputs = [ROOT / source for source in sources] + [Path(compiler.__file__), Path(__file__)]
    inputs += sorted(COMMON.glob("*.h")) + sorted((ROOT / "runtime").iterdir())
    digest = hashlib.sha256(ZIG_VERSION.encode())
    for path in inputs:
        digest.update(path.read_bytes())
    stem, dot, suffix = name.partition(".")
    output = OUTPUT / f"{stem}-{digest.hexdigest()[:16]}{dot}{suffix}"
    if not output.exists():
        partial = output.with_suffix(f".{os.getpid()}")       # two test processes may build the same program
        compile_into(partial)
        partial.replace(output)
    return output


if __name__ == "__main__":
    for program in (EMPTY, *PROGRAMS):
        print(build(program), build_native(program))
