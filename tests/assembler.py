"""Assembles and compiles small guest programs with the clang of the `ziglang` wheel; results are in build/, by hash.

A program is one flat piece that begins at `BASE`; labels marked .globl, or all of them, are in its symbol table.
"""

import hashlib
import io
import os
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from elftools.elf.elffile import ELFFile

BASE = 0x8000_0000
OUTPUT = Path(__file__).resolve().parents[1] / "build" / "tests"
SCRIPT = "ENTRY(_start) SECTIONS { . = 0x80000000; .text : { *(.text) *(.data) } }"
FLAGS = (
    "-target", "riscv64-freestanding", "-mcpu=generic_rv64+m+a+f+d+c+zicsr+zifencei", "-mno-relax", "-nostdlib",
    "-static", "-g0", "-fno-sanitize=all", "-Wl,--build-id=none",
)  # fmt: skip


@cache
def assemble_elf(source: str) -> Path:
    """The ELF file of a program in RISC-V assembly, linked at BASE; `_start` is its first byte."""
    return compile_elf((("program.S", f".globl _start\n_start:\n{source}\n"),))


@cache
def compile_elf(sources: tuple[tuple[str, str], ...], flags: tuple[str, ...] = FLAGS, script: str = SCRIPT) -> Path:
    """The ELF file of sources in C and assembly, pairs of a file name and the text."""
    digest = hashlib.sha256(repr((version("ziglang"), flags, script, sources)).encode()).hexdigest()[:24]
    output = OUTPUT / f"{digest}.elf"
    if not output.exists():
        OUTPUT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=OUTPUT) as folder:
            compile_in(Path(folder), sources, flags, script).replace(output)
    return output


def compile_in(folder: Path, sources: tuple[tuple[str, str], ...], flags: tuple[str, ...], script: str) -> Path:
    names = [name for name, _ in sources]
    for name, text in (*sources, ("link.ld", script)):
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "ziglang", "cc", *flags, "-T", "link.ld", *names, "-o", "program.elf"]
    cache_folder = str(OUTPUT / "zig-cache")
    environment = os.environ | {"ZIG_GLOBAL_CACHE_DIR": cache_folder, "ZIG_LOCAL_CACHE_DIR": cache_folder}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{sources}\n{result.stderr}"
    return folder / "program.elf"


def assemble(source: str) -> bytes:
    """The same program as bytes, to be placed at BASE."""
    elf = ELFFile(io.BytesIO(assemble_elf(source).read_bytes()))
    return elf.get_section_by_name(".text").data()
