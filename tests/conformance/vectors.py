"""Random vector programs, drawn from the rows of the ISA table, and their comparison with Spike.

A program sets vtype now and then; what comes in between mostly has registers that suit it, for most words with random
ones are illegal. Its generator follows vtype as it goes, but a fault may leave the program with another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from tests.conformance import operands
from tests.conformance.compare import Lockstep
from tests.conformance.frame import DATA_SIZE, Parameters, build
from tests.conformance.generator import Program, assemble, word_of
from tests.conformance.scenery import Scenery
from tests.conformance.spike import Record
from tests.conformance.units import FUEL, POINTERS, RESUME, Unit, address_into, data_address
from vm_native.arithmetic.vector.table import NUMBERS, OPERATIONS
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.instructions import ROWS, Row, encode
from vm_native.riscv.instructions.vector_shapes import BY_16, MASK, SHAPES, WIDTHS
from vm_native.riscv.registers import CSR_NUMBERS as CSR

FS, VS = 3 << 13, 3 << 9
KEPT_ON = ("load", "store", "set")      # shapes that are not tried while the unit is off: they need more than a word
FRACTIONS = {5: -3, 6: -2, 7: -1, 0: 0, 1: 1, 2: 2, 3: 3}
INDICES = 24                    # the first of eight registers that are loaded before they are used as indices
CONSTANT_PAGE = 0x4000


class Setting(NamedTuple):
    """log2 of the bytes of an element, and of the registers of a group."""

    size: int
    lmul: int


def configuration(random: Random, largest: int = 3, full: float = 0) -> tuple[list[int], Setting]:
    """One of the instructions that set vtype, mostly to a legal value; `full` is the share of those that set vl to all
    that there is room for.
    """
    lmul_code = random.choice(tuple(FRACTIONS))
    lmul = FRACTIONS[lmul_code]
    size = random.randrange(max(1, largest + 1 + min(lmul, 0)))
    vtype = lmul_code | size << 3 | random.getrandbits(2) << 6
    if full and random.random() < full:
        return [encode("vsetvli", imm=vtype, rs1=0, rd=11)], Setting(size, lmul)
    if random.random() < 0.02:
        vtype = random.getrandbits(9)
    kind = random.random()
    if kind < 0.3:
        count, rd = random.choice((0, 1, 4, 8, 16, 31)), random.choice((0, 11))
        return [encode("vsetivli", imm=vtype & 0x3FF, zimm=count, rd=rd)], Setting(size, lmul)
    count = random.choice((0, 1, 3, 4, 7, 8, 13, 16, 31, 40, 64, 100, 256, 1000, 2047))
    words = [encode("addi", imm=count, rd=10, rs1=0)]
    rs1, rd = random.choice(((10, 11), (10, 0), (10, 10), (0, 11), (0, 0) if random.random() < 0.3 else (0, 12)))
    if kind < 0.8:
        return [*words, encode("vsetvli", imm=vtype, rs1=rs1, rd=rd)], Setting(size, lmul)
    words.append(encode("addi", imm=vtype, rd=12, rs1=0))
    return [*words, encode("vsetvl", rs1=rs1, rs2=12, rd=rd)], Setting(size, lmul)


def register(random: Random, lmul: int) -> int:
    """A group of such a size, seldom any register."""
    if random.random() < 0.02:
        return random.randrange(32)
    return random.randrange(32) & -(1 << max(lmul, 0))


def groups_of(row: Row, setting: Setting) -> dict[str, tuple[int, int]]:
    """What stands in each field: log2 of the bytes of its elements (-1: bits), and of its registers."""
    shape_name, _, name = row.vector.partition(" ")
    shape = SHAPES[shape_name]
    run = shape.run.partition(".")[2]
    found = {}
    for field, width in (("vd", shape.d), ("vs2", shape.a), ("vs1", shape.b)):
        size = -1 if width == MASK else 1 if width == BY_16 else setting.size + width
        found[field] = size, 0 if width == MASK else setting.lmul + size - setting.size
    if run in ("reduction", "give", "take", "take_float"):
        found |= {field: (found[field][0], 0) for field in ("vd", "vs1")}
    if run == "move_whole":
        found |= {"vd": (0, 3), "vs2": (0, 3)}
    if run.startswith("access"):
        size = WIDTHS[name]
        other = size, setting.lmul + size - setting.size
        found = {"access_indexed": {"vd": setting, "vs2": other}, "access_whole": {"vd": (size, 3)},
                 "access_mask": {"vd": (0, 0)}}.get(run, {"vd": other})
        found["vs3"] = found["vd"]
    return found


def suits(row: Row, setting: Setting, largest: int) -> bool:
    """Whether there are elements and groups as an instruction of that row would have them."""
    groups = [group for field, group in groups_of(row, setting).items() if field in row.fields]
    operation = OPERATIONS[NUMBERS[row.vector.split()[1]]] if row.vector.split()[-1] in NUMBERS else None
    if operation is not None and "f" in operation.kinds and setting.size == 0 and "cvt" not in operation.name:
        return False
    if row.vector.startswith("group") and setting.size < 2:
        return False
    return all(size <= largest and -3 <= lmul <= 3 for size, lmul in groups)


def sizes_for(row: Row) -> tuple[int, ...]:
    """Of elements, where an instruction has few, and it takes luck to meet one and the right number of elements."""
    if row.vector.startswith("group"):
        return (2, 3) if "sha" in row.vector else (2,)
    return (3,) if row.name.startswith(("vclmul", "vzext.vf8", "vsext.vf8")) else ()


def overlap(a: int, a_lmul: int, b: int, b_lmul: int) -> bool:
    return a < b + (1 << max(b_lmul, 0)) and b < a + (1 << max(a_lmul, 0))


def vector_fields(row: Row, setting: Setting, random: Random) -> dict[str, int]:
    """Registers and the mask bit. Mostly the destination overlaps no source of another width."""
    groups = groups_of(row, setting)
    fields = [field for field in ("vd", "vs1", "vs2", "vs3") if field in row.fields]
    distinct = "distinct" in SHAPES[row.vector.split()[0]].flags
    masked = row.pattern.split()[1] == "0"
    chosen = {}
    if "vm" in row.fields:
        chosen["vm"] = int(random.random() < 0.6)
        masked |= not chosen["vm"]
    for _ in range(random.choice((1, 8, 8, 8, 8, 8, 8))):
        chosen |= {field: register(random, groups[field][1]) for field in fields}
        vd, (size, lmul) = chosen.get("vd", -99), groups["vd"]
        apart = all(not distinct and groups[field][0] == size
                    or not overlap(vd, lmul, chosen[field], groups[field][1]) for field in fields if field[:2] == "vs")
        if apart and not (masked and vd == 0):
            break
    return chosen


def index_words(here: int, seed: int, bytes_log: int) -> list[int]:
    """Load indices of that width, each with only a few bits."""
    random = Random(seed)
    bits = 8 << bytes_log
    amount = max(0, bits - random.randrange(5, 11))
    words = [
        *address_into(6, here, CONSTANT_PAGE + random.randrange(0, 0x400, 8)),
        encode("vl8re8.v", rs1=6, vd=INDICES), encode("vsetvli", imm=3 | bytes_log << 3, rs1=0, rd=11),
        encode("vsrl.vi", imm=min(amount, 31), vm=1, vs2=INDICES, vd=INDICES),
    ]  # fmt: skip
    if amount > 31:                         # an immediate does not go so far
        words.append(encode("vsrl.vi", imm=amount - 31, vm=1, vs2=INDICES, vd=INDICES))
    return words


def indexed(row: Row, setting: Setting, random: Random) -> Unit:
    """An access whose indices lead into memory; what the loading of them needs is as it was afterwards."""
    fields = vector_fields(row, setting, random) | {"vs2": INDICES}
    if overlap(fields.get("vd", 0), 3, INDICES, 3):
        fields["vd"] = register(random, setting.lmul) % 16
    base, address, seed = random.choice(POINTERS), data_address(random) & ~7, random.getrandbits(20)
    access = word_of(row, random, rs1=base, **fields)
    keep = [encode("csrrs", csr=CSR["vtype"], rs1=0, rd=12), encode("csrrs", csr=CSR["vl"], rs1=0, rd=13)]
    back = encode("vsetvl", rs1=13, rs2=12, rd=0)

    def words(here: int, target: int) -> list[int]:
        loads = index_words(here + 8, seed, WIDTHS[row.vector.split()[1]])
        before = [*keep, *loads, back]
        return [*before, *address_into(base, here + 4 * len(before), address), access, clear]

    clear = encode("csrrwi", csr=CSR["vstart"], zimm=0, rd=0)
    return Unit(4 * len(words(0x8000, 0)), words)


def instruction(row: Row, setting: Setting, random: Random) -> Unit:
    """A unit around one instruction of a row."""
    shape = row.vector.partition(" ")[0]
    if shape.endswith("indexed") and random.random() < 0.9:
        return indexed(row, setting, random)
    fields = vector_fields(row, setting, random)
    if shape.startswith(("load", "store")):
        base = random.choice(POINTERS)
        address = data_address(random) & (~7 if random.random() < 0.8 else ~0)
        more = {}
        if shape.endswith("strided"):
            more["rs2"] = 5
        access = word_of(row, random, rs1=base, **more, **fields)
        stride = encode("addi", imm=random.choice((0, 1, 2, 4, 8, 16, 24, -8, -4, 100, 256, 2047)), rd=5, rs1=0)
        clear = encode("csrrwi", csr=CSR["vstart"], zimm=0, rd=0) if random.random() < 0.8 else stride
        return Unit(20, lambda here, target: [stride, *address_into(base, here + 4, address), access, clear])
    word = word_of(row, random, **fields)
    if "rd" in row.registers and row.registers["rd"][0] == "rd":
        word = word & ~(31 << 7) | random.choice((0, 5, 10, 12)) << 7
    return Unit(4, lambda here, target: [word])


def random_at(seed: int) -> Random:
    """Words of a unit are asked for twice, and must be the same."""
    return Random(seed)


def scalars(random: Random) -> Unit:
    """A new value for an integer and for a floating-point register."""
    x, f = random.choice((5, 6, 7, 10, 11, 15, 16, 28)), random.randrange(32)
    return Unit(16, lambda here, target: [
        *address_into(6, here, CONSTANT_PAGE + 0x400), encode("fld", imm=8 * random_at(f).randrange(128), rs1=6, rd=f),
        encode("ld", imm=-8 * random_at(x + f).randrange(1, 128), rs1=6, rd=x),
    ])  # fmt: skip


def vectors(random: Random) -> Unit:
    """New values for eight vector registers: integers or numbers."""
    start = CONSTANT_PAGE + random.choice((0, 0x200, 0x400, 0x800, 0xA00, 0xC00, 0xE00)) + 8 * random.randrange(16)
    vd = random.choice((0, 8, 16, 24))
    return Unit(12, lambda here, target: [*address_into(6, here, start), encode("vl8re64.v", rs1=6, vd=vd)])


def csr_write(random: Random) -> Unit:
    """Rounding modes, flags, a vstart, and now and then the state of the unit."""
    name, value = random.choice((
        ("vxrm", random.randrange(4)), ("vcsr", random.randrange(8)), ("vxsat", 0), ("frm", random.randrange(5)),
        ("fflags", 0), ("vstart", random.choice((0, 1, 2, 5))), ("vstart", 0), ("frm", random.randrange(8)),
    ))  # fmt: skip
    write = encode("csrrwi", csr=CSR[name], zimm=value, rd=0)
    return Unit(4, lambda here, target: [write])


def load_constant(value: int) -> list[int]:
    """x5 = value, of 20 bits."""
    upper = value + 0x800 & ~0xFFF
    return [encode("lui", imm=upper, rd=5), encode("addi", imm=value - upper, rd=5, rs1=5)]


def off(random: Random) -> Unit:
    """The unit, or that of floating point, off for a moment; or clean."""
    bits, clears = random.choice(((VS, VS), (FS, FS), (VS, 1 << 9)))
    word = word_of(random.choice([row for row in ROWS if row.vector and not row.vector.startswith(KEPT_ON)]), random)
    status = CSR["sstatus"]
    words = [
        *load_constant(clears), encode("csrrc", csr=status, rs1=5, rd=0), word,
        encode("csrrs", csr=status, rs1=0, rd=11), *load_constant(bits), encode("csrrs", csr=status, rs1=5, rd=0),
    ]  # fmt: skip
    return Unit(4 * len(words), lambda here, target: words)


def numbers(random: Random, bits: int, corners: Sequence[int], count: int) -> bytes:
    """Floating-point numbers of a width, often such as are at the ends of what it has."""
    values = [(random.choice(corners) if random.random() < 0.6 else random.getrandbits(bits - 1))
              | random.getrandbits(1) << bits - 1 for _ in range(count)]
    return b"".join(value.to_bytes(bits // 8, "little") for value in values)


def constants(random: Random) -> bytes:
    """A page to load from: integers, what f registers hold, singles and halves, a quarter each."""
    integers = b"".join(operands.integer(random).to_bytes(8, "little") for _ in range(128))
    images = b"".join(operands.floating(random).to_bytes(8, "little") for _ in range(128))
    singles = numbers(random, 32, operands.SINGLE, 256)
    return integers + images + singles + numbers(random, 16, operands.HALF, 512)


def rows_of(extensions: frozenset[str]) -> list[Row]:
    return [row for row in ROWS if row.vector and row.vector != "set" and row.is_on(extensions)]


def make_program(seed: int, isa: str, length: int = 700, rows: Sequence[Row] = (), full: float = 0) -> Program:
    """The program that follows from a seed."""
    random = Random(seed)
    extensions = isa_strings.parse(isa).extensions
    rows = rows or rows_of(extensions)
    # Accesses are many rows
    accesses = [row for row in rows if row.vector.startswith(("load", "store"))]
    others = [row for row in rows if row not in accesses] or accesses
    units = [vectors(random) for _ in range(4)]
    setting = Setting(0, 0)
    largest = 3 if "Zve64x" in extensions else 2
    while len(units) < length:
        kind = random.random()
        if kind < 0.22 or len(units) == 4:
            words, setting = configuration(random, largest, full)
            units.append(Unit(4 * len(words), lambda here, target, words=words: words))
        elif kind < 0.27:
            units.append(scalars(random))
        elif kind < 0.31:
            units.append(vectors(random))
        elif kind < 0.34:
            units.append(csr_write(random))
        elif kind < 0.345:
            units.append(off(random))
        else:
            for _ in range(random.choice((1, 8, 8, 8, 8, 8))):
                row = random.choice(accesses if accesses and random.random() < 0.3 else others)
                if suits(row, setting, largest):
                    break
            if (wanted := sizes_for(row)) and random.random() < 0.7:
                setting = Setting(random.choice(wanted), random.randrange(4))
                whole = encode("vsetvli", imm=setting.lmul | setting.size << 3, rs1=0, rd=11)
                units.append(Unit(4, lambda here, target, word=whole: [word]))
            units.append(instruction(row, setting, random))
    code = assemble(units)
    x = [operands.integer(random) for _ in range(32)]
    f = [operands.floating(random) for _ in range(32)]
    parameters = Parameters(x, f, floating=("F" in extensions) + ("D" in extensions), timer="Sstc" in extensions)
    scenery = Scenery(random.getrandbits(32), random.choice((3, 3, 1, 0)), random.choice((0, 0, 8)))
    tables = scenery.arrange(parameters, extensions)
    parameters.mstatus |= random.choice((VS, VS, 1 << 9, 2 << 9))
    for pointer in POINTERS:
        x[pointer] = parameters.virtual + data_address(random)
    x[FUEL] = 30
    x[RESUME] = parameters.virtual + len(code) + 0x8000 - 12
    data = b"".join(operands.integer(random).to_bytes(8, "little") for _ in range(DATA_SIZE // 8))
    image = build(parameters, constants(random), code, data, tables)
    return Program(image, [("vectors", seed)], scenery)


STORE, STORE_FAULTS = 0x27, (7, 15)


def comparable(records: list[Record]) -> list[Record]:
    """Up to a vector store that fails on the second page of an element: Spike has stored what is on the first one.

    Rule PARTIAL_STORE of rules.py; which bytes these are, no record says.
    """
    for index, record in enumerate(records):
        trap = record.trap
        if trap is not None and trap.cause in STORE_FAULTS and record.word & 0x7F == STORE and trap.value & 0xFFF == 0:
            return records[:index]
    return records


class VectorLockstep(Lockstep):
    """Compares vector registers, too."""

    vectors: list[bytes]

    def differences(self, record: Record, before: list[int], after: list[int]) -> list[str]:
        native = self.ours.native
        last = {}                           # of bytes that were stored to more than once
        for address, size, value in record.stores:
            for offset in range(size):
                last[address + offset] = value >> 8 * offset & 0xFF
        record = record._replace(stores=tuple((address, 1, value) for address, value in last.items()))
        problems = super().differences(record, before, after)
        found = [native.read_v(number) for number in range(32)]
        wanted = list(getattr(self, "vectors", [bytes(len(found[0]))] * 32))
        for number, value in record.vectors:
            wanted[number] = value.to_bytes(len(found[0]), "little")
        problems += [f"v{number} is {int.from_bytes(found[number], 'little'):#x}" for number in range(32)
                     if found[number] != wanted[number]]
        self.vectors = found
        return problems
