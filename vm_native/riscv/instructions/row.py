"""A row of the instruction table: how it is written, and what it says.

Patterns are written as in the manual, most significant bit first. Fields: `rd rs1 rs2 rs3` are x registers,
`frd frs1 frs2 frs3` f registers, with `'` the three-bit form of compressed instructions (x8-x15, f8-f15); `imm[...]`
is sign-extended, `uimm[...]` is not, with the bits named as the manual names them; the prefix `nz` demands a value
other than zero, `<=10` behind it one that is not larger. `rd!=0,2` excludes registers. `rm` is a rounding mode; `csr`,
`pred` and the like are read by helpers.

A row says what its instruction becomes:
    uop=        the uop of that name (by default the one called like the instruction, if there is none of the others)
    wide=       the uop `wide`; what its constant is: "pc + imm", or "fli(imm)" for the floating-point number of that code
    helper=     a function of the front end (helpers.pyx); `leaves` if the block ends there: True, or "rs1!=0" if it
                does so only where that field is not zero
    exact=      the exact path of the floating-point unit, as there is no uop
    expands=    for compressed instructions: the row it stands for, registers that differ, and a fixed immediate
    raises=     nothing more, but may raise floating-point flags; whatever has a rounding mode does anyway
An instruction with a rounding mode becomes its uop if that mode is to nearest, or towards zero and there is a uop of
the same name with `.rtz` behind it, and otherwise takes the exact path. The row's name tells that what to compute.
Extensions name what must be on: all of the words; of names joined by `|`, any one.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

PC_RELATIVE, FP_CONSTANT = "pc + imm", "fli(imm)"
EXACT_HELPER = "operate_fp"


class Piece(NamedTuple):
    """Immediate bits [target, target + width) stand at instruction bits [source, source + width)."""

    source: int
    target: int
    width: int


class Row(NamedTuple):
    name: str
    pattern: str
    extensions: tuple[str, ...]
    # What the pattern says.
    length: int                             # bytes
    mask: int
    match: int
    registers: dict[str, tuple[str, int]]   # operand -> (field as written, lowest bit), or ("x2", 0) for a fixed one
    excluded: dict[str, tuple[int, ...]]    # operand -> registers that this row does not cover
    fields: dict[str, tuple[int, int]]      # the others, as `rm` and `csr` -> (lowest bit, width)
    pieces: tuple[Piece, ...]
    sign_bit: int                           # of the immediate, or -1
    nonzero: bool
    at_most: int                            # the largest immediate that this row covers, or -1
    # What the instruction becomes: a uop or a helper.
    uop: str
    wide: str
    helper: str
    leave_bits: int                         # the block ends behind the helper if one of these bits is set
    operation: str                          # of the floating-point unit, where that may be needed
    raises: bool                            # floating-point flags
    constant: int = 0                       # the immediate of a row that has no pieces
    base: "Row | None" = None               # what a compressed instruction stands for

    @property
    def rounds(self) -> bool:
        """Whether it has a rounding mode field."""
        return "rm" in self.fields

    @property
    def own_registers(self) -> dict[str, tuple[str, int]]:
        """Those of `registers` that have a field: no fixed ones, and none that is another operand, too."""
        return {operand: place for operand, place in self.registers.items() if place[0].strip("f'") == operand}

    @property
    def uses_f(self) -> bool:
        """Whether it is illegal while mstatus.FS is Off."""
        return any(field.startswith("f") for field, _ in self.registers.values())

    @property
    def writes_f(self) -> bool:
        """Whether it makes mstatus.FS Dirty: flags are part of the floating-point state, too."""
        return "rd" in self.registers and self.registers["rd"][0].startswith("f") or self.raises

    def is_on(self, extensions: Collection[str]) -> bool:
        """Whether a hart with these extensions has the instruction."""
        return all(any(name in extensions for name in word.split("|")) for word in self.extensions)


ROWS: list[Row] = []
BY_NAME: dict[str, Row] = {}


def I(name: str, pattern: str, extensions: str, *, uop: str = "", wide: str = "", helper: str = "",
      leaves: bool | str = False, exact: bool = False, raises: bool = False, expands: str = "") -> None:
    """Add one instruction."""
    encoding = read_pattern(pattern)
    words = tuple(extensions.split())
    if expands:
        base, changes = read_expansion(expands, encoding)
        row = base._replace(name=name, pattern=pattern, extensions=words, base=base, **encoding | changes)
    else:
        assert wide in ("", PC_RELATIVE, FP_CONSTANT), f"{name}: no constant is {wide!r}"
        rounds = "rm" in encoding["fields"]
        row = Row(
            name, pattern, words, **encoding, wide=wide,
            uop="wide" if wide else uop or ("" if helper or exact else name),
            helper=EXACT_HELPER if exact else helper, leave_bits=read_leaves(leaves, encoding),
            operation=name if rounds or exact or wide == FP_CONSTANT else "", raises=raises or rounds,
        )
    ROWS.append(row)
    BY_NAME[name] = row


# --- Reading patterns ------------------------------------------------------------------------------------------------

BITS = re.compile(r"[01]+")
REGISTER = re.compile(r"(?P<field>f?r(?:d|s1|s2|s3))(?P<short>'?)(?:!=(?P<excluded>[\d,]+))?")
IMMEDIATE = re.compile(r"(?P<nonzero>nz)?(?P<unsigned>u?)imm\[(?P<ranges>[\d:|]+)\](?:<=(?P<most>\d+))?")
WIDTHS = {"rm": 3, "csr": 12, "zimm": 5, "aq": 1, "rl": 1, "fm": 4, "pred": 4, "succ": 4}


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


def read_leaves(leaves: bool | str, encoding: dict[str, Any]) -> int:
    """The bits of the instruction of which one must be set. No instruction is all zeroes."""
    if isinstance(leaves, bool):
        return 0xFFFF_FFFF if leaves else 0
    field = leaves.removesuffix("!=0")
    if field in encoding["fields"]:
        low, width = encoding["fields"][field]
    else:
        low, width = encoding["registers"][field][1], 5
    return (1 << width) - 1 << low


def read_expansion(expands: str, encoding: dict[str, Any]) -> tuple[Row, dict[str, Any]]:
    """The row that an instruction stands for, and the columns that differ from the base's and the pattern's."""
    name, *changes = expands.split()
    fixed = dict(change.split("=") for change in changes)
    constant = int(fixed.pop("imm", 0))
    named = encoding["registers"]
    registers = {operand: named.get(source, (source, 0)) for operand, source in fixed.items()}
    return BY_NAME[name], {"constant": constant, "registers": named | registers}
