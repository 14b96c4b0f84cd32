"""The instruction table as C, for the decoder: `sources` gives the text of decode_rows.pxi, setup.py writes it; and of
vector_rows.pxi, for what runs vector instructions, with the names of its numbers in vector_names.pxd.

What is known only at run time stands in a row as an index into a tuple of names: helpers, and operations of the
floating-point unit. Imported before anything is compiled.
"""

from collections.abc import Iterable, Iterator

from vm_native.ir.generate import as_text, indent
from vm_native.ir.semantics import Branch, Jump, JumpIndirect
from vm_native.ir.uops import UOPS, UopRow
from vm_native.riscv.instructions import FP_CONSTANT, NOTHING, PC_RELATIVE, ROWS, Row
from vm_native.riscv.instructions.vector_shapes import (
    BY_16,
    FLAGS,
    MASK,
    RUNS,
    SOURCES,
    VECTOR_ROWS,
    columns,
    number_of,
)

# What the decoder does for a uop of that meaning, and for the constant that a row asks for: names of RowKind in C.
ENDINGS = {Branch: "VM_KIND_BRANCH", Jump: "VM_KIND_JUMP", JumpIndirect: "VM_KIND_INDIRECT"}
CONSTANTS = {PC_RELATIVE: "VM_KIND_PC_RELATIVE", FP_CONSTANT: "VM_KIND_FP_CONSTANT"}
FORMATS = "sdh"             # of floating point, in the order of their codes
OPERANDS = ("rd", "rs1", "rs2", "rs3")
HEADER = "# Made by vm_native/riscv/instructions/generate.py."

OPCODES = {uop.name: number for number, uop in enumerate(UOPS)}
# The most specific row first: c.addi16sp before c.lui, c.ebreak before c.jalr.
ORDERED = sorted(ROWS, key=lambda row: row.mask.bit_count(), reverse=True)
HELPERS = tuple(sorted({row.helper for row in ROWS if row.helper}))
OPERATIONS = tuple(sorted({row.operation for row in ROWS if row.operation}))
EXTENSIONS = tuple(sorted({name for row in ROWS for word in row.extensions for name in word.split("|")}))


def sources() -> dict[str, str]:
    """Texts by file name."""
    assert len(EXTENSIONS) <= 64 and max(len(row.extensions) for row in ROWS) <= 2, "DecodeRow.needs is too small"
    lines = [HEADER, "cdef extern from *:", '    """']
    lines += indent(["static const struct vm_decode_row vm_decode_rows[] = {", *map(in_c, ORDERED), "};"])
    lines += ['    """', '    const DecodeRow[1] ALL_ROWS "vm_decode_rows"']
    lines += ["", f"cdef enum: ROW_COUNT = {len(ORDERED)}"]
    for name, values in {"HELPER_NAMES": HELPERS, "OPERATION_NAMES": OPERATIONS, "EXTENSIONS": EXTENSIONS}.items():
        lines += ["", f"{name} = (", *indent(f"{value!r}," for value in values), ")"]
    return {"decode_rows.pxi": as_text(lines)} | vector_sources()


def vector_sources() -> dict[str, str]:
    """Texts by file name."""
    rows = ["static const struct vm_vector_row vm_vector_rows[] = {", "    {0},",
            *indent(map(vector_in_c, VECTOR_ROWS)), "};"]
    functions = [run.split(".") for run in RUNS]
    lines = [HEADER, "from vm_native.riscv.vector.operands cimport Run"]
    for module in sorted({module for module, _ in functions} - {"execute"}):
        names = [f"run_{name}," for of, name in functions if of == module]
        lines += [f"from vm_native.riscv.vector.{module} cimport (", *indent(names), ")"]
    lines += ["", "cdef extern from *:", '    """', *indent(rows), '    """']
    lines += ['    const VectorRow[1] VECTOR_ROWS "vm_vector_rows"', "", f"cdef Run[{len(RUNS)}] runs", ""]
    lines += [f"runs[{number}] = run_{name}" for number, (_, name) in enumerate(functions)]
    enums = {"VectorRow.flags": {f"FLAG_{name.upper()}": 1 << bit for bit, name in enumerate(FLAGS)},
             "VectorRow.source": {f"SOURCE_{name.upper()}": number for number, name in enumerate(SOURCES)},
             "VectorRow.run": {f"RUN_{run.partition('.')[2].upper()}": number for number, run in enumerate(RUNS)},
             "widths of operands": {"WIDTH_MASK": MASK, "WIDTH_BY_16": BY_16}}
    names = [HEADER]
    for comment, values in enums.items():
        names += ["", f"cdef enum:              # {comment}"]
        names += [f"    {name} = {value:#x}" for name, value in values.items()]
    return {"vector_rows.pxi": as_text(lines), "vm_native/riscv/vector/names.pxd": as_text(names)}


def vector_in_c(row: Row) -> str:
    given = [f".{name} = {value}" for name, value in columns(row).items() if value not in (0, "0x0")]
    return f"/* {row.name} */ {braces(given) if given else '{0}'},"


def in_c(row: Row) -> str:
    columns = dict(encoding_of(row)) | dict(meaning_of(row))
    given = [f".{name} = {value}" for name, value in columns.items() if value not in (0, "{}")]     # the rest is 0
    return f"/* {row.name} */ {braces(given)},"


def encoding_of(row: Row) -> Iterator[tuple[str, object]]:
    yield "mask", f"{row.mask:#x}"
    yield "match", f"{row.match:#x}"
    yield "length", row.length
    yield "needs", braces(sum(1 << EXTENSIONS.index(name) for name in word.split("|")) for word in row.extensions)
    yield "piece_count", len(row.pieces)
    yield "pieces", braces(braces((piece.source, piece.target, (1 << piece.width) - 1)) for piece in row.pieces)
    yield "constant", row.constant
    yield "sign_bit", row.sign_bit
    yield "nonzero", int(row.nonzero)
    yield "at_most", row.at_most
    yield "registers", braces(register(*row.registers[name]) if name in row.registers else "{0}" for name in OPERANDS)
    if row.excluded:
        yield "excluded", braces(sum(1 << number for number in row.excluded.get(name, ())) for name in OPERANDS[:3])


def meaning_of(row: Row) -> Iterator[tuple[str, object]]:
    uop = UOPS[OPCODES[row.uop]] if row.uop not in ("", NOTHING) else None
    yield "kind", kind_of(row, uop)
    if uop is not None:
        yield "opcode", OPCODES[row.uop]
        yield "cells", uop.cells
        yield "droppable", int(uop.only_writes_rd and not row.uses_f)
    elif row.helper:
        yield "helper", HELPERS.index(row.helper)
        yield "exit_bits", row.exit_bits
        yield "vector", number_of(row)
    yield "uses_f", int(row.uses_f)
    yield "writes_f", int(row.writes_f)
    yield "rounds", int(row.rounds)
    yield "lossless", int(row.lossless)
    yield "opcode_rtz", OPCODES.get(f"{row.name}.rtz", -1)
    if row.wide == FP_CONSTANT:
        yield "operation", FORMATS.index(row.name.removeprefix("fli."))
    else:
        yield "operation", OPERATIONS.index(row.operation) if row.operation else -1
    yield "fused", int(bool(row.operation) and "rs3" in row.registers)


def kind_of(row: Row, uop: UopRow | None) -> str:
    if uop is not None:
        return ENDINGS.get(type(uop.meaning)) or CONSTANTS.get(row.wide, "VM_KIND_PLAIN")
    return "VM_KIND_HELPER" if row.helper else "VM_KIND_NOTHING"


def register(field: str, shift: int) -> str:
    """RegisterField: a field of the instruction, or a register that is fixed as "x2"."""
    if field.startswith("x"):
        return braces((1, shift, 0, int(field[1:])))
    short = field.endswith("'")
    first = ("VM_F0" if field.startswith("f") else "VM_X0") + (" + 8" if short else "")
    return braces((1, shift, 7 if short else 31, first))


def braces(values: Iterable[object]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"
