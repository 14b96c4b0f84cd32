"""Random programs, drawn from the ISA table.

hypothesis draws a list of units, each a row of the table (or a special unit by name) and the seed from which its
operands follow; a unit drawn as "omit" is left out, so that a failing program shrinks to the few units it needs. Code
is laid out in two passes: the first fixes lengths, the second knows where forward branches lead.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from tests.conformance import operands
from tests.conformance.encoding import immediate_bits, register_fields
from tests.conformance.frame import CODE, CODE_SIZE, DATA_SIZE, END, Parameters, build
from tests.conformance.image import Image
from tests.conformance.scenery import Scenery, sceneries
from tests.conformance.special import SPECIAL
from tests.conformance.units import FUEL, KEPT, POINTERS, RESUME, Unit, address_into, data_address
from vm_native.ir.semantics import MemoryAccess
from vm_native.ir.uops import UOPS
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import BY_NAME, ROWS, Row, encode
from vm_native.riscv.registers import CSR_NUMBERS as CSR

OMIT = "omit"
BACKWARD = 12
FORWARD = (1, 1, 1, 2, 2, 3, 5, 8)
ACCESSING = {row.name for row in UOPS if isinstance(row.meaning, MemoryAccess)}
BRANCHES = {"beq", "bne", "blt", "bge", "bltu", "bgeu"}
ROUNDING = (7, 7, 7, 7, 0, 0, 0, 1, 2, 3, 4, 5, 6)


def origin(row: Row) -> Row:
    return row.base or row


def kind_of(row: Row) -> str:
    """How the operands of a row are drawn."""
    name = origin(row).name
    if name in BRANCHES:
        return "branch"
    if name == "jal":
        return "jump"
    if name == "jalr":
        return "indirect"
    if row.helper in ("mret", "sret", "wfi", "ecall", "csr"):
        return row.helper
    if row.uop in ACCESSING or row.helper.startswith(("cbo_", "amocas_")):
        return "memory"
    return "plain"


class Program(NamedTuple):
    image: Image
    units: list[tuple[str, int]]
    scenery: Scenery

    def __repr__(self) -> str:
        return f"{self.scenery}: {self.units}"


def registers(row: Row, random: Random) -> dict[str, int]:
    chosen = {}
    recent = random.choice((5, 10, 15))
    for operand, (is_float, short, _) in register_fields(row).items():
        number = random.randrange(8, 16) if short else random.choice((recent, recent, *range(32)))
        if operand == "rd" and not is_float and number in KEPT and random.random() < 0.97:
            number = 10 if short else random.choice((0, 5, 10, 11, 12))
        while number in row.excluded.get(operand, ()):
            number = random.choice((5, 10, 12))
        chosen[operand] = number
    return chosen


def fields(row: Row, random: Random) -> dict[str, int]:
    chosen = {name: random.getrandbits(width) for name, (_, width) in row.fields.items()}
    if "rm" in chosen:
        chosen["rm"] = random.choice(ROUNDING)
    return chosen


def word_of(row: Row, random: Random, immediate: int | None = None, **fixed: int) -> int:
    """A word of a row with random operands, some of them given."""
    bits = immediate_bits(row)
    if immediate is None:
        immediate = operands.immediate(random, bits, row.sign_bit)
        if row.nonzero and not immediate & bits:
            immediate = bits & -bits
    chosen = registers(row, random)
    others = fields(row, random)
    for name, value in fixed.items():
        if name in chosen:
            chosen[name] = value
        elif name in others:
            others[name] = value
    return encode(row.name, imm=immediate, **chosen, **others)


def plain(row: Row, random: Random) -> Unit:
    word = word_of(row, random)
    return Unit(row.length, lambda here, target: [word])


def memory(row: Row, random: Random) -> Unit:
    """Usually through a pointer; atomics through one that is set just before."""
    if not row.pieces:
        base = random.randrange(8, 16) if register_fields(row).get("rs1", (0, 0))[1] else random.choice(POINTERS)
        if random.random() < 0.8:
            address = data_address(random) & (~7 if random.random() < 0.8 else ~0)
            word = word_of(row, random, rs1=base)
            return Unit(8 + row.length, lambda here, target: [*address_into(base, here, address), word])
    pointers = (8, 9, 14) if register_fields(row).get("rs1", (0, 0))[1] else POINTERS
    base = random.choice(pointers) if random.random() < 0.95 else random.randrange(8, 16)
    word = word_of(row, random, rs1=base)
    return Unit(row.length, lambda here, target: [word])


def branch(row: Row, random: Random) -> Unit:
    if random.random() < 0.15:
        fuel = [encode("addi", imm=-1, rd=FUEL, rs1=FUEL)]
        guard = encode("bge", imm=4 + row.length, rs1=0, rs2=FUEL)
        chosen = registers(row, random)
        return Unit(
            8 + row.length,
            lambda here, target: [*fuel, guard, encode(row.name, imm=within(row, target - here - 8), **chosen)],
            -random.randrange(1, BACKWARD),
        )
    chosen = registers(row, random)
    return Unit(
        row.length, lambda here, target: [encode(row.name, imm=within(row, target - here), **chosen)],
        random.choice(FORWARD),
    )  # fmt: skip


def within(row: Row, distance: int) -> int:
    """A jump distance that fits the immediate; else to the next instruction."""
    bits = immediate_bits(row)
    limit = 1 << row.sign_bit
    return distance if -limit <= distance < limit and distance & ~(bits | -limit) == 0 else row.length


def indirect(row: Row, random: Random) -> Unit:
    chosen = registers(row, random)
    base = chosen["rs1"] = random.choice((1, 5, 10, 15))
    offset = operands.immediate(random, 0xFFF, 11) if row.pieces else 0
    odd = row.length == 4 and random.random() < 0.1
    return Unit(
        8 + row.length,
        lambda here, target: [*address_into(base, here, target - offset + odd), encode(row.name, imm=offset, **chosen)],
        random.choice(FORWARD),
    )


def csr(row: Row, random: Random) -> Unit:
    word = word_of(row, random)
    source = word >> 15 & 31
    number = operands.csr(random, writes=row.name.startswith("csrrw") or source != 0)
    word = word & 0xFFFFF | number << 20
    return Unit(4, lambda here, target: [word])


def ret(row: Row, random: Random) -> Unit:
    """Return to the next instruction, in the privilege that xPP says; mostly xPP is set to the highest before."""
    if row.helper == "mret":
        status, pc, previous = "mstatus", "mepc", mask("mstatus", "MPP")
    else:
        status, pc, previous = "sstatus", "sepc", mask("mstatus", "SPP")
    upper = previous + 0x800 >> 12 << 12
    operation = "csrrs" if random.random() < 0.8 else "csrrc"
    words = [
        encode("lui", imm=upper, rd=5), encode("addi", imm=previous - upper, rd=5, rs1=5),
        encode(operation, csr=CSR[status], rs1=5, rd=0),
    ]  # fmt: skip
    set_pc = encode("csrrw", csr=CSR[pc], rs1=5, rd=0)
    return Unit(28, lambda here, target: [*words, *address_into(5, here + 12, here + 28), set_pc, row.match])


def ecall(row: Row, random: Random) -> Unit:
    return Unit(row.length, lambda here, target: [row.match])


def wfi(row: Row, random: Random) -> Unit:
    """With an interrupt pending and enabled locally, so that it ends on every machine."""
    words = [encode("csrrsi", csr=CSR["mie"], zimm=2, rd=0), encode("csrrsi", csr=CSR["mip"], zimm=2, rd=0), row.match]
    return Unit(12, lambda here, target: words)


ROW_UNITS = {
    "plain": plain, "memory": memory, "branch": branch, "jump": branch, "indirect": indirect, "csr": csr, "mret": ret,
    "sret": ret, "ecall": ecall, "wfi": wfi,
}  # fmt: skip


# --- Programs -------------------------------------------------------------------------------------------------------

def names(extensions: frozenset[str]) -> list[str]:
    """What a unit may be, as often as it shall be drawn; the first is what shrinking prefers."""
    found = [OMIT]
    for row in ROWS:
        if row.is_on(extensions):
            found += [row.name] * (3 if kind_of(row) in ("memory", "branch", "indirect", "csr") else 2)
    for name, special in SPECIAL.items():
        if special.needs in extensions:
            found += [name] * special.weight
    return found


def make_unit(name: str, seed: int, extensions: frozenset[str]) -> Unit:
    random = Random(seed)
    if name in SPECIAL:
        return SPECIAL[name].make(random)
    row = BY_NAME[name]
    kind = kind_of(row)
    unit = ROW_UNITS[kind](row, random)
    if "Zca" not in extensions and kind in ("branch", "jump", "indirect") and random.random() < 0.1:
        return replace(unit, words=lambda here, target: unit.words(here, target + 2))       # misaligned
    return unit


def assemble(units: list[Unit]) -> bytes:
    """Lay units out from CODE on; a program that is run through ends with the environment call END."""
    end = [encode("lui", imm=0x6000, rd=17), encode("addi", imm=END - 0x6000, rd=17, rs1=17), encode("ecall")]
    places, here = [], CODE
    for unit in units:
        places.append(here)
        here += unit.size
    places.append(here)
    code = bytearray()
    for index, unit in enumerate(units):
        target = places[max(0, min(index + (unit.ahead or 1), len(units)))]
        for word in unit.words(places[index], target):
            code += word.to_bytes(4 if word & 3 == 3 else 2, "little")
        assert CODE + len(code) == places[index + 1], f"unit {index} has another length than it said"
    for word in end:
        code += word.to_bytes(4, "little")
    assert len(code) <= CODE_SIZE
    return bytes(code)


def make_program(picks: list[tuple[str, int]], scenery: Scenery, extensions: frozenset[str]) -> Program:
    """The program that follows from what was drawn."""
    random = Random(scenery.seed)
    kept = [(name, seed) for name, seed in picks if name != OMIT]
    code = assemble([make_unit(name, seed, extensions) for name, seed in kept])
    x = [operands.integer(random) for _ in range(32)]
    f = [operands.floating(random) for _ in range(32)]
    precisions = ("F" in extensions) + ("D" in extensions)
    parameters = Parameters(x, f, floating=precisions, timer="Sstc" in extensions)
    tables = scenery.arrange(parameters, extensions)
    for register in POINTERS:
        x[register] = parameters.virtual + data_address(random)
    x[FUEL] = 30
    x[RESUME] = parameters.virtual + CODE + len(code) - 12
    data = random.randbytes(DATA_SIZE)
    image = build(parameters, operands.constants(random, 0x1000), code, data, tables)
    return Program(image, kept, scenery)


@st.composite
def programs(draw: st.DrawFn, isa: str, size: int = 160) -> Program:
    """Programs of up to `size` units for a hart of that ISA string."""
    extensions = isa_strings.parse(isa).extensions
    choices = names(extensions)
    last = len(choices) - 1
    picks = [(choices[draw(st.integers(0, last))], draw(st.integers(0, (1 << 24) - 1))) for _ in range(size)]
    return make_program(picks, draw(sceneries(extensions)), extensions)
