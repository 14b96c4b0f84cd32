"""What surrounds the random code of a program: the frame in frame.S, and the memory map they agree on.

Offsets are from the start of the image; the image is at BASE, and with paging also at `Parameters.virtual`.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tests.assembler import assemble_elf
from tests.conformance.image import BASE, Image

TOHOST, PARAMETERS, SAVE, CONSTANTS, CODE, DATA, TABLES = 0x1000, 0x2000, 0x3000, 0x4000, 0x8000, 0x1_0000, 0x1_8000
CODE_SIZE, DATA_SIZE, TABLES_SIZE = 0x8000, 0x4000, 0x6000
SIZE = TABLES + TABLES_SIZE
SUPERVISOR_SAVE = SAVE + 0x800
END = 0x5EED
U64 = (1 << 64) - 1


@cache
def assembled(name: str) -> tuple[bytes, dict[str, int]]:
    """The code of an assembly file of this folder, placed at BASE, and its symbols."""
    elf = ELFFile(io.BytesIO(assemble_elf((Path(__file__).parent / name).read_text()).read_bytes()))
    symbols = {symbol.name: symbol["st_value"] for symbol in elf.get_section_by_name(".symtab").iter_symbols()}
    return elf.get_section_by_name(".text").data(), symbols


def frame() -> tuple[bytes, dict[str, int]]:
    """The code and the symbols of frame.S."""
    return assembled("frame.S")


@dataclass
class Parameters:
    """How the code is entered: in `mode` (0 U, 1 S, 3 M), where the image stands at address `virtual`."""

    x: list[int]
    f: list[int]
    mode: int = 3
    virtual: int = BASE
    medeleg: int = 0
    mideleg: int = 0
    counteren: int = 0
    menvcfg: int = 0
    pmpaddr: list[int] = field(default_factory=lambda: [0] * 8)
    pmpcfg: list[int] = field(default_factory=lambda: [0] * 8)
    satp: int = 0
    mie: int = 0
    mstatus: int = 0                    # without MPP
    fcsr: int = 0
    floating: int = 2                   # f registers: 0 none, 1 single, 2 double precision
    timer: bool = True                  # whether there is stimecmp

    stateen: int | None = None          # mstateen0, if there is one
    mseccfg: int = 0

    def packed(self) -> bytes:
        symbols = frame()[1]
        stvec = self.virtual + symbols["supervisor_handler"] - BASE
        words = [
            *self.x, *self.f, symbols["machine_handler"], BASE + SAVE, stvec, self.virtual + SUPERVISOR_SAVE,
            self.medeleg, self.mideleg, self.counteren, self.counteren, self.menvcfg, *self.pmpaddr,
            int.from_bytes(bytes(self.pmpcfg), "little"), self.satp, self.virtual + CODE, self.mie,
            self.mstatus | self.mode << 11, self.floating, self.fcsr, self.timer,
            self.stateen is not None, self.stateen or 0, self.mseccfg,
        ]  # fmt: skip
        return struct.pack(f"<{len(words)}Q", *(word & U64 for word in words))


def build(parameters: Parameters, constants: bytes, code: bytes, data: bytes, tables: bytes = b"") -> Image:
    """The image of a whole program."""
    text, symbols = frame()
    assert len(text) <= TOHOST
    image = bytearray(SIZE)
    for offset, piece in (
        (0, text), (PARAMETERS, parameters.packed()), (CONSTANTS, constants), (CODE, code), (DATA, data),
        (TABLES, tables),
    ):  # fmt: skip
        image[offset : offset + len(piece)] = piece
    assert len(image) == SIZE
    return Image(bytes(image), {"tohost": BASE + TOHOST, "fromhost": BASE + TOHOST + 64, "finish": symbols["finish"]})
