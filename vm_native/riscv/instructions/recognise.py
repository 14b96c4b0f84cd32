"""Which instruction a word is, by the rows of the table: what `encode` does, the other way."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from vm_native.riscv.instructions.encode import immediate_of
from vm_native.riscv.instructions.row import ROWS, Row

LOW = 0x7F                  # bits that tell most rows apart
COMPRESSED = 0xFFFF


@cache
def ordered() -> tuple[Row, ...]:
    """The rows, the most specific first."""
    return tuple(sorted(ROWS, key=lambda row: row.mask.bit_count(), reverse=True))


def covers(row: Row, word: int) -> bool:
    """Whether a word is an instruction of this row."""
    if word & row.mask != row.match or row.nonzero and immediate_of(row, word) == 0:
        return False
    if 0 <= row.at_most < immediate_of(row, word):
        return False
    return not any(word >> row.registers[operand][1] & 31 in numbers for operand, numbers in row.excluded.items())


class Recogniser:
    """Finds the row of a word among those that a set of extensions turns on."""

    def __init__(self, extensions: Iterable[str]):
        on = set(extensions)
        self.rows = [row for row in ROWS if row.is_on(on)]
        self._buckets: dict[int, list[Row]] = {}
        for row in ordered():
            if not row.is_on(on):
                continue
            for low in range(LOW + 1):
                if (low ^ row.match) & row.mask & LOW == 0:
                    self._buckets.setdefault(low, []).append(row)

    def row(self, word: int) -> Row | None:
        """The row, or None for an illegal instruction. Of a 16-bit instruction only the two bytes count."""
        if word & 3 != 3:
            word &= COMPRESSED
        return next((row for row in self._buckets.get(word & LOW, ()) if covers(row, word)), None)
