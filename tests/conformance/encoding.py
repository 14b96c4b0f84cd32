"""Recognising instruction words by the rows of the ISA table, whose `encode` makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vm_native.riscv.instructions import BY_NAME, ROWS, Row, encode, immediate_of

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


def covers(row: Row, word: int) -> bool:
    """Whether a word is an instruction of this row."""
    if word & row.mask != row.match or row.nonzero and immediate_of(row, word) == 0:
        return False
    if 0 <= row.at_most < immediate_of(row, word):
        return False
    fields = register_fields(row)
    return not any(word >> fields[operand][2] & 31 in numbers for operand, numbers in row.excluded.items())


def slot_of(row: Row, word: int, operand: str) -> int:
    """The register of an operand, fixed ones too: 0 to 31 for x, 32 to 63 for f."""
    field, position = row.registers[operand]
    if field[1:].isdigit():
        return int(field[1:])
    number = word >> position & 7 | 8 if field.endswith("'") else word >> position & 31
    return number + 32 if field.startswith("f") else number


class Recogniser:
    """Finds the row of a word among those that a set of extensions turns on: the most specific first."""

    def __init__(self, extensions: Iterable[str]):
        on = set(extensions)
        self.rows = [row for row in ROWS if row.is_on(on)]
        self._buckets: dict[int, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: row.mask.bit_count(), reverse=True):
            free = ~row.mask & 0x7F if row.length == 4 else ~row.mask & 3
            for low in range(128):
                if low & ~free & 0x7F == row.match & 0x7F & ~free or row.length == 2 and low & 3 == row.match & 3:
                    self._buckets.setdefault(low, []).append(row)

    def row(self, word: int) -> Row | None:
        """The row, or None for an illegal instruction. A 16-bit instruction is looked up by its two bytes."""
        if word & 3 != 3:
            word &= 0xFFFF
        return next((row for row in self._buckets.get(word & 0x7F, ()) if covers(row, word)), None)
