"""Building and recognising instruction words from the rows of the ISA table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vm_native.riscv.instructions import ROWS, Row

REGISTER_FIELDS = {
    row.name: {
        operand: (field.startswith("f"), field.endswith("'"), position)
        for operand, (field, position) in row.own_registers.items()
    }
    for row in ROWS
}


def other_fields(row: Row) -> dict[str, tuple[int, int]]:
    """Fields that are neither registers nor immediates (`rm`, `csr`, `aq`...): name -> (lowest bit, width)."""
    return row.fields


def register_fields(row: Row) -> dict[str, tuple[bool, bool, int]]:
    """Registers that the word names: operand -> (floating point, three-bit form, lowest bit)."""
    return REGISTER_FIELDS[row.name]


def immediate_bits(row: Row) -> int:
    """The bits that the immediate of a row can have."""
    return sum(((1 << piece.width) - 1) << piece.target for piece in row.pieces)


def encode(row: Row, registers: Mapping[str, int], immediate: int = 0, **others: int) -> int:
    """The word of an instruction; register numbers are those of the manual (x8 to x15 for three-bit forms)."""
    word = row.match
    for operand, (_, short, position) in register_fields(row).items():
        word |= (registers[operand] & (7 if short else 31)) << position
    for piece in row.pieces:
        word |= (immediate >> piece.target & ((1 << piece.width) - 1)) << piece.source
    for name, (position, width) in other_fields(row).items():
        word |= (others[name] & ((1 << width) - 1)) << position
    return word


def immediate_of(row: Row, word: int) -> int:
    """The immediate that a word holds, sign-extended where the row says so."""
    value = sum((word >> piece.source & ((1 << piece.width) - 1)) << piece.target for piece in row.pieces)
    return value - (value >> row.sign_bit << row.sign_bit + 1) if row.sign_bit >= 0 else value


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
