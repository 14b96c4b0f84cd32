"""Assembles small guest programs with the clang inside the `ziglang` wheel; results are kept in build/ by hash.

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
    text = f".globl _start\n_start:\n{source}\n"
    digest = hashlib.sha256(repr((version("ziglang"), FLAGS, SCRIPT, text)).encode()).hexdigest()[:24]
    output = OUTPUT / f"{digest}.elf"
    if not output.exists():
        OUTPUT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=OUTPUT) as folder:
            compile_in(Path(folder), text).replace(output)
    return output


def compile_in(folder: Path, text: str) -> Path:
    (folder / "program.S").write_text(text)
    (folder / "link.ld").write_text(SCRIPT)
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-T", "link.ld", "program.S", "-o", "program.elf"]
    cache_folder = str(OUTPUT / "zig-cache")
    environment = os.environ | {"ZIG_GLOBAL_CACHE_DIR": cache_folder, "ZIG_LOCAL_CACHE_DIR": cache_folder}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{text}\n{result.stderr}"
    return folder / "program.elf"


def assemble(source: str) -> bytes:
    """The same program as bytes, to be placed at BASE."""
    elf = ELFFile(io.BytesIO(assemble_elf(source).read_bytes()))
    return elf.get_section_by_name(".text").data()
