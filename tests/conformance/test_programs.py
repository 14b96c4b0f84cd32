"""Real programs in lockstep with Spike: C compiled for several harts, in S-mode with paging.

The compiler draws on the extensions that it is told of, and arranges instructions as nobody would by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.assembler import compile_elf
from tests.conformance import spike
from tests.conformance.compare import Lockstep
from tests.conformance.image import BASE, Image
from tests.conformance.ours import Ours
from vm_native.riscv import isa as isa_strings

PROGRAMS = Path(__file__).parent / "programs" / "c"
FLAGS = (
    "-target", "riscv64-freestanding", "-mcmodel=medany", "-std=c17", "-g0", "-Wall", "-Wextra", "-Werror",
    "-ffreestanding", "-fno-sanitize=all", "-fno-stack-protector", "-fno-unwind-tables", "-mno-relax", "-nostdlib",
    "-fno-asynchronous-unwind-tables", "-static", "-Wl,--build-id=none", "-Wno-main-return-type",
)  # fmt: skip
SCRIPT = """ENTRY(_start) SECTIONS {
    . = 0x80000000;
    .all : { *(.entry) *(.text .text.*) *(.rodata .rodata.* .srodata .srodata.*) *(.data .data.* .sdata .sdata.*)
             *(.sbss .sbss.* .bss .bss.* COMMON) . = ALIGN(16); . += 8K; stack_top = .; BYTE(0) }
    /DISCARD/ : { *(.comment) *(.eh_frame) *(.note.*) } }
"""
# ISA string, the compiler's word for it, how it shall optimise.
HARTS = {
    "whole": (isa_strings.DEFAULT, "m+a+f+d+c+zba+zbb+zbs+zicond+zcb+zfa+zabha+zacas", "-O2"),
    "usual": ("rv64gc_zicntr", "m+a+f+d+c", "-O3"),
    "plain": ("rv64gc_zicntr", "m+a+f+d+c", "-O0"),
}
LIMIT = 300_000
LEAST = 5000                    # instructions that each program takes


def compiled(name: str, hart: str) -> tuple[Image, dict[str, int]]:
    """A program of `programs/c` for one of HARTS, and its symbols."""
    _, extensions, optimise = HARTS[hart]
    sources = tuple((file, (PROGRAMS / file).read_text()) for file in ("start.S", f"{name}.c"))
    flags = (*FLAGS, f"-mcpu=generic_rv64+{extensions}+zicsr", optimise)
    with compile_elf(sources, flags, SCRIPT).open("rb") as file:
        elf = ELFFile(file)
        symbols = {symbol.name: symbol["st_value"] for symbol in elf.get_section_by_name(".symtab").iter_symbols()}
        wanted = {label: symbols[label] for label in ("tohost", "finish")}
        return Image(elf.get_section_by_name(".all").data(), wanted), symbols


@pytest.mark.parametrize("hart", HARTS)
@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.c")))
def test_compiled_program_agrees_with_spike(name, hart):
    isa, (image, symbols) = HARTS[hart][0], compiled(name, hart)
    records = spike.run(image, isa, LIMIT)
    ours = Ours(isa)
    assert Lockstep(ours).compare(image, records) == len(records)
    assert LEAST < len(records) < LIMIT
    assert ours.hart.pc == symbols["finish"] and symbols["_start"] == BASE
    assert ours.hart.csr["mcause"] == 9, "main() did not come to its end"
