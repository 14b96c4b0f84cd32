"""The instruction table against capstone's disassembler, and the decoder against the lists of reserved encodings.

Unprivileged specification: the opcode map and listings of chapter "RV32/64G Instruction Set Listings", and "RVC
Instruction Set Listings" of the chapter on C.
"""

import random
import re

import pytest

from tests.assembler import BASE
from vm_native.riscv.instructions import ROWS as ALL_ROWS
from vm_native.riscv.instructions import Row, immediate_of
from vm_native.riscv.instructions.recognise import covers

capstone = pytest.importorskip("capstone")

ILLEGAL = 2
# What capstone 5 knows.
KNOWN = {"I", "M", "Zmmul", "Zaamo", "Zalrsc", "F", "D", "Zca", "Zcd", "S", "Zicsr", "Zifencei"}
ROWS = [row for row in ALL_ROWS if set(row.extensions) <= KNOWN]
# Capstone knows neither the reserved fields of fences, which must be ignored, nor rounding modes of exact conversions.
FIXED = {"fence": 0x0FF0_000F, "fence.i": 0x0000_100F}
EXACT = ("fcvt.d.w", "fcvt.d.wu", "fcvt.d.s")


@pytest.fixture(scope="module")
def disassembler():
    return capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)


def field(word: int, row: Row, operand: str) -> int:
    """The number of a register, 0 to 31, that the row finds in the word."""
    name, shift = row.registers[operand]
    if name.startswith("x"):
        return int(name[1:])
    return 8 + (word >> shift & 7) if name.endswith("'") else word >> shift & 31


def belongs(word: int, row: Row) -> bool:
    """Whether the row is the one for the word: the most specific that matches."""
    fitting = [other for other in ROWS if other.length == row.length and covers(other, word)]
    return row in fitting and all(other.mask.bit_count() <= row.mask.bit_count() for other in fitting)


def encodings(row: Row, count: int = 40) -> list[int]:
    """Words of the row with random fields: no hints, which write x0 and which capstone does not name."""
    if row.name in FIXED:
        return [FIXED[row.name]]
    choice = random.Random(row.name)
    words = []
    while len(words) < count:
        word = row.match | choice.getrandbits(8 * row.length) & ~row.mask
        if row.rounds:
            rounding = 0 if row.name in EXACT else choice.choice((0, 1, 2, 3, 4, 7))
            word = word & ~0x7000 | rounding << 12
        hint = row.length == 2 and row.registers.get("rd", ("x0",))[0] == "rd" and field(word, row, "rd") == 0
        if belongs(word, row) and not hint:
            words.append(word)
    return words


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_has_the_mnemonic_of_capstone(row, disassembler):
    for word in encodings(row):
        instruction = next(disassembler.disasm(word.to_bytes(row.length, "little"), 0), None)
        assert instruction is not None, hex(word)
        name = instruction.insn_name().replace("_", ".")
        assert re.sub(r"\.(aq|rl|aqrl)$", "", name) == row.name, hex(word)


@pytest.mark.parametrize("row", [row for row in ROWS if row.pieces], ids=lambda row: row.name)
def test_row_has_the_immediate_of_capstone(row, disassembler):
    if row.name == "fence.i":
        pytest.skip("the field is reserved")
    for word in encodings(row):
        instruction = next(disassembler.disasm(word.to_bytes(row.length, "little"), 0))
        expected = immediate_of(row, word)
        if row.name in ("lui", "auipc", "c.lui"):
            expected = expected >> 12 & 0xFFFFF             # printed as the field
        numbers = [int(text, 0) for text in re.findall(r"(?<![\w])-?(?:0x[0-9a-f]+|\d+)", instruction.op_str)]
        assert numbers[-1:] == [expected] or not numbers and not expected, (hex(word), instruction.op_str)


NAMES = (
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6".split(),
    ("ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 "
     "fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11").split(),
)  # fmt: skip


@pytest.mark.parametrize("row", [row for row in ROWS if row.registers and row.name not in FIXED],
                         ids=lambda row: row.name)
def test_row_has_the_registers_of_capstone(row, disassembler):
    """Operands in the order rd, rs1, rs2, rs3, but rs2 first in stores and memory operands last."""
    for word in encodings(row):
        instruction = next(disassembler.disasm(word.to_bytes(row.length, "little"), 0))
        printed = {name for name in re.findall(r"\b[a-z]+\d*", instruction.op_str) if name in NAMES[0] + NAMES[1]}
        expected = {NAMES[row.registers[operand][0].startswith("f")][field(word, row, operand)]
                    for operand in row.registers}
        # Aliases leave out x0, and the link register of jumps and calls.
        assert expected - {"zero", "ra"} == printed - {"zero", "ra"}, (hex(word), instruction.op_str)


# --- Reserved encodings ----------------------------------------------------------------------------------------------

RESERVED = {
    "all ones": 0xFFFF_FFFF,
    "custom-0": 0x0000_000B,
    "custom-1": 0x0000_002B,
    "48-bit prefix": 0x0000_001F,
    "load, funct3 7": 0x0000_7003,
    "store, funct3 4": 0x0000_4023,
    "store, funct3 7": 0x0000_7023,
    "branch, funct3 2": 0x0000_2063,
    "branch, funct3 3": 0x0000_3063,
    "jalr, funct3 1": 0x0000_1067,
    "misc-mem, funct3 3": 0x0000_300F,
    "slli with bit 26": 0x0400_1013,
    "srai with bit 31": 0xC000_5013,
    "slliw with shamt 32": 0x0200_101B,
    "srliw with shamt 32": 0x0200_501B,
    "sraiw with shamt 32": 0x4200_501B,
    "op-imm-32, funct3 2": 0x0000_201B,
    "op, funct7 2": 0x0400_0033,
    "op, sub with funct3 1": 0x4000_1033,
    "op-32, funct3 2": 0x0000_203B,
    "op-32, mulhw": 0x0200_103B,
    "amo, width 0": 0x0000_002F,
    "amo, width 4": 0x0000_402F,
    "amo, funct5 5": 0x2800_202F,
    "lr.w with rs2": 0x1010_202F,
    "flh": 0x0000_1007,
    "flq": 0x0000_4007,
    "fadd.h": 0x0400_0053,
    "fadd.q": 0x0600_0053,
    "fmadd.h": 0x0400_0043,
    "fadd.s, rounding 5": 0x0000_5053,
    "fadd.d, rounding 6": 0x0200_6053,
    "fsqrt.s with rs2": 0x5810_0053,
    "fsgnj.s, funct3 3": 0x2000_3053,
    "fmin.s, funct3 2": 0x2800_2053,
    "feq.s, funct3 3": 0xA000_3053,
    "fcvt.w.s with rs2 4": 0xC040_0053,
    "fcvt.s.s": 0x4000_0053,
    "fclass.s, funct3 2": 0xE000_2053,
    "fmv.x.w with rs2": 0xE010_0053,
    "ecall with rd": 0x0000_00F3,
    "ecall with rs1": 0x0000_8073,
    "uret": 0x0020_0073,
    "dret": 0x7B20_0073,
    "mret with rd": 0x3020_00F3,
    "sfence.vma with rd": 0x1200_00F3,
    "system, funct3 4": 0x0000_4073,
    "csr that is not there": 0x5C00_2073,
    "write of a read-only csr": 0xF140_1073,
    "andn (Zbb)": 0x4000_7033,
    "sh1add (Zba)": 0x2000_2033,
    "vsetvli (V)": 0x0000_7057,
    "czero.eqz (Zicond)": 0x0E00_5033,
}  # fmt: skip


@pytest.mark.parametrize("word", RESERVED.values(), ids=RESERVED)
def test_reserved_encoding_is_illegal(word, guest):
    """Cause 2, tval the instruction, and no register changes."""
    g = guest("wfi")
    g.store(BASE + 0x1000, word, 4)
    g.hart.pc = BASE + 0x1000
    g["mstatus"] = 3 << 13                                  # FS: else all of floating point is illegal
    before = list(g.hart.x)
    assert g.trap() == (ILLEGAL, BASE + 0x1000, word)
    assert list(g.hart.x) == before


def is_reserved(half: int) -> bool:
    """RVC, tables "Instruction listing for RVC, Quadrant 0, 1, 2", RV64 columns with D; hints are not reserved."""
    quadrant, funct3, rd = half & 3, half >> 13, half >> 7 & 31
    bit12, low = half >> 12 & 1, half >> 2 & 31
    if quadrant == 0:
        return funct3 == 4 or funct3 == 0 and half >> 5 & 0xFF == 0
    if quadrant == 1:
        return (
            funct3 == 1 and rd == 0                         # c.addiw
            or funct3 == 3 and not bit12 and low == 0       # c.lui, c.addi16sp
            or funct3 == 4 and rd >> 3 == 3 and bit12 == 1 and low >> 3 >= 2
        )
    return funct3 in (2, 3) and rd == 0 or funct3 == 4 and not bit12 and rd == 0 and low == 0


def test_every_compressed_encoding_is_legal_or_reserved(guest):
    """All 49,152 of them, run one by one."""
    g = guest("wfi")
    g["mstatus"] = 3 << 13
    table = BASE + 0x10000
    halves = [half for half in range(1 << 16) if half & 3 != 3]
    g.memory.write(table, b"".join(half.to_bytes(2, "little") for half in halves))
    wrong = []
    for index, half in enumerate(halves):
        for number in range(1, 32):
            g.hart.x[number] = 0
        g.hart.pc = table + 2 * index
        g["mcause"] = 0
        g.run(instructions=1)
        if (g["mcause"] == ILLEGAL) != is_reserved(half):
            wrong.append(hex(half))
    assert not wrong


@pytest.mark.parametrize("isa, source", [
    ("rv64i", "mul a0, a0, a0"),
    ("rv64i", "amoadd.w a0, a0, (a0)"),
    ("rv64i", "fence.i"),
    ("rv64imac", "fadd.s fa0, fa0, fa0"),
    ("rv64imafc", "fadd.d fa0, fa0, fa0"),
    ("rv64imafc", "c.fld fa0, 0(a0)"),
    ("rv64imac", "rdcycle a0"),
    ("rv64imac", "frflags a0"),
    ("rv64imac", "csrr a0, stimecmp"),
])  # fmt: skip
def test_extension_that_is_not_there_is_illegal(isa, source, guest):
    g = guest(f".balign 4; {source}; .balign 4; wfi", isa=isa)
    g["mstatus"] = 3 << 13
    assert g.trap()[:2] == (ILLEGAL, BASE)


def test_jump_to_half_a_word_traps_at_the_jump_without_c(guest):
    """IALIGN is 32: instruction address misaligned, reported on the jump with the target as tval (chapter 2.5)."""
    g = guest(".option norvc; jal ra, 2f+2; 2: wfi", isa="rv64i")
    assert g.trap() == (0, BASE, BASE + 6)
    assert g["ra"] == 0


@pytest.mark.parametrize("source, traps", [
    ("beq zero, zero, . + 6", True), ("bne zero, zero, . + 6", False), ("jalr ra, 6(a0)", True),
    ("jalr ra, 5(a0)", False),
])  # fmt: skip
def test_branch_to_half_a_word_traps_only_when_taken(source, traps, guest):
    g = guest(f".option norvc; {source}; wfi", isa="rv64i")
    g["a0"] = BASE
    if traps:
        assert g.trap() == (0, BASE, BASE + 6)
    else:
        g.finish()
        assert g["mcause"] == 0 and g.hart.pc == BASE + 8
