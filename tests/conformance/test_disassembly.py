"""The instruction table beside capstone, for extensions that both know: name, registers in their order, immediate.

`vm disasm` prints by capstone; this is about the rows that the decoder goes by, encoded as they say. The operands are
chosen so that capstone has no other name for the instruction: no x0, no register twice.
"""

from __future__ import annotations

from random import Random

import capstone
import pytest

from tests.conformance.encoding import immediate_bits, register_fields, slot_of
from tests.conformance.generator import kind_of
from vm_native.riscv.instructions import ROWS, Row, encode, immediate_of

KNOWN = {"I", "M", "A", "F", "D", "Zca", "Zcd", "Zicsr", "Zifencei", "S"}
WORDS = 50                              # of each row
ORDERS = ("", ".aq", ".rl", ".aqrl")
X_NAMES = (
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
).split()
F_NAMES = (
    "ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10"
    " fs11 ft8 ft9 ft10 ft11"
).split()
EXACT = ("fcvt.d.w", "fcvt.d.wu", "fcvt.d.s")           # capstone wants rounding mode 0 where nothing is rounded
FENCES = ("fence", "fence.i")           # capstone has them with reserved fields 0 only
UPPER = ("lui", "auipc", "c.lui")       # whose immediate is written without its twelve zeroes

DISASSEMBLER = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)
DISASSEMBLER.detail = True


def word_of(row: Row, random: Random) -> int:
    fields = register_fields(row)
    short = iter(random.sample(range(8, 16), 8))
    whole = iter(random.sample(range(5, 32), 4))
    registers = {operand: next(short if is_short else whole) for operand, (_, is_short, _) in fields.items()}
    bits = immediate_bits(row)
    immediate = immediate_of(row, random.getrandbits(32)) or bits & -bits
    others = {name: random.getrandbits(width) for name, (_, width) in row.fields.items()}
    if "rm" in others:
        others["rm"] = random.choice((0, 1, 2, 3, 4, 7)) if row.name not in EXACT else 0
    if "csr" in others:
        others["csr"] = 0x340           # no CSR with an instruction of its own
    return encode(row.name, imm=immediate, **registers, **others)


def expected(row: Row, word: int) -> tuple[list[str], int | None]:
    """Registers as the manual writes the operands, and the immediate."""
    order = ["rd", "rs1", "rs2", "rs3"]
    if kind_of(row) == "memory":
        order = ["rd", "rs2", "rs1"]
    slots: list[tuple[int, int]] = []
    for operand in order:
        if operand in row.registers:
            field, position = row.registers[operand]
            if not field[1:].isdigit() or field == "x2":
                slots.append((slot_of(row, word, operand), position))
    names = [(X_NAMES + F_NAMES)[slot] for slot, _ in dict.fromkeys(slots)]
    if not row.pieces:
        return names, None
    immediate = immediate_of(row, word)
    return names, immediate >> 12 & 0xFFFFF if row.name in UPPER else immediate


def found(instruction: capstone.CsInsn) -> tuple[list[str], int | None]:
    names, immediate = [], None
    for operand in instruction.operands:
        if operand.type == capstone.CS_OP_IMM:
            immediate = operand.imm
        else:
            is_memory = operand.type == capstone.riscv.RISCV_OP_MEM
            names.append(instruction.reg_name(operand.mem.base if is_memory else operand.reg))
            immediate = operand.mem.disp if is_memory else immediate
    return names, immediate


COMPARED = [row for row in ROWS if set(row.extensions) <= KNOWN and row.name not in FENCES]


@pytest.mark.parametrize("row", COMPARED, ids=lambda row: row.name)
def test_row_is_what_capstone_reads(row):
    random = Random(row.name)
    for _ in range(WORDS):
        word = word_of(row, random)
        instruction = next(DISASSEMBLER.disasm(word.to_bytes(row.length, "little"), 0, 1), None)
        assert instruction is not None, f"{word:#x}"
        text = f"{word:#x} {instruction.mnemonic} {instruction.op_str}"
        assert instruction.mnemonic in [row.name + order for order in ORDERS], text
        names, immediate = found(instruction)
        wanted, number = expected(row, word)
        assert names == wanted, text
        if number is not None:
            assert immediate == number, text
