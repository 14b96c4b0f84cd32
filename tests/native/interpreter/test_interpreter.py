"""Every integer instruction in both dispatch forms, against results computed here from the specification.

Unprivileged specification, chapters "RV32I", "RV64I", "M" and "C". Floating point is in arithmetic/test_floating.py.
"""

import random
from dataclasses import replace

import pytest

import vm
from tests.assembler import BASE
from vm.errors import ConfigurationError
from vm_native.interpreter.forms import forms

U64 = (1 << 64) - 1
EDGES = [0, 1, 2, 31, 32, 63, 0x7FF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 1 << 62, (1 << 63) - 1,
         1 << 63, (1 << 63) + 1, U64 - 1, U64]  # fmt: skip


def s64(value: int) -> int:
    value &= U64
    return value - (1 << 64) if value >> 63 else value


def s32(value: int) -> int:
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >> 31 else value


def divide(a: int, b: int, minimum: int) -> int:
    if b == 0:
        return -1
    if a == minimum and b == -1:
        return a
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int, minimum: int) -> int:
    if b == 0:
        return a
    return 0 if a == minimum and b == -1 else a - divide(a, b, minimum) * b


LOW = 0xFFFF_FFFF
MIN64, MIN32 = -(1 << 63), -(1 << 31)
REGISTERS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "sll": lambda a, b: a << (b & 63),
    "slt": lambda a, b: s64(a) < s64(b),
    "sltu": lambda a, b: a < b,
    "xor": lambda a, b: a ^ b,
    "srl": lambda a, b: a >> (b & 63),
    "sra": lambda a, b: s64(a) >> (b & 63),
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    "addw": lambda a, b: s32(a + b),
    "subw": lambda a, b: s32(a - b),
    "sllw": lambda a, b: s32(a << (b & 31)),
    "srlw": lambda a, b: s32((a & LOW) >> (b & 31)),
    "sraw": lambda a, b: s32(a) >> (b & 31),
    "mul": lambda a, b: a * b,
    "mulh": lambda a, b: s64(a) * s64(b) >> 64,
    "mulhsu": lambda a, b: s64(a) * b >> 64,
    "mulhu": lambda a, b: a * b >> 64,
    "div": lambda a, b: divide(s64(a), s64(b), MIN64),
    "divu": lambda a, b: a // b if b else U64,
    "rem": lambda a, b: remainder(s64(a), s64(b), MIN64),
    "remu": lambda a, b: a % b if b else a,
    "mulw": lambda a, b: s32(a * b),
    "divw": lambda a, b: divide(s32(a), s32(b), MIN32),
    "divuw": lambda a, b: s32((a & LOW) // (b & LOW)) if b & LOW else U64,
    "remw": lambda a, b: remainder(s32(a), s32(b), MIN32),
    "remuw": lambda a, b: s32((a & LOW) % (b & LOW)) if b & LOW else s32(a),
}
IMMEDIATES = {
    "addi": lambda a, i: a + i,
    "slti": lambda a, i: s64(a) < i,
    "sltiu": lambda a, i: a < i & U64,
    "xori": lambda a, i: a ^ i,
    "ori": lambda a, i: a | i,
    "andi": lambda a, i: a & i,
    "addiw": lambda a, i: s32(a + i),
}
SHIFTS = {
    "slli": (64, lambda a, n: a << n),
    "srli": (64, lambda a, n: a >> n),
    "srai": (64, lambda a, n: s64(a) >> n),
    "slliw": (32, lambda a, n: s32(a << n)),
    "srliw": (32, lambda a, n: s32((a & LOW) >> n)),
    "sraiw": (32, lambda a, n: s32(a) >> n),
}
BRANCHES = {
    "beq": lambda a, b: a == b,
    "bne": lambda a, b: a != b,
    "blt": lambda a, b: s64(a) < s64(b),
    "bge": lambda a, b: s64(a) >= s64(b),
    "bltu": lambda a, b: a < b,
    "bgeu": lambda a, b: a >= b,
}

ADDRESS = BASE + 0x1000
# What the definitions above would repeat rather than fix, in numbers of the manual: source, a0, a1 -> a2.
CORNERS = [
    # Chapter "M", table "Semantics for division by zero and division overflow".
    ("div    a2, a0, a1", 0x0000_0000_0000_0007, 0x0000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF),
    ("divu   a2, a0, a1", 0x0000_0000_0000_0007, 0x0000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF),
    ("rem    a2, a0, a1", 0x0000_0000_0000_0007, 0x0000_0000_0000_0000, 0x0000_0000_0000_0007),
    ("remu   a2, a0, a1", 0x8000_0000_0000_0007, 0x0000_0000_0000_0000, 0x8000_0000_0000_0007),
    ("div    a2, a0, a1", 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000),
    ("rem    a2, a0, a1", 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0x0000_0000_0000_0000),
    ("divu   a2, a0, a1", 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0x0000_0000_0000_0000),
    ("divw   a2, a0, a1", 0x0000_0000_0000_0007, 0x0000_0001_0000_0000, 0xFFFF_FFFF_FFFF_FFFF),
    ("divuw  a2, a0, a1", 0x0000_0000_0000_0007, 0x0000_0001_0000_0000, 0xFFFF_FFFF_FFFF_FFFF),
    ("remw   a2, a0, a1", 0x0000_0001_8000_0000, 0x0000_0000_0000_0000, 0xFFFF_FFFF_8000_0000),
    ("remuw  a2, a0, a1", 0x0000_0001_8000_0000, 0x0000_0000_0000_0000, 0xFFFF_FFFF_8000_0000),
    ("divw   a2, a0, a1", 0x0000_0000_8000_0000, 0x0000_0000_FFFF_FFFF, 0xFFFF_FFFF_8000_0000),
    ("remw   a2, a0, a1", 0x0000_0000_8000_0000, 0x0000_0000_FFFF_FFFF, 0x0000_0000_0000_0000),
    # The same chapter: quotients go towards zero, remainders have the sign of the dividend.
    ("div    a2, a0, a1", 0xFFFF_FFFF_FFFF_FFF9, 0x0000_0000_0000_0002, 0xFFFF_FFFF_FFFF_FFFD),
    ("rem    a2, a0, a1", 0xFFFF_FFFF_FFFF_FFF9, 0x0000_0000_0000_0002, 0xFFFF_FFFF_FFFF_FFFF),
    ("rem    a2, a0, a1", 0x0000_0000_0000_0007, 0xFFFF_FFFF_FFFF_FFFE, 0x0000_0000_0000_0001),
    ("divuw  a2, a0, a1", 0x0000_0000_FFFF_FFFF, 0x0000_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF),
    ("remuw  a2, a0, a1", 0x0000_0000_FFFF_FFFE, 0x0000_0000_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFE),
    # Upper halves of products: signed, signed by unsigned, unsigned.
    ("mulh   a2, a0, a1", 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0x0000_0000_0000_0000),
    ("mulhsu a2, a0, a1", 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF),
    ("mulhu  a2, a0, a1", 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFE),
    ("mulh   a2, a0, a1", 0x8000_0000_0000_0000, 0x8000_0000_0000_0000, 0x4000_0000_0000_0000),
    ("mulw   a2, a0, a1", 0x0000_0001_0001_0000, 0x0000_0000_0000_8000, 0xFFFF_FFFF_8000_0000),
    # Chapters "RV32I" and "RV64I": shifts take the low six bits of rs2, those of words the low five.
    ("sll    a2, a0, a1", 0x0000_0000_0000_0005, 0x0000_0000_0000_0040, 0x0000_0000_0000_0005),
    ("srl    a2, a0, a1", 0x8000_0000_0000_0000, 0x0000_0000_0000_0041, 0x4000_0000_0000_0000),
    ("sra    a2, a0, a1", 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF),
    ("sllw   a2, a0, a1", 0x0000_0000_0000_0005, 0x0000_0000_0000_0020, 0x0000_0000_0000_0005),
    ("srlw   a2, a0, a1", 0x0000_0001_8000_0000, 0x0000_0000_0000_0021, 0x0000_0000_4000_0000),
    ("sraw   a2, a0, a1", 0x0000_0000_8000_0000, 0x0000_0000_0000_003F, 0xFFFF_FFFF_FFFF_FFFF),
    # Chapter "RV64I": operations on words ignore the upper half, and extend the sign of the result.
    ("addw   a2, a0, a1", 0x0000_0000_7FFF_FFFF, 0x0000_0000_0000_0001, 0xFFFF_FFFF_8000_0000),
    ("addw   a2, a0, a1", 0xFFFF_FFFF_FFFF_FFFF, 0x0000_0000_0000_0001, 0x0000_0000_0000_0000),
    ("subw   a2, a0, a1", 0x0000_0000_8000_0000, 0x0000_0000_0000_0001, 0x0000_0000_7FFF_FFFF),
    ("addiw  a2, a0, 0",  0x1234_5678_8765_4321, 0x0000_0000_0000_0000, 0xFFFF_FFFF_8765_4321),
    ("sllw   a2, a0, a1", 0x0000_0000_0000_0001, 0x0000_0000_0000_001F, 0xFFFF_FFFF_8000_0000),
    ("srlw   a2, a0, a1", 0x0000_0000_8000_0000, 0x0000_0000_0000_0000, 0xFFFF_FFFF_8000_0000),
    ("slliw  a2, a0, 31", 0x0000_0000_0000_0001, 0x0000_0000_0000_0000, 0xFFFF_FFFF_8000_0000),
    ("srliw  a2, a0, 0",  0x0000_0000_8000_0000, 0x0000_0000_0000_0000, 0xFFFF_FFFF_8000_0000),
    ("sraiw  a2, a0, 31", 0x0000_0000_7FFF_FFFF, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000),
    # Chapter "RV32I": the immediate of sltiu is sign-extended, then unsigned; so sltiu 1 is seqz.
    ("sltiu  a2, a0, -1", 0xFFFF_FFFF_FFFF_FFFE, 0x0000_0000_0000_0000, 0x0000_0000_0000_0001),
    ("sltiu  a2, a0, -1", 0xFFFF_FFFF_FFFF_FFFF, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000),
    ("sltiu  a2, a0, 1",  0x0000_0000_0000_0000, 0x0000_0000_0000_0000, 0x0000_0000_0000_0001),
    ("slt    a2, a0, a1", 0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x0000_0000_0000_0001),
    ("sltu   a2, a0, a1", 0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x0000_0000_0000_0000),
    # Chapter "A": without a reservation a store-conditional fails, with code 1.
    ("sc.w   a2, a1, (a0)", ADDRESS,             0x0000_0000_0000_0007, 0x0000_0000_0000_0001),
    ("sc.d   a2, a1, (a0)", ADDRESS,             0x0000_0000_0000_0007, 0x0000_0000_0000_0001),
]  # fmt: skip


def operands() -> list[int]:
    choice = random.Random(1)
    return EDGES + [choice.getrandbits(64) for _ in range(4)]


@pytest.mark.parametrize("instruction", REGISTERS)
def test_register_instruction(instruction, guest, dispatch):
    g = guest(f".option norvc\n {instruction} a2, a0, a1\n wfi")
    for a in operands():
        for b in operands():
            g["a0"], g["a1"] = a, b
            g.hart.pc = BASE
            g.run(instructions=1)
            assert g["a2"] == int(REGISTERS[instruction](a, b)) & U64, (hex(a), hex(b))


@pytest.mark.parametrize("instruction", [*IMMEDIATES, *SHIFTS])
def test_immediate_instruction(instruction, guest, dispatch):
    if instruction in SHIFTS:
        width, meaning = SHIFTS[instruction]
        immediates = range(width)
    else:
        meaning, immediates = IMMEDIATES[instruction], [-2048, -2047, -1, 0, 1, 5, 1023, 2046, 2047]
    g = guest(".option norvc\n" + "".join(f"{instruction} a2, a0, {value}\n" for value in immediates) + " wfi")
    for a in operands():
        for number, value in enumerate(immediates):
            g["a0"] = a
            g.hart.pc = BASE + 4 * number
            g.run(instructions=1)
            assert g["a2"] == int(meaning(a, value)) & U64, (hex(a), value)


def test_corner_cases(guest, dispatch):
    g = guest(".option norvc\n" + "".join(f"{source}\n" for source, *_ in CORNERS) + " wfi")
    for number, (source, a, b, expected) in enumerate(CORNERS):
        g["a0"], g["a1"], g["a2"] = a, b, ~expected & U64
        g.hart.pc = BASE + 4 * number
        g.run(instructions=1)
        assert g["a2"] == expected, (source, hex(a), hex(b), hex(g["a2"]))


@pytest.mark.parametrize("instruction", BRANCHES)
def test_branch(instruction, guest, dispatch):
    g = guest(f".option norvc\n {instruction} a0, a1, taken\n wfi\n taken: wfi")
    for a in operands():
        for b in [a, *operands()]:
            g["a0"], g["a1"] = a, b
            g.hart.pc = BASE
            g.run(instructions=1)
            assert g.hart.pc == (g.address("taken") if BRANCHES[instruction](a, b) else BASE + 4), (hex(a), hex(b))


def test_upper_immediates(guest, dispatch):
    g = guest(".option norvc\n lui a0, 0x12345\n lui a1, 0x80000\n auipc a2, 0x12345\n auipc a3, 0x80000\n wfi")
    g.finish()
    assert (g["a0"], g["a1"]) == (0x1234_5000, 0xFFFF_FFFF_8000_0000)
    assert (g["a2"], g["a3"]) == (BASE + 8 + 0x1234_5000, (BASE + 12 - 0x8000_0000) & U64)


def test_jumps_link_to_the_next_instruction(guest, dispatch):
    g = guest("""
        .option norvc
        jal  a0, 1f
        wfi
    1:  la   t0, 2f
        .option rvc
        c.jalr t0
        wfi
        .option norvc
        .balign 4
    2:  la   t0, 3f + 1                 # bit 0 is dropped
        jalr t0, 0(t0)                  # the target is read before the link is written
        wfi
    3:  mv   a2, t0
        wfi
    """)
    g.finish()
    assert g["a0"] == BASE + 4
    assert g["ra"] == BASE + 8 + 8 + 2
    assert g["a2"] == g.hart.pc - 12


@pytest.mark.parametrize("source, pc, ra, t1", [
    ("auipc ra, 1; jalr ra, 16(ra)", 0x1010, 8, 0),
    ("auipc ra, 1; jalr ra, 17(ra)", 0x1010, 8, 0),                     # bit 0 is dropped
    ("auipc t1, 1; jr 16(t1)", 0x1010, 0, 0x1000),
    ("auipc t1, 1; jalr ra, 16(t1)", 0x1010, 8, 0x1000),
    ("auipc t1, 2; jalr t1, -2048(t1)", 0x1800, 0, 8),
    ("auipc t1, 1; jalr ra, 16(t2)", 0x5010, 8, 0x1000),                # not where that says
    ("auipc t1, 1; addi t1, t1, 32; jalr ra, 16(t1)", 0x1030, 12, 0x1020),
])  # fmt: skip
def test_calls_beyond_the_reach_of_jal(source, pc, ra, t1, guest, dispatch):
    """All as offsets from the start, where the registers point to before."""
    g = guest(f".option norvc\n {source}")
    g["ra"] = g["t1"] = BASE
    g["t2"] = BASE + 0x5000
    g.run(instructions=source.count(";") + 1)
    assert (g.hart.pc, g["ra"], g["t1"]) == (BASE + pc, BASE + ra, BASE + t1)


def test_jump_of_such_a_call_alone(guest, dispatch):
    """It goes where its register says, whatever stands before it."""
    g = guest(".option norvc\n auipc t1, 1; jalr ra, 16(t1)")
    g["t1"], g.hart.pc = BASE + 0x5000, BASE + 4
    g.run(instructions=1)
    assert g.hart.pc == BASE + 0x5010


def test_x0_stays_zero(guest, dispatch):
    g = guest("""
        .option norvc
        addi zero, zero, 5
        lui  zero, 1
        jal  zero, 1f
    1:  la   t0, data
        lw   zero, 0(t0)
        amoadd.w zero, t0, (t0)
        csrr zero, mhartid
        mul  zero, t0, t0
        mv   a0, zero
        add  a1, zero, zero
        wfi
        .balign 8
    data: .dword 7
    """)
    g.finish()
    assert (g["a0"], g["a1"], g["zero"]) == (0, 0, 0)


def test_compressed_instructions_do_what_they_expand_to(guest, dispatch):
    """One of each kind; the sum of what they leave is that of the long forms."""
    lines = """
        addi a0, a0, -3; addiw a0, a0, 7; li a1, -17; lui a2, 0x1f; srli a3, a3, 5; srai a4, a4, 33; andi a5, a5, -9
        sub s0, s0, a1; xor s1, s1, a2; or a3, a3, a4; and a4, a4, a5; subw a5, a5, s0; addw s0, s0, s1
        slli a0, a0, 40; mv a1, a2; add a2, a2, a3; addi sp, sp, -64; addi a3, sp, 16; addi sp, sp, 8
        sd a0, 8(sp); sw a1, 16(sp); ld a4, 8(sp); lw a5, 16(sp); sd a2, 24(a3); sw a4, 32(a3); ld s1, 24(a3)
        lw s0, 32(a3)
    """.replace(";", "\n")
    short, long = guest(f".option rvc\n{lines}\n wfi"), guest(f".option norvc\n{lines}\n wfi")
    for g in (short, long):
        for number in range(8, 16):
            g.hart.x[number] = 0x1234_5678_9ABC_DEF0 * number & U64
        g["sp"] = BASE + 0x10000
        g.finish()
    assert short.address("trap_m") < long.address("trap_m")
    assert list(short.hart.x)[2:] == list(long.hart.x)[2:]


def test_hints_change_nothing(guest, dispatch):
    g = guest(".option norvc\n slti zero, zero, 1\n fence\n fence.tso\n .word 0x0100000f\n lui zero, 5\n wfi")
    before = list(g.hart.x)
    g.finish()
    assert list(g.hart.x) == before and g["minstret"] == 6 and g["mcause"] == 0


def test_both_forms_take_the_same_path(guest):
    """A program that sorts, in both forms: registers, memory, steps."""
    source = """
        la   a0, data
        li   a1, 64
        li   t0, 12345
        mv   t1, a0
        mv   t2, a1
    1:  li   t3, 1103515245
        mul  t0, t0, t3
        addi t0, t0, 1234
        sd   t0, 0(t1)
        addi t1, t1, 8
        addi t2, t2, -1
        bnez t2, 1b
    2:  li   t4, 0
        mv   t1, a0
        addi t2, a1, -1
    3:  ld   t5, 0(t1)
        ld   t6, 8(t1)
        bleu t5, t6, 4f
        sd   t6, 0(t1)
        sd   t5, 8(t1)
        li   t4, 1
    4:  addi t1, t1, 8
        addi t2, t2, -1
        bnez t2, 3b
        bnez t4, 2b
        wfi
        .balign 8
    data:
        .zero 512
    """
    seen = []
    for form in forms():
        g = guest(source, settings=replace(vm.Settings.from_environment(), dispatch=form))
        g.finish()
        assert g.machine.stats()["dispatch"] == form
        words = [g.word(g.address("data") + 8 * number) for number in range(64)]
        assert words == sorted(words) and len(set(words)) == 64
        seen.append((list(g.hart.x), words, g.machine.steps, g["minstret"]))
    assert all(other == seen[0] for other in seen)


def test_form_that_is_not_built_is_refused(guest):
    with pytest.raises(ConfigurationError, match="sideways"):
        guest("wfi", settings=vm.Settings(dispatch="sideways"))
