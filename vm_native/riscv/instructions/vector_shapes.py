"""What the column `vector` of a row says: "SHAPE OPERATION"; and what rows of C that becomes for riscv/vector.

A shape is the function that runs the instruction, how wide the elements of its operands are, and what it demands of
them. Widths of d (vd), a (vs2) and b (vs1) are powers of two by which they differ from the selected width: 1 is twice
as wide. MASK is a group of bits, BY_16 one of 16 bits each. The operation is one of arithmetic/vector/table.py, unless
the shape has names of its own; loads and stores have the width of their elements in its place.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vm_native.arithmetic.vector.group_names import GROUP_OPERATIONS
from vm_native.arithmetic.vector.table import NUMBERS, OPERATIONS
from vm_native.riscv.instructions.row import ROWS, Row

MASK, BY_16 = 16, 17

# Flags of a shape or an operation, in the order of their bits
FLAGS = (
    "any_type",         # runs whatever vtype holds
    "resumes",          # may begin with an element that is not the first
    "float",            # is illegal without floating point, and with a rounding mode that there is none of
    "mask_operand",     # v0 is an operand and turns no element off
    "distinct",         # d overlaps no source
    "single",           # d and b are the first elements of registers
    "quiets",           # of a reduction: a NaN that stays alone becomes the default one
    "needs_v_for_64",   # elements of 64 bits are V's
    "only_64",
    "half_min",         # Zvfhmin is enough for elements of 16 bits
    "stores",
    "float_d", "float_a", "float_b", "signed_a", "signed_b",
)  # fmt: skip
# Where the second operand comes from, by what stands in the pattern; in the order of their numbers
SOURCES = ("none", "vector", "integer", "number", "signed", "unsigned", "unsigned6")

LOGIC = {"andn": 0b0100, "and": 0b1000, "or": 0b1110, "xor": 0b0110, "orn": 0b1101, "nand": 0b0111, "nor": 0b0001,
         "xnor": 0b1001}                # bit 2 * a + b is the result
UNTIL = {"before": 0b01, "only": 0b10, "including": 0b11}       # bit 0: elements before the first one; bit 1: it
WIDTHS = {"e8": 0, "e16": 1, "e32": 2, "e64": 3}
GROUPS = {name: number for number, name in enumerate(GROUP_OPERATIONS)}


class Shape(NamedTuple):
    run: str                # "module.name" of the function: there it is called run_name
    d: int = 0
    a: int = 0
    b: int = 0
    flags: Sequence[str] = ()
    names: Mapping[str, int] | None = None


SHAPES = {
    "set": Shape("settings.configure", flags=("any_type", "resumes")),
    "plain": Shape("execute.elements"),
    "wide": Shape("execute.elements", d=1),
    "wide.w": Shape("execute.elements", d=1, a=1),
    "narrow": Shape("execute.elements", a=1),
    "extend2": Shape("execute.elements", a=-1),
    "extend4": Shape("execute.elements", a=-2),
    "extend8": Shape("execute.elements", a=-3),
    "compare": Shape("execute.elements", d=MASK),
    "merge": Shape("execute.elements", flags=("mask_operand",)),
    "carry": Shape("execute.elements", d=MASK, flags=("mask_operand",)),
    "reduce": Shape("execute.reduction", flags=("single",)),
    "reduce.any": Shape("execute.reduction", flags=("single", "quiets")),
    "reduce.wide": Shape("execute.reduction", d=1, b=1, flags=("single",)),
    "reduce.any.wide": Shape("execute.reduction", d=1, b=1, flags=("single", "quiets")),
    "logic": Shape("permutations.logic", d=MASK, a=MASK, b=MASK, names=LOGIC),
    "count": Shape("permutations.count", a=MASK),
    "find": Shape("permutations.find", a=MASK),
    "until": Shape("permutations.until", d=MASK, a=MASK, flags=("distinct",), names=UNTIL),
    "iota": Shape("permutations.iota", a=MASK, flags=("distinct",)),
    "index": Shape("permutations.index"),
    "take": Shape("permutations.take", flags=("single",)),
    "take.float": Shape("permutations.take_float", flags=("single",)),
    "give": Shape("permutations.give", flags=("single",)),
    "up": Shape("permutations.slide_up", flags=("distinct",)),
    "down": Shape("permutations.slide_down"),
    "up.one": Shape("permutations.slide_up_one", flags=("distinct",)),
    "down.one": Shape("permutations.slide_down_one"),
    "gather": Shape("permutations.gather", flags=("distinct",)),
    "gather.16": Shape("permutations.gather", b=BY_16, flags=("distinct",)),
    "compress": Shape("permutations.compress", b=MASK, flags=("distinct",)),
    "whole": Shape("permutations.move_whole", flags=("single",)),
    "group": Shape("execute.group", names=GROUPS),
    "group.one": Shape("execute.group_by_one", names=GROUPS),
    "group.sha": Shape("execute.group_sha", flags=("distinct",), names=GROUPS),
    "group.sm3": Shape("execute.group_sm3", names=GROUPS),
}
for _direction in ("load", "store"):
    _stores = ("stores",) if _direction == "store" else ()
    for _shape in ("unit", "strided", "indexed", "mask", "whole", "first"):
        _flags = ("resumes", *_stores, *(("any_type",) if _shape == "whole" else ()))
        SHAPES[f"{_direction}.{_shape}"] = Shape(f"memory.access_{_shape}", flags=_flags, names=WIDTHS)

RUNS = tuple(dict.fromkeys(shape.run for shape in SHAPES.values()))
NEEDING_V = ("mulh", "mulhu", "mulhsu", "smul")
ONLY_64 = ("clmul", "clmulh")
HALF_MIN = ("fwcvt.f.f", "fncvt.f.f")

VECTOR_ROWS = [row for row in ROWS if row.vector]


def source_of(row: Row) -> str:
    """Where the second operand comes from."""
    if "vs1" in row.fields:
        return "vector"
    if "rs1" in row.registers:
        return "number" if row.registers["rs1"][0] == "frs1" else "integer"
    if row.pieces:
        return "signed" if row.sign_bit >= 0 else "unsigned6" if len(row.pieces) == 2 else "unsigned"
    return "none"


def columns(row: Row) -> dict[str, object]:
    """The row of C: run, source, operation, flags and widths."""
    shape_name, _, name = row.vector.partition(" ")
    shape = SHAPES[shape_name]
    flags = set(shape.flags)
    number = 0
    if shape.names is not None:
        number = shape.names[name]
    elif name:
        number = NUMBERS[name]
        operation = OPERATIONS[number]
        for operand in "dab":
            flags |= {f"float_{operand}", "float"} if operation.is_float(operand) else set()
        flags |= {f"signed_{operand}" for operand in "ab" if operation.kinds["dab".index(operand)] == "s"}
        flags |= {flag for flag, names in (("needs_v_for_64", NEEDING_V), ("only_64", ONLY_64), ("half_min", HALF_MIN))
                  if name in names}
    bits = sum(1 << FLAGS.index(flag) for flag in flags)
    return {"run": RUNS.index(shape.run), "source": SOURCES.index(source_of(row)), "operation": number,
            "flags": f"{bits:#x}", "d": shape.d, "a": shape.a, "b": shape.b}


def number_of(row: Row) -> int:
    """Of its row in C, from 1 on; 0 for what is no vector instruction."""
    return VECTOR_NUMBERS.get(row.name, 0)


VECTOR_NUMBERS = {row.name: number for number, row in enumerate(VECTOR_ROWS, 1)}
