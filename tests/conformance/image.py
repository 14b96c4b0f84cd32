"""A guest program as a flat image at BASE with symbols, written as the smallest ELF that Spike and vm both load."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

BASE = 0x8000_0000
EHDR, PHDR, SHDR, SYM = 64, 56, 64, 24
EM_RISCV, EF_RVC, EF_DOUBLE = 243, 1, 4


class Image(NamedTuple):
    """`data` lies at BASE and is entered there. `symbols` has `tohost`, and `finish` where the program ends."""

    data: bytes
    symbols: Mapping[str, int]

    def elf(self) -> bytes:
        """One loadable segment and a symbol table."""
        names = b"\0"
        symbols = bytes(SYM)
        for name, address in self.symbols.items():
            symbols += struct.pack("<IBBHQQ", len(names), 0x10, 0, 0xFFF1, address, 0)
            names += name.encode() + b"\0"
        section_names = b"\0.symtab\0.strtab\0.shstrtab\0"
        data_at = EHDR + PHDR
        symbols_at = data_at + len(self.data) + -len(self.data) % 8
        names_at = symbols_at + len(symbols)
        section_names_at = names_at + len(names)
        headers_at = section_names_at + len(section_names)
        headers_at += -headers_at % 8
        ident = b"\x7fELF\x02\x01\x01" + bytes(9)
        header = ident + struct.pack(
            "<HHIQQQIHHHHHH", 2, EM_RISCV, 1, BASE, EHDR, headers_at, EF_RVC | EF_DOUBLE, EHDR, PHDR, 1, SHDR, 4, 3
        )
        program = struct.pack("<IIQQQQQQ", 1, 7, data_at, BASE, BASE, len(self.data), len(self.data), 0x1000)
        sections = bytes(SHDR)
        sections += struct.pack("<IIQQQQIIQQ", 1, 2, 0, 0, symbols_at, len(symbols), 2, 1, 8, SYM)
        sections += struct.pack("<IIQQQQIIQQ", 9, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
        sections += struct.pack("<IIQQQQIIQQ", 17, 3, 0, 0, section_names_at, len(section_names), 0, 0, 1, 0)
        body = (header + program + self.data).ljust(symbols_at, b"\0") + symbols + names + section_names
        return body.ljust(headers_at, b"\0") + sections
