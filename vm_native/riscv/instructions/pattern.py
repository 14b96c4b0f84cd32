"""The encoding of an instruction as the manual prints it.

Patterns are written as in the manual, most significant bit first. Fields: `rd rs1 rs2 rs3` are x registers,
`frd frs1 frs2 frs3` f registers, with `'` the three-bit form of compressed instructions (x8-x15, f8-f15); `imm[...]`
is sign-extended, `uimm[...]` is not, with the bits named as the manual names them; the prefix `nz` demands a value
other than zero, `<=10` behind it one that is not larger. `rd!=0,2` excludes registers. `rm` is a rounding mode; `csr`,
`pred` and the like are read by helpers, and so are the vector registers `vd vs1 vs2 vs3` and the mask bit `vm`.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

BITS = re.compile(r"[01]+")
REGISTER = re.compile(r"(?P<field>f?r(?:d|s1|s2|s3))(?P<short>'?)(?:!=(?P<excluded>[\d,]+))?")
IMMEDIATE = re.compile(r"(?P<nonzero>nz)?(?P<unsigned>u?)imm\[(?P<ranges>[\d:|]+)\](?:<=(?P<most>\d+))?")
WIDTHS = {
    "rm": 3, "csr": 12, "zimm": 5, "aq": 1, "rl": 1, "fm": 4, "pred": 4, "succ": 4,
    "vd": 5, "vs1": 5, "vs2": 5, "vs3": 5, "vm": 1,
}  # fmt: skip


class Piece(NamedTuple):
    """Immediate bits [target, target + width) stand at instruction bits [source, source + width)."""

    source: int
    target: int
    width: int


def read_pattern(pattern: str) -> dict[str, Any]:
    """The columns of a row that its pattern gives."""
    tokens = list(place_tokens(pattern))
    bits = [(token, low) for token, low in tokens if BITS.fullmatch(token)]
    registers = [(found, low) for token, low in tokens if (found := REGISTER.fullmatch(token))]
    immediates = [(found, low) for token, low in tokens if (found := IMMEDIATE.fullmatch(token))]
    pieces = [piece for found, low in immediates for piece in place_ranges(found["ranges"], low)]
    signed = any(not found["unsigned"] for found, _ in immediates)
    return {
        "length": length_of(pattern),
        "mask": sum((1 << len(token)) - 1 << low for token, low in bits),
        "match": sum(int(token, 2) << low for token, low in bits),
        "registers": {operand_of(found): (found["field"] + found["short"], low) for found, low in registers},
        "excluded": {operand_of(found): tuple(map(int, found["excluded"].split(",")))
                     for found, _ in registers if found["excluded"]},
        "fields": {token: (low, WIDTHS[token]) for token, low in tokens if token in WIDTHS},
        "pieces": tuple(pieces),
        "sign_bit": max(piece.target + piece.width - 1 for piece in pieces) if signed else -1,
        "nonzero": any(found["nonzero"] for found, _ in immediates),
        "at_most": max((int(found["most"]) for found, _ in immediates if found["most"]), default=-1),
    }


def length_of(pattern: str) -> int:
    return 4 if pattern.endswith("11") else 2


def place_tokens(pattern: str) -> Iterator[tuple[str, int]]:
    """The words of a pattern, each with its lowest bit in the instruction."""
    low = 8 * length_of(pattern)
    for token in pattern.split():
        low -= width_of(token)
        yield token, low
    assert low == 0, f"{pattern}: does not fill the instruction"


def width_of(token: str) -> int:
    if BITS.fullmatch(token):
        return len(token)
    if found := REGISTER.fullmatch(token):
        return 3 if found["short"] else 5
    if found := IMMEDIATE.fullmatch(token):
        return sum(width for _, width in read_ranges(found["ranges"]))
    return WIDTHS[token]


def operand_of(register: re.Match[str]) -> str:
    return register["field"].removeprefix("f")


def read_ranges(ranges: str) -> Iterator[tuple[int, int]]:
    """(lowest bit, width) of each range in "10:5|11"."""
    for text in ranges.split("|"):
        high, _, low = text.partition(":")
        yield int(low or high), int(high) - int(low or high) + 1


def place_ranges(ranges: str, low: int) -> list[Piece]:
    """The pieces of immediate bits whose last one is bit `low` of the instruction."""
    pieces = []
    for target, width in reversed(list(read_ranges(ranges))):
        pieces.append(Piece(low, target, width))
        low += width
    return pieces[::-1]
