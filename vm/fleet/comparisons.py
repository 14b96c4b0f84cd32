"""What a guest compares its input with, read off a trace of its instructions: the other side is put into the input.

After the manner of "input-to-state correspondence" (Aschermann et al., REDQUEEN, NDSS 2019), without any
instrumentation: branches say which registers they compare, and the trace has what was written to them. So magic
numbers, lengths and check sums need not be guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

Pair = tuple[int, int]

X_COUNT = 32
U64 = (1 << 64) - 1
BRANCH, OP, OP_IMM, OP_IMM_32 = 0x63, 0x33, 0x13, 0x1B      # opcodes (unprivileged specification, table "RISC-V base
C1, C_BEQZ, C_BNEZ, C_ADDI, C_ADDIW, C_ALU = 1, 6, 7, 0, 1, 4   # opcode map"), and of compressed instructions
ADD, XOR, SLT, SLTU, SUB = 0, 4, 2, 3, 0x20                 # funct3; SUB is funct7
WIDTHS = (8, 4, 2, 1)                                       # bytes that a value may have in the input
MOST_PLACES = 4                                             # of a value in an input, that are tried
LEAST_DIGITS = 2                                            # of a value as decimal text


class Record(NamedTuple):
    """An instruction: its word, the register that it wrote, and what."""

    word: int
    register: int
    value: int


def pairs_of(records: Iterable[Record], registers: Sequence[int]) -> list[Pair]:
    """What branches compared that was not the same, in the order of the trace, each pair once.

    `registers` are x0 to x31 before the first record.
    """
    values = list(registers)
    found: dict[Pair, None] = {}
    origins: dict[int, Pair] = {}           # of registers that are zero, or not, as two others are the same
    for record in records:
        compared = branch_registers(record.word)
        if compared is not None:
            first, second = compared
            pair = values[first], values[second]
            if second == 0 and first in origins:
                pair = origins[first]
            if pair[0] != pair[1]:
                found[pair] = None
            continue
        origin = difference(record.word, values)
        register = record.register
        if 0 < register < X_COUNT:
            values[register] = record.value
            if origin is None:
                origins.pop(register, None)
            else:
                origins[register] = origin
    return list(found)


def branch_registers(word: int) -> tuple[int, int] | None:
    """Which a conditional branch compares; None for what is none."""
    if word & 0x7F == BRANCH:
        return word >> 15 & 31, word >> 20 & 31
    if word & 3 == C1 and word >> 13 & 7 in (C_BEQZ, C_BNEZ):
        return 8 + (word >> 7 & 7), 0
    return None


def difference(word: int, values: Sequence[int]) -> Pair | None:
    """Of an instruction whose result says whether two values are the same, or which is less: these."""
    opcode, funct3 = word & 0x7F, word >> 12 & 7
    if opcode in (OP_IMM, OP_IMM_32) and funct3 in (ADD, XOR, SLT, SLTU):
        immediate = (word >> 20 ^ 0x800) - 0x800
        if funct3 == ADD:
            immediate = -immediate
        return values[word >> 15 & 31], immediate & U64
    if opcode == OP and (funct3 in (XOR, SLT, SLTU) and word >> 25 == 0 or word >> 25 == SUB and funct3 == ADD):
        return values[word >> 15 & 31], values[word >> 20 & 31]
    if word & 3 == C1:
        return compressed_difference(word, values)
    return None


def compressed_difference(word: int, values: Sequence[int]) -> Pair | None:
    kind = word >> 13 & 7
    if kind in (C_ADDI, C_ADDIW):
        immediate = ((word >> 7 & 32 | word >> 2 & 31) ^ 32) - 32
        return values[word >> 7 & 31], -immediate & U64
    if kind == C_ALU and word >> 10 & 7 == 3 and word >> 5 & 3 in (0, 1):       # c.sub, c.xor
        return values[8 + (word >> 7 & 7)], values[8 + (word >> 2 & 7)]
    return None


def candidates(data: bytes, pairs: Iterable[Pair], longest: int, most: int) -> list[bytes]:
    """Inputs in which one side of a comparison stands where the other did, at most so many."""
    found: dict[bytes, None] = {}
    for first, second in pairs:
        for here, there in ((first, second), (second, first)):
            for changed in replaced(data, here, there):
                if changed != data and len(changed) <= longest:
                    found[changed] = None
                if len(found) >= most:
                    return list(found)
    return list(found)


def replaced(data: bytes, here: int, there: int) -> Iterator[bytes]:
    for width in WIDTHS:
        if not (fits(here, width) and fits(there, width)):
            continue
        if width > 1 and fits(here, width // 2) and fits(there, width // 2):
            continue                        # fewer bytes will do, wherever they are
        for order in ("little", "big") if width > 1 else ("little",):
            old = encoded(here, width, order)
            for wanted in (there, there + 1, there - 1):
                new = encoded(wanted, width, order)
                yield from put(data, old, new)
    if signed(here) >= 0 and len(text := str(here).encode()) >= LEAST_DIGITS:
        yield from put(data, text, str(signed(there)).encode())


def put(data: bytes, old: bytes, new: bytes) -> Iterator[bytes]:
    at = -1
    for _ in range(MOST_PLACES):
        at = data.find(old, at + 1)
        if at < 0:
            return
        yield data[:at] + new + data[at + len(old):]


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def fits(value: int, width: int) -> bool:
    """With or without a sign."""
    return -(1 << 8 * width - 1) <= signed(value) < 1 << 8 * width


def encoded(value: int, width: int, order: Any) -> bytes:
    return (value % (1 << 8 * width)).to_bytes(width, order)


def words_of(pairs: Iterable[Pair], data: bytes) -> list[bytes]:
    """Constants that an input was compared with, for a dictionary: those that are no small numbers."""
    words = []
    for first, second in pairs:
        for width in (4, 2):
            for here, there in ((first, second), (second, first)):
                small = fits(there, width // 2)
                if not small and fits(there, width) and encoded(here, width, "little") in data:
                    words += [encoded(there, width, "little"), encoded(there, width, "big")]
    return words
