"""A row of the instruction table: how it is written, and what it says.

Behind its name stands the encoding (pattern.py explains how), then the extensions that must be on: all of the words;
of names joined by `|`, any one. The rest says what the instruction becomes:
    uop=        the uop of that name (by default the one called like the instruction, if there is none of the others);
                "nothing" for what only takes a step
    wide=       the uop `wide`; what its constant is: "pc + imm", or "fli(imm)", the constant of Zfa of that number
    helper=     a function of the front end (helpers.pyx); `exits` if the block ends there: True, or "rs1!=0" if it
                does so only where that field is not zero
    expands=    for compressed instructions: the row it stands for, registers that differ, and a fixed immediate
    raises=     nothing more, but may raise floating-point flags; whatever has a rounding mode does anyway
    lossless=   every result is exact, so that the rounding mode that it has is nothing to it
    vector=     a vector instruction: its shape and operation, as vector_shapes.py says. It calls the helper `vector`
An instruction with a rounding mode becomes its uop if that mode is the one that the host is in, or towards zero and
there is a uop of the same name with `.rtz` behind it, and otherwise takes the exact path. The row's name tells that
what to compute.
What is a branch or a jump, and what may be left out if it writes x0, follows from the meaning of the uop.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from vm_native.riscv.instructions.pattern import Piece, read_pattern

PC_RELATIVE, FP_CONSTANT = "pc + imm", "fli(imm)"
NOTHING = "nothing"


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
    exit_bits: int                         # the block ends behind the helper if one of these bits is set
    operation: str                          # of the floating-point unit, where that may be needed
    raises: bool                            # floating-point flags
    lossless: bool                          # whatever the rounding mode
    vector: str
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
      exits: bool | str = False, raises: bool = False, lossless: bool = False,
      expands: str = "", vector: str = "") -> None:
    """Add one instruction."""
    encoding = read_pattern(pattern)
    words = tuple(extensions.split())
    if expands:
        base, changes = read_expansion(expands, encoding)
        row = base._replace(name=name, pattern=pattern, extensions=words, base=base, **encoding | changes)
    else:
        assert wide in ("", PC_RELATIVE, FP_CONSTANT), f"{name}: no constant is {wide!r}"
        rounds = "rm" in encoding["fields"]
        helper = "vector" if vector else helper
        row = Row(
            name, pattern, words, **encoding, wide=wide,
            uop="wide" if wide else uop or ("" if helper else name),
            helper=helper, exit_bits=read_exits(exits, encoding),
            operation=name if rounds else "", raises=raises or rounds,
            lossless=lossless, vector=vector,
        )
    ROWS.append(row)
    BY_NAME[name] = row


def read_exits(exits: bool | str, encoding: dict[str, Any]) -> int:
    """The bits of the instruction of which one must be set. No instruction is all zeroes."""
    if isinstance(exits, bool):
        return 0xFFFF_FFFF if exits else 0
    field = exits.removesuffix("!=0")
    low: int
    width: int
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
