"""The benchmark programs: `elf("sort")` is the path of the ELF file that is shipped beside its source.

A program is one C file in programs/, with an assembly file of the same name where it needs one; runtime/ and the
package's common guest sources are linked to each. `python -m vm.bench.guests.build` builds the ELF files anew; that
takes ziglang, as does `build_hosted`, which compiles the same C as an ordinary program for the host, where the results
that the programs expect come from, or for Linux on RISC-V.
"""

import hashlib
import os
from pathlib import Path

from vm.errors import VmError
from vm.guests import compiler
from vm.images.cache import cache_directory

ROOT = Path(__file__).resolve().parent
RUNTIME = ("runtime/crt0.S", "../../guests/common/console.c", "../../guests/common/memory.c")
HOSTED_FLAGS = ("-std=gnu17", "-O2", "-g0", "-fno-sanitize=all", "-ffp-contract=off", "-fno-math-errno", "-Iruntime")
TARGETS = {"native": (), "linux": ("-target", "riscv64-linux-musl", "-static"),
           "avx2": ("-O3", "-mavx2", "-mfma", "-Ivectors")}

# Devices of the board, where the sources of the guests have them.
POWER, CLOCK_DEVICE, UART, VIRTIO_STATUS = 0x10_0000, 0x10_1000, 0x1000_0000, 0x1000_1070

FLOATING_POINT = "floating point"
CLASSES = {
    "integer": ("sort", "crc", "sha256", "matmul", "compress"),
    "branch": ("strings", "bytecode_switch"),
    "call": ("recursion", "bytecode_calls"),
    "memory": ("copy", "chase"),
    "system": ("timer", "syscall"),
    FLOATING_POINT: ("matmul_double", "matmul_single", "nbody", "mandelbrot", "fma", "divsqrt"),
}
KERNELS = "kernels"
LATENCY = "latency"                 # prints what it measures
EMPTY = "empty"                     # nothing but start and power-off
# Programs of vectors/, each built with the vector extension and without it, and what they may use besides
VECTORS = ("memcpy", "strlen", "axpy", "sgemm", "dot", "sha256", "utf8", "mandelbrot")
FORMS = {"vector": "+v", "scalar": ""}
CRYPTOGRAPHY = {"vector_sha256": "+v+zvkb+zvknha", "scalar_sha256": "+zbb+zknh"}
BESIDE_CODE = "_beside_code"        # behind the name of a program: linked with its data in the pages of its code
LINKED_TWICE = ("strings", "compress", "sha256", "nbody")
PROGRAMS = {name: kind for kind, names in CLASSES.items() for name in names}


def elf(name: str) -> Path:
    """The bare-metal ELF file of the program `name`."""
    path = ROOT / "elf" / f"{name}.elf"
    if not path.exists():
        raise VmError(f"{name}: no such benchmark program; there are {EMPTY}, {', '.join(PROGRAMS)}")
    return path


def build(name: str, output: Path) -> Path:
    """Compile the bare-metal program `name` into the file `output`."""
    script = "runtime/beside.ld" if name.endswith(BESIDE_CODE) else "runtime/link.ld"
    name = name.removesuffix(BESIDE_CODE)
    sources = [*RUNTIME, f"programs/{name}.c"]
    if (ROOT / f"programs/{name}.S").exists():
        sources.append(f"programs/{name}.S")
    return compiler.compile_guest(ROOT, sources, script, output, includes=("runtime",),
                                  floating_point=PROGRAMS.get(name) == FLOATING_POINT)


def build_vectors(form: str, name: str, output: Path) -> Path:
    """The program of vectors/ in one of the FORMS."""
    extensions = CRYPTOGRAPHY.get(f"{form}_{name}", FORMS[form])
    return compiler.compile_guest(ROOT, [*RUNTIME, f"vectors/{name}.c"], "runtime/link.ld", output,
                                  includes=("runtime", "vectors"), floating_point=True, extensions=extensions)


def build_kernels(output: Path) -> Path:
    """The kernels that vm.bench.kernels runs."""
    return compiler.compile_guest(ROOT / "kernels", ("kernels.S",), "link.ld", output, floating_point=True)


def build_hosted(name: str, target: str, folder: str = "programs") -> Path:
    """The same program for an operating system, compiled when its source has changed. `target`: one of TARGETS."""
    source = f"{folder}/{name}.c"
    digest = hashlib.sha256(compiler.ZIG_VERSION.encode())
    for path in (ROOT / source, Path(__file__), ROOT / "vectors/vectors.h", *sorted((ROOT / "runtime").iterdir())):
        digest.update(path.read_bytes())
    output = cache_directory() / "benchmarks" / f"{name}-{target}-{digest.hexdigest()[:16]}"
    if not output.exists():
        partial = output.with_suffix(f".{os.getpid()}")       # two processes may build the same program
        compiler.compile_c(ROOT, [*HOSTED_FLAGS, *TARGETS[target], source], partial, libraries=output.parent / "zig")
        partial.replace(output)
    return output


if __name__ == "__main__":
    print(build_kernels(ROOT / "elf" / f"{KERNELS}.elf"))
    for program in (EMPTY, LATENCY, *PROGRAMS, *(name + BESIDE_CODE for name in LINKED_TWICE)):
        print(build(program, ROOT / "elf" / f"{program}.elf"))
    for program in VECTORS:
        for form in FORMS:
            print(build_vectors(form, program, ROOT / "elf" / f"{form}_{program}.elf"))
