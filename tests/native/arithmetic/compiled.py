"""Floating-point instructions as compiled code performs them: a guest that goes through operands in memory."""

import struct
from collections.abc import Sequence
from functools import cache

import vm
from tests.assembler import BASE
from vm_native.riscv.csrs import BY_NAME as CSRS
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import BY_NAME, encode

DYNAMIC = 7                         # rounding mode of an instruction: frm's
OPERANDS, RESULTS = BASE + 0x1000, BASE + 0x10_0000
READ, WRITTEN = 32, 16              # bytes of a case: its operands, its result and flags
MOST = (RESULTS - OPERANDS) // READ
FROM, TO, COUNT, FLAGS = 10, 11, 12, 13     # x registers
RD, SOURCES = 14, {"rs1": 15, "rs2": 16, "rs3": 17}     # x or f registers


@cache
def machine() -> vm.Machine:
    return vm.Machine(memory=4 << 20, engine="jit", settings=vm.Settings(hot=0))


def loop(name: str, rounding: int) -> list[int]:
    """Instructions that perform this one COUNT times, with flags that are clear before."""
    row = BY_NAME[name]
    is_float = {operand: field.startswith("f") for operand, (field, _) in row.registers.items()}
    named = {operand: RD if operand == "rd" else SOURCES[operand] for operand in row.registers}
    loads = [
        encode("fld" if is_float[operand] else "ld", rd=number, rs1=FROM, imm=8 * place)
        for place, (operand, number) in enumerate(SOURCES.items()) if operand in row.registers
    ]  # fmt: skip
    fflags = CSRS["fflags"].number
    body = [
        *loads,
        encode("csrrw", rd=0, csr=fflags, rs1=0),
        encode(name, **named, **({"rm": rounding} if row.rounds else {})),
        encode("csrrs", rd=FLAGS, rs1=0, csr=fflags),
        encode("fsd" if is_float["rd"] else "sd", rs2=RD, rs1=TO),
        encode("sd", rs2=FLAGS, rs1=TO, imm=8),
        encode("addi", rd=FROM, rs1=FROM, imm=READ),
        encode("addi", rd=TO, rs1=TO, imm=WRITTEN),
        encode("addi", rd=COUNT, rs1=COUNT, imm=-1),
    ]
    return [*body, encode("bne", rs1=COUNT, rs2=0, imm=-4 * len(body)), encode("jal", rd=0)]


def perform(name: str, rounding: int, frm: int, cases: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """The results and flags of an instruction with this rounding mode in itself, and that one in frm."""
    found: list[tuple[int, int]] = []
    hart, memory = machine().harts[0], machine().memory
    words = loop(name, rounding)
    memory.write(BASE, struct.pack(f"<{len(words)}I", *words))
    for start in range(0, len(cases), MOST):
        some = cases[start : start + MOST]
        memory.write(OPERANDS, b"".join(struct.pack("<4Q", *given, *[0] * (4 - len(given))) for given in some))
        hart.pc, hart.x[FROM], hart.x[TO], hart.x[COUNT] = BASE, OPERANDS, RESULTS, len(some)
        hart.csr["mstatus"], hart.csr["frm"] = mask("mstatus", "FS"), frm
        machine().run(instructions=len(some) * (len(words) - 1))
        assert hart.pc == BASE + 4 * (len(words) - 1)
        words_of = struct.unpack(f"<{2 * len(some)}Q", memory.read(RESULTS, WRITTEN * len(some)))
        found += zip(words_of[::2], words_of[1::2], strict=True)
    return found
