"""`encode` beside clang's assembler: every row, with registers, immediates and other fields of all values."""

import io
from collections.abc import Iterator
from random import Random

import pytest
from elftools.elf.elffile import ELFFile

from tests.assembler import assemble_elf
from tests.conformance.encoding import immediate_bits
from tests.conformance.rules import UNKNOWN
from tests.native.riscv.single import immediates
from vm_native.arithmetic.vector.table import NUMBERS, OPERATIONS
from vm_native.riscv.instructions import BY_NAME, ROWS, Row, encode, immediate_of

WORDS = 20                              # of each row; one with few immediates has all of them
ARCH = (
    "zicond zimop zicbom zicboz zawrs zacas zabha zba zbb zbc zbs zbkb zbkx zkne zknd zknh zksed zksh zfh zfa h svinval"
    " v zvfh zvbb zvbc zvkg zvkned zvknhb zvksed zvksh"
).split()
EXPERIMENTS = {"Zicfiss"}               # to clang: test_integrity.py has the manual's encodings
COMPRESSED_ARCH = ("zcb", "zcmop")
LOADS, STORES, ATOMICS, PLAIN = (0x03, 0x07), (0x23, 0x27), 0x2F, ("cbo.", "hlv", "hsv")     # opcodes, and names
ROUNDING = {0: "rne", 1: "rtz", 2: "rdn", 3: "rup", 4: "rmm", 7: "dyn"}
SHIFTED = ("lui", "auipc", "c.lui")     # whose immediate is written without its twelve zeroes
# Unprivileged specification, chapter "Zfa": what fli loads.
CONSTANTS = (
    "-1.0 min 0x1p-16 0x1p-15 0x1p-8 0x1p-7 0.0625 0.125 0.25 0.3125 0.375 0.4375 0.5 0.625 0.75 0.875 1.0 1.25 1.5"
    " 1.75 2.0 2.5 3.0 4.0 8.0 16.0 128.0 256.0 32768.0 65536.0 inf nan"
).split()


def random_operands(row: Row, random: Random) -> dict[str, int]:
    """No x0, which makes many a compressed instruction a hint; an immediate of 0 likewise."""
    chosen = vector_registers(row, random) if row.vector else {}
    for operand, (field, _) in row.own_registers.items():
        numbers = range(8, 16) if field.endswith("'") else range(2, 32, 2) if row.name == "amocas.q" else range(1, 32)
        chosen[operand] = random.choice([number for number in numbers if number not in row.excluded.get(operand, ())])
    for name, (_, width) in row.fields.items():
        if name not in chosen:
            chosen[name] = random.choice(list(ROUNDING)) if name == "rm" else random.getrandbits(width)
    return chosen


def vector_registers(row: Row, random: Random) -> dict[str, int]:
    """Those that do not overlap, of which the assembler complains."""
    step = 8 if "whole" in row.vector else 1
    places = {"vd": 8, "vs3": 8, "vs2": 16, "vs1": 24}
    return {name: first + random.randrange(0, 8, step) for name, first in places.items() if name in row.fields}


def in_vector_assembly(row: Row, operands: dict[str, int]) -> str:
    """Destination, vs2, then the other source; or, where the destination is one as well, vs2 last."""
    shape, _, operation = row.vector.partition(" ")
    vectors = {name: f"v{operands[name]}" for name in ("vd", "vs1", "vs2", "vs3") if name in operands}
    names = {operand: register(row, operand, operands) for operand in row.own_registers}
    others = [vectors.get("vs1") or names.get("rs1"), str(operands["imm"]) if "imm" in operands else None]
    if shape == "set":
        others = [names.get("rs1") or str(operands["zimm"]), names.get("rs2"), *others[1:]]
    if shape.startswith(("load", "store")):
        others, first = [f"({names['rs1']})", vectors.get("vs2") or names.get("rs2")], []
    else:
        first = [vectors.get("vs2")]
    if operation in NUMBERS and OPERATIONS[NUMBERS[operation]].reads_destination:
        first, others = others, first
    target = vectors.get("vd") or vectors.get("vs3") or names["rd"]
    takes_mask = row.name.endswith("m") and shape in ("merge", "carry")
    mask = "v0.t" if operands.get("vm") == 0 else "v0" if takes_mask else None
    return f"{row.name} " + ", ".join(filter(None, (target, *first, *others, mask)))


def cases(row: Row, random: Random) -> Iterator[dict[str, int]]:
    bits = immediate_bits(row)
    if row.name == "fence":             # an assembler has no others; 8 is fence.tso
        yield from ({"fm": 0, "pred": pred, "succ": 15 - pred, "rd": 0, "rs1": 0} for pred in range(1, 15))
    elif row.name == "fence.i":
        yield {"rd": 0, "rs1": 0}
    elif row.pieces and row.sign_bit < 0 and bits.bit_count() <= 6:
        yield from (random_operands(row, random) | {"imm": imm} for imm in immediates(row) if imm or row.length == 4)
    else:
        for _ in range(WORDS):
            imm = immediate_of(row, random.getrandbits(32)) or bits & -bits
            yield random_operands(row, random) | ({"imm": imm} if row.pieces else {})


def order_of(row: Row, operands: dict[str, int]) -> str:
    """The suffix of an atomic instruction."""
    order = "aq" * operands.get("aq", 0) + "rl" * operands.get("rl", 0)
    return f".{order}" if order else ""


def register(row: Row, operand: str, operands: dict[str, int]) -> str:
    """A register by its name, fixed ones too."""
    field, _ = row.registers[operand]
    if field[1:].isdigit():
        return field
    return f"{'f' if field.startswith('f') else 'x'}{operands[operand]}"


def written(row: Row, operands: dict[str, int]) -> str:
    """The instruction in assembly language."""
    if row.vector:
        return in_vector_assembly(row, operands)
    opcode = (row.base or row).match & 0x7F
    shown = {operand for operand, (field, _) in row.registers.items() if field == "x2" or operand in row.own_registers}
    names = {operand: register(row, operand, operands) for operand in shown}
    imm = operands.get("imm")
    if row.name == "fence":
        return "fence " + ", ".join("".join(letter for bit, letter in zip((8, 4, 2, 1), "iorw", strict=True)
                                            if operands[field] & bit) for field in ("pred", "succ"))
    if row.name == "fence.i" or not names:
        return f"{row.name} {'' if imm is None else imm}"
    if opcode in LOADS + STORES and row.pieces:
        parts = [names["rd" if opcode in LOADS else "rs2"], f"{imm}({names['rs1']})"]
    elif row.name == "jalr":
        parts = [names["rd"], f"{imm}({names['rs1']})"]
    elif opcode == ATOMICS or row.name.startswith(PLAIN):
        parts = [*(names[operand] for operand in ("rd", "rs2") if operand in names), f"({names['rs1']})"]
    elif "csr" in row.fields:
        parts = [names["rd"], str(operands["csr"]), names.get("rs1") or str(operands["zimm"])]
    elif row.name.startswith("fli."):
        parts = [names["rd"], CONSTANTS[operands["imm"]]]
    else:
        parts = [names[operand] for operand in ("rd", "rs1", "rs2", "rs3") if operand in names]
        if row.name == "c.addi16sp":
            parts = parts[:1]
        if imm is not None:
            parts.append(str(imm >> 12 & 0xFFFFF if row.name in SHIFTED else imm))
        if row.rounds:
            parts.append(ROUNDING[operands["rm"]])
        if row.name == "fcvtmod.w.d":
            parts.append("rtz")
    return f"{row.name}{order_of(row, operands)} {', '.join(parts)}"


@pytest.mark.parametrize("length, options", [
    (4, [f".option arch, {', '.join('+' + name for name in ARCH)}", ".option norvc"]),
    (2, [f".option arch, {', '.join('+' + name for name in (*ARCH, *COMPRESSED_ARCH))}"]),
])  # fmt: skip
def test_every_row_is_what_clang_assembles(length, options):
    random = Random(length)
    known = [row for row in ROWS if row.length == length and not (UNKNOWN | EXPERIMENTS).intersection(row.extensions)]
    wanted = [(row, operands) for row in known for operands in cases(row, random)]
    lines = [written(row, operands) for row, operands in wanted]
    elf = ELFFile(io.BytesIO(assemble_elf("\n".join(options + lines)).read_bytes()))
    code = elf.get_section_by_name(".text").data()
    assert len(code) == length * len(lines)
    for number, ((row, operands), line) in enumerate(zip(wanted, lines, strict=True)):
        word = int.from_bytes(code[length * number:length * (number + 1)], "little")
        assert encode(row.name, **operands) == word, line


def test_what_is_left_out():
    """Fields other than registers are 0; registers must be there."""
    assert encode("amoadd.w", rd=1, rs1=2, rs2=3) == encode("amoadd.w", rd=1, rs1=2, rs2=3, aq=0, rl=0)
    assert encode("addi", rd=1, rs1=2) == encode("addi", rd=1, rs1=2, imm=0)
    with pytest.raises(ValueError, match="addi: rs1 is a register"):
        encode("addi", rd=1)


@pytest.mark.parametrize("name, operands, message", [
    ("addi", {"rd": 1, "rs1": 32}, "rs1 is a register from 0 to 31"),
    ("c.sub", {"rd": 8, "rs2": 7}, "rs2 is a register from 8 to 15"),
    ("addi", {"rd": 1, "rs1": 1, "imm": 2048}, "no immediate 2048"),
    ("addi", {"rd": 1, "rs1": 1, "imm": -2049}, "no immediate -2049"),
    ("slli", {"rd": 1, "rs1": 1, "imm": -1}, "no immediate -1"),
    ("beq", {"rs1": 1, "rs2": 1, "imm": 3}, "no immediate 3"),
    ("lui", {"rd": 1, "imm": 1}, "no immediate 1"),
    ("add", {"rd": 1, "rs1": 1, "rs2": 1, "imm": 1}, "no immediate 1"),
    ("csrrw", {"rd": 1, "rs1": 1, "csr": 4096}, "csr has 12 bits"),
    ("add", {"rd": 1, "rs1": 1, "rs2": 1, "rs3": 1}, "has no rs3"),
    ("c.zext.b", {"rd": 8, "rs1": 8}, "has no rs1"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(name, operands, message):
    with pytest.raises(ValueError, match=f"^{name}: .*{message}"):
        encode(name, **operands)


def test_immediate_is_read_back():
    for row in (row for row in ROWS if row.pieces):
        word = Random(row.name).getrandbits(32) & ~row.mask | row.match
        registers = {operand: 8 for operand in BY_NAME[row.name].own_registers}
        assert immediate_of(row, encode(row.name, imm=immediate_of(row, word), **registers)) == immediate_of(row, word)
