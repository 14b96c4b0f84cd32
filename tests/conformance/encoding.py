"""Words of instructions and their registers, by the rows of the ISA table."""

from __future__ import annotations

from collections.abc import Mapping

from vm_native.riscv.instructions import BY_NAME, ROWS, Row, encode

REGISTER_FIELDS = {
    row.name: {
        operand: (field.startswith("f"), field.endswith("'"), position)
        for operand, (field, position) in row.own_registers.items()
    }
    for row in ROWS
}


def register_fields(row: Row) -> dict[str, tuple[bool, bool, int]]:
    """Registers that the word names: operand -> (floating point, three-bit form, lowest bit)."""
    return REGISTER_FIELDS[row.name]


def immediate_bits(row: Row) -> int:
    """The bits that the immediate of a row can have."""
    return sum(((1 << piece.width) - 1) << piece.target for piece in row.pieces)


def encode_on(registers: Mapping[str, int], name: str, immediate: int = 0, **fields: int) -> int:
    """The word of an instruction on those of the registers that it has."""
    own = {operand: registers[operand] for operand in BY_NAME[name].own_registers}
    return encode(name, imm=immediate, **own, **fields)


def slot_of(row: Row, word: int, operand: str) -> int:
    """The register of an operand, fixed ones too: 0 to 31 for x, 32 to 63 for f."""
    field, position = row.registers[operand]
    if field[1:].isdigit():
        return int(field[1:])
    number = word >> position & 7 | 8 if field.endswith("'") else word >> position & 31
    return number + 32 if field.startswith("f") else number
