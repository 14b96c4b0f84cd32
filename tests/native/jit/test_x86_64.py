"""The emitter, against capstone: every shape and opcode over the registers, addresses and constants it can have."""

from itertools import product
from random import Random

import capstone
import pytest

from vm_native.testing.assembler import (
    AS_EVEX,
    CONTROL_WORD,
    IN_ZEROES,
    LENGTHS,
    OPCODES,
    WIDTHS,
    WITH_CONSTANT,
    Assembler,
    by_mask,
)

GENERAL = {
    64: "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(),
    32: "eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d".split(),
    16: "ax cx dx bx sp bp si di r8w r9w r10w r11w r12w r13w r14w r15w".split(),
    8: "al cl dl bl spl bpl sil dil r8b r9b r10b r11b r12b r13b r14b r15b".split(),
}
XMM = [f"xmm{number}" for number in range(16)]
SIZES = {8: "byte", 16: "word", 32: "dword", 64: "qword", 128: "xmmword", 256: "ymmword", 512: "zmmword"}
ALL = range(16)
RSP, NO_INDEX = 4, -1
DISPLACEMENTS = (0, 1, -1, 127, -128, 128, -129, 0x7FFF_FFFF, -0x8000_0000)
CONSTANTS = (0, 1, -1, 127, -128, 128, -129, 0x7FFF_FFFF, -0x8000_0000)
INDICES = [NO_INDEX, *(number for number in ALL if number != RSP)]

# What an opcode is called; its operands in Intel's order, as roles: `reg`, `source` (VEX.vvvv), `rm`; their sizes, 0
# for that of the operation, "x" for xmm registers; and the size of the operand in memory, where one is used.
INTEGER = {
    **{name: (name, "reg rm", (0, 0), 0) for name in ("add", "or", "and", "sub", "xor", "cmp", "mov", "imul", "popcnt",
                                                      "tzcnt", "lzcnt")},
    **{name: (name, "rm reg", (0, 0), 0) for name in ("test", "xchg", "bts", "btr", "btc")},
    "mov to": ("mov", "rm reg", (0, 0), 0),
    "mov8 to": ("mov", "rm reg", (8, 8), 8),
    "add8 to": ("add", "rm reg", (8, 8), 8),
    "mov16 to": ("mov", "rm reg", (16, 16), 16),
    "movsxd": ("movsxd", "reg rm", (0, 32), 32),
    "movzx8": ("movzx", "reg rm", (0, 8), 8),
    "movzx16": ("movzx", "reg rm", (0, 16), 16),
    "movsx8": ("movsx", "reg rm", (0, 8), 8),
    "movsx16": ("movsx", "reg rm", (0, 16), 16),
    "cmovb": ("cmovb", "reg rm", (0, 0), 0),
}
ONLY_MEMORY = {
    "lea": ("lea", "reg rm", (0, 0), 0),
    "lock xadd": ("lock xadd", "rm reg", (0, 0), 0),
    "lock cmpxchg": ("lock cmpxchg", "rm reg", (0, 0), 0),
}
VECTOR = {
    "andn": ("andn", "reg source rm", (0, 0, 0), None),
    **{name: (name, "reg rm source", (0, 0, 0), None) for name in ("shlx", "sarx", "shrx")},
    **{name: (name, "reg source rm", "xxx", None) for name in OPCODES
       if name[-2:] in ("ss", "sd", "ps", "qb", "qd") and name[:4] not in ("vmov", "vcvt", "vuco", "vcom")},
    **{name: (name, "reg source rm", "xxx", None) for name in ("vcvtsd2ss", "vcvtss2sd", "vpunpcklbw", "vpaddusb",
                                                                "vpshufb", "vaesenc", "vaesenclast", "vaesdec",
                                                                "vaesdeclast")},
    **{name: (name, "reg rm", "xx", None) for name in ("vucomisd", "vcomisd", "vucomiss", "vcomiss", "vmovaps",
                                                      "vcvtph2ps", "vaesimc")},
    **{name: (name, "reg source rm", ("x", "x", 0), None) for name in ("vcvtsi2sd", "vcvtsi2ss")},
    **{name: (name, "reg rm", (0, "x"), None) for name in ("vcvttsd2si", "vcvttss2si", "vcvtsd2si",
                                                          "vcvtss2si")},
    "vmovq": ("vmovq", "reg rm", ("x", 0), None),
    "vmovq to": ("vmovq", "rm reg", (0, "x"), None),
}
FUSED = [name for name in OPCODES if name.startswith(("vfm", "vfn"))]
VECTOR |= {name: (name, "reg source rm", "xxx", None) for name in FUSED}
VECTOR_MEMORY = {
    "vmovsd": ("vmovsd", "reg rm", "xx", 64), "vmovss": ("vmovss", "reg rm", "xx", 32),
    "vmovsd to": ("vmovsd", "rm reg", "xx", 64), "vmovss to": ("vmovss", "rm reg", "xx", 32),
    "vmovups to": ("vmovups", "rm reg", "xx", 128),
}  # fmt: skip

assembler = Assembler()
DISASSEMBLER = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def read(code: bytes) -> str:
    """One instruction, all of the bytes."""
    found = list(DISASSEMBLER.disasm(code, 0))
    assert len(found) == 1 and found[0].size == len(code), code.hex()
    return f"{found[0].mnemonic} {found[0].op_str}".strip()


def number(value: int) -> str:
    """A number as capstone writes it: small ones in decimal."""
    return str(value) if -9 <= value <= 9 else f"{'-' if value < 0 else ''}{abs(value):#x}"


def split(code: bytes, bits: int) -> tuple[str, int]:
    """An instruction that ends in a constant: the text before, and the constant as a number of that many bits."""
    text, _, value = read(code).rpartition(", ")
    return text, int(value, 0) % 2**bits


def address(size: int | None, base: int, index: int, displacement: int, scale: int = 1) -> str:
    text = GENERAL[64][base]
    if index != NO_INDEX:
        text += f" + {GENERAL[64][index]}" + (f"*{scale}" if scale > 1 else "")
    if displacement:
        text += f" {'-' if displacement < 0 else '+'} {number(abs(displacement))}"
    return f"[{text}]" if size is None else f"{SIZES[size]} ptr [{text}]"


def register(size: int | str, default: int, which: int) -> str:
    return XMM[which] if size == "x" else GENERAL[size or default][which]


def expected(row, bits: int, memory: str | None = None, **registers: int) -> str:
    mnemonic, roles, sizes, _ = row
    operands = [
        memory if role == "rm" and memory is not None else register(size, bits, registers[role])
        for role, size in zip(roles.split(), sizes, strict=True)
    ]
    return f"{mnemonic} {', '.join(operands)}"


def addresses(seed: str, count: int):
    """Every base with every displacement, and `count` addresses at random."""
    random = Random(seed)
    yield from ((base, NO_INDEX, displacement) for base, displacement in product(ALL, DISPLACEMENTS))
    for _ in range(count):
        yield random.choice(ALL), random.choice(INDICES), random.choice(DISPLACEMENTS)


def test_every_opcode_is_tested_here():
    tested = INTEGER.keys() | ONLY_MEMORY.keys() | VECTOR.keys() | VECTOR_MEMORY.keys() | {"sete"}
    assert tested == OPCODES.keys()


@pytest.mark.parametrize("name", INTEGER)
def test_registers(name):
    for bits, reg, rm in product((32, 64), ALL, ALL):
        if not (bits == 64 and name in ("mov8 to", "add8 to", "mov16 to")):
            code = assembler.op(OPCODES[name], WIDTHS[bits], reg, rm)
            wanted = expected(INTEGER[name], bits, reg=reg, rm=rm)
            if name == "xchg":          # both orders are the same instruction
                wanted = {wanted, expected(("xchg", "reg rm", (0, 0), 0), bits, reg=reg, rm=rm)}
                assert read(code) in wanted
            else:
                assert read(code) == wanted


def test_set_on_condition():
    for rm in ALL:
        assert read(assembler.op(OPCODES["sete"], WIDTHS[32], 0, rm)) == f"sete {GENERAL[8][rm]}"


@pytest.mark.parametrize("name", INTEGER | ONLY_MEMORY)
def test_memory(name):
    row = (INTEGER | ONLY_MEMORY)[name]
    random = Random(name)
    for base, index, displacement in addresses(name, 200):
        bits = 32 if name in ("mov8 to", "add8 to", "mov16 to") else random.choice((32, 64))
        reg = random.choice(ALL)
        size = None if name == "lea" else row[3] or bits
        code = assembler.op_memory(OPCODES[name], WIDTHS[bits], reg, base, index, displacement)
        assert read(code) == expected(row, bits, address(size, base, index, displacement), reg=reg)


def test_op_indexed():
    for reg, base, index, shift in product((0, 7, 8, 15), ALL, INDICES[1:], range(4)):
        for displacement in (0, -128, 128):
            for bits in (32, 64):
                code = assembler.op_indexed(OPCODES["lea"], WIDTHS[bits], reg, base, index, shift, displacement)
                where = address(None, base, index, displacement, 1 << shift)
                assert read(code) == f"lea {GENERAL[bits][reg]}, {where}"


def vector_mnemonic(name: str, row, bits: int) -> str:
    if name in FUSED:
        return name + ("sd" if bits == 64 else "ss")
    return "vmovd" if row[0] == "vmovq" and bits == 32 else row[0]


@pytest.mark.parametrize("name", VECTOR)
def test_vector_registers(name):
    row = VECTOR[name]
    has_source = "source" in row[1]
    sizes = (32, 64) if 0 in tuple(row[2]) or name in FUSED else (32,)
    for bits, reg, source, rm in product(sizes, ALL, ALL if has_source else (0,), ALL):
        code = assembler.vex(OPCODES[name], WIDTHS[bits], reg, source, rm)
        named = (vector_mnemonic(name, row, bits), *row[1:])
        assert read(code) == expected(named, bits, reg=reg, source=source, rm=rm)


@pytest.mark.parametrize("name", VECTOR_MEMORY)
def test_vector_memory(name):
    row = VECTOR_MEMORY[name]
    random = Random(name)
    for base, index, displacement in addresses(name, 200):
        reg = random.choice(ALL)
        code = assembler.vex_memory(OPCODES[name], WIDTHS[32], reg, 0, base, index, displacement)
        assert read(code) == expected(row, 32, address(row[3], base, index, displacement), reg=reg)


@pytest.mark.parametrize("bits", LENGTHS)
@pytest.mark.parametrize("name", AS_EVEX)
def test_evex(name, bits):
    """With 32 registers of each length, masks, and memory."""
    random, prefix = Random(f"{name} {bits}"), {128: "xmm", 256: "ymm", 512: "zmm"}[bits]
    for base, index, displacement in addresses(name, 200):
        reg, source, rm = (random.randrange(32) for _ in range(3))
        mask = random.randrange(8)
        zeroing = mask and random.choice((0, IN_ZEROES))
        opcode = AS_EVEX[name] | LENGTHS[bits] | by_mask(mask) | zeroing
        turned_off = f" {{k{mask}}}" * (mask > 0) + " {z}" * (zeroing > 0)
        wanted = f"{name} {prefix}{reg}{turned_off}, {prefix}{source}, "
        assert read(assembler.vex(opcode, WIDTHS[32], reg, source, rm)) == f"{wanted}{prefix}{rm}"
        code = assembler.vex_memory(opcode, WIDTHS[32], reg, source, base, index, displacement)
        assert read(code) == wanted + address(bits, base, index, displacement)


# The same of those that a constant of one byte follows; it is part of the name, or stands behind the operands.
BY_CONSTANT = {
    "rorx": (("rorx", "reg rm", (0, 0), None), 9, ", 9"),
    "vpshufd": (("vpshufd", "reg rm", "xx", None), 0x55, ", 0x55"),
    "vcmpsd": (("vcmpgesd", "reg source rm", "xxx", None), 13, ""),
    "vroundss": (("vroundss", "reg source rm", "xxx", None), 9, ", 9"),
    "vroundsd": (("vroundsd", "reg source rm", "xxx", None), 9, ", 9"),
    "vpextrq": (("vpextrq", "rm reg", (0, "x"), None), 1, ", 1"),
    "vpinsrq": (("vpinsrq", "reg source rm", ("x", "x", 0), None), 1, ", 1"),
    "vcvtps2ph": (("vcvtps2ph", "rm reg", "xx", None), 4, ", 4"),
    "vpclmulqdq": (("vpclmulqdq", "reg source rm", "xxx", None), 0x11, ", 0x11"),
}


def test_every_opcode_with_a_constant_is_tested_here():
    assert BY_CONSTANT.keys() == WITH_CONSTANT.keys()


@pytest.mark.parametrize("name", BY_CONSTANT)
def test_constant_behind(name):
    row, value, text = BY_CONSTANT[name]
    sizes = (32, 64) if name == "rorx" else (64,)
    for bits, reg, source, rm in product(sizes, ALL, ALL if "source" in row[1] else (0,), ALL):
        width = WIDTHS[bits] if 0 in tuple(row[2]) else WIDTHS[32]          # of xmm registers alone, there is none
        code = assembler.vex_constant(WITH_CONSTANT[name], width, reg, source, rm, value)
        assert read(code) == expected(row, bits, reg=reg, source=source, rm=rm) + text


@pytest.mark.parametrize("name", CONTROL_WORD)
def test_control_word(name):
    for base, displacement in product(ALL, DISPLACEMENTS):
        where = address(32, base, NO_INDEX, displacement)
        assert read(assembler.move_control_word(CONTROL_WORD[name], base, displacement)) == f"{name} {where}"


OPERATIONS = {0: "add", 1: "or", 4: "and", 5: "sub", 6: "xor", 7: "cmp"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_constants(operation):
    name = OPERATIONS[operation]
    for bits, rm, value in product((32, 64), ALL, CONSTANTS):
        code = assembler.op_constant(operation, WIDTHS[bits], rm, value)
        assert split(code, bits) == (f"{name} {GENERAL[bits][rm]}", value % 2**bits)
    for bits, base, value, displacement in product((32, 64), ALL, CONSTANTS, (0, -128, 127, 128, -129)):
        code = assembler.op_constant_memory(operation, WIDTHS[bits], base, displacement, value)
        assert split(code, bits) == (f"{name} {address(bits, base, NO_INDEX, displacement)}", value % 2**bits)


def test_store_constant():
    for size, value in ((1, 0), (1, -1), (2, 0), (2, 0x1234), (4, 0), (4, -2), (8, 0), (8, -2), (8, 0x7FFF_FFFF)):
        for base, index, displacement in addresses("store", 50):
            code = assembler.store_constant(size, base, index, displacement, value)
            where = address(8 * size, base, index, displacement)
            assert split(code, 8 * size) == (f"mov {where}", value % 2 ** (8 * size))


SHIFTS = {0: "rol", 1: "ror", 4: "shl", 5: "shr", 7: "sar"}


def test_shifts():
    for (code, name), bits, rm in product(SHIFTS.items(), (32, 64), ALL):
        where = GENERAL[bits][rm]
        assert read(assembler.shift_cl(code, WIDTHS[bits], rm)) == f"{name} {where}, cl"
        for count in (0, 1, 9, 31, 63):
            assert read(assembler.shift_constant(code, WIDTHS[bits], rm, count)) == f"{name} {where}, {number(count)}"


def test_bits():
    for (code, name), bits, rm, bit in product({5: "bts", 6: "btr", 7: "btc"}.items(), (32, 64), ALL, (0, 31, 63)):
        wanted = f"{name} {GENERAL[bits][rm]}, {number(bit)}"
        assert read(assembler.bit_constant(code, WIDTHS[bits], rm, bit)) == wanted


def test_one_operand():
    names = {2: "not", 3: "neg", 4: "mul", 5: "imul", 6: "div", 7: "idiv"}
    for (code, name), bits, rm in product(names.items(), (32, 64), ALL):
        assert read(assembler.unary(code, WIDTHS[bits], rm)) == f"{name} {GENERAL[bits][rm]}"
    for rm in ALL:
        assert read(assembler.bswap(rm)) == f"bswap {GENERAL[64][rm]}"
        assert read(assembler.push(rm)) == f"push {GENERAL[64][rm]}"
        assert read(assembler.pop(rm)) == f"pop {GENERAL[64][rm]}"
        assert read(assembler.jump_register(rm)) == f"jmp {GENERAL[64][rm]}"
        assert read(assembler.call_register(rm)) == f"call {GENERAL[64][rm]}"
        for displacement in DISPLACEMENTS:
            wanted = f"jmp {address(64, rm, NO_INDEX, displacement)}"
            assert read(assembler.jump_memory(rm, displacement)) == wanted
    assert read(assembler.sign_into_rdx(WIDTHS[64])) == "cqo"
    assert read(assembler.sign_into_rdx(WIDTHS[32])) == "cdq"


VALUES = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, -1, -0x8000_0000, -0x8000_0001, 2**63 - 1,
          -(2**63))


def test_load_constant():
    """By the shortest form: 32 bits that are extended with zeros or with the sign, or all 64."""
    for reg, value in product(ALL, VALUES):
        code = assembler.load_constant(reg, value)
        text, found = split(code, 64)
        assert found == value % 2**64
        if 0 <= value < 2**32:
            assert text == f"mov {GENERAL[32][reg]}" and len(code) <= 6
        else:
            assert text in (f"mov {GENERAL[64][reg]}", f"movabs {GENERAL[64][reg]}")
            assert len(code) == (7 if -(2**31) <= value < 0 else 10)


CONDITIONS = {0: "jo", 2: "jb", 3: "jae", 4: "je", 5: "jne", 6: "jbe", 7: "ja", 8: "js", 10: "jp", 11: "jnp", 12: "jl",
              13: "jge"}


def test_jumps():
    for distance in (0, 6, 100, -100, 0x10_0000):
        for shape, name in (("jump", "jmp"), ("call", "call")):
            assert target_of(getattr(assembler, shape)(distance)) == (name, distance % 2**64)
        for condition, name in CONDITIONS.items():
            assert target_of(assembler.jump_if(condition, distance)) == (name, distance % 2**64)


def target_of(code: bytes) -> tuple[str, int]:
    name, target = read(code).split()
    return name, int(target, 0) % 2**64
