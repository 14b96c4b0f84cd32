"""Build what is in this folder beside its source: `python -m vm.guests.compute.build`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vm.guests.compiler import archive, compile_c, compile_guest, compile_object
from vm.guests.compute import FOLDER

BARE = ("vmcompute.c", "bare.c")
LINUX = ("vmcompute.c", "linux.c")
COMMON = ("../common/console.c", "../common/memory.c")
# The oldest library that is asked for is of 2018; a newer one has all of it.
LINUX_FLAGS = ("-target", "riscv64-linux-gnu.2.28", "-std=c17", "-O2", "-g0", "-s", "-Wall", "-Wextra", "-Werror",
               "-fno-sanitize=all", "-D_GNU_SOURCE", "-Wl,--build-id=none")  # fmt: skip


def library(output: Path) -> Path:
    """For bare metal."""
    with tempfile.TemporaryDirectory() as folder:
        objects = [compile_object(FOLDER, source, Path(folder) / f"{Path(source).stem}.o") for source in BARE]
        return archive(objects, output)


def program(source: str, output: Path) -> Path:
    """Of bare metal."""
    return compile_guest(FOLDER, ("entry.S", source, *BARE, *COMMON), "link.ld", output, floating_point=True)


def linux_library(output: Path) -> Path:
    return compile_c(FOLDER, [*LINUX_FLAGS, "-shared", "-fPIC", "-Wl,-soname,libvmcompute.so", *LINUX], output)


def linux_example(output: Path) -> Path:
    return compile_c(FOLDER, [*LINUX_FLAGS, "example.c", *LINUX], output)


BUILT: dict[str, Callable[[Path], Path]] = {
    "libvmcompute.a": library, "example.elf": partial(program, "example.c"), "bench.elf": partial(program, "bench.c"),
    "libvmcompute.so": linux_library, "example-linux": linux_example,
}  # fmt: skip

if __name__ == "__main__":
    for name, build in BUILT.items():
        print(build(FOLDER / name))
