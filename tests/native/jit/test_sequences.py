"""Instructions that follow each other, where compiled code carries on what it knows: that a register holds a boxed
single, that a page is the one looked up for the access before, that a value is the sign extension of 32 bits, that
nobody has needed a result yet."""

from random import Random

import pytest

import vm
from tests.assembler import BASE
from tests.conformance import operands
from tests.conformance.encoding import register_fields
from tests.conformance.generator import word_of
from tests.conformance.image import Image
from tests.conformance.ours import F_NAMES, X_NAMES, Ours
from tests.native.riscv.paging import PAGE, PageTables
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import ROWS, encode
from vm_native.riscv.registers import CSR_NUMBERS

LENGTH, SEQUENCES = 14, 400
CODE, DATA = BASE + 0x1000, BASE + 0x10_0000
STAY = encode("jal", rd=0)
EXTENSIONS = isa_strings.parse(isa_strings.DEFAULT).extensions
FLOATING = [
    row for row in ROWS
    if row.is_on(EXTENSIONS) and row.length == 4 and any(field[0] for field in register_fields(row).values())
]  # fmt: skip
FAST = [row for row in FLOATING if row.name in (
    "fld", "flw", "fmv.d.x", "fmv.w.x", "fadd.s", "fmul.s", "fle.s", "fsgnjn.s", "fcvt.d.s", "fcvt.s.d", "fadd.d",
)]  # fmt: skip
F, X, POINTER = (15, 0, 20), (10, 20), 8


def sequence(random: Random) -> list[int]:
    """Floating-point instructions over three registers: two that live in the host's, one in memory. Mostly such as the
    interpreter's functions do not come into, after which nothing would be known. In some, rounding modes change."""
    words = []
    rounding = random.choice(((0, 7), (0, 7), (1, 1, 2, 7), (0, 1, 2, 3, 4, 7)))
    for _ in range(LENGTH):
        row = random.choice(FAST if random.random() < 0.8 else FLOATING)
        fields = register_fields(row)
        chosen = {operand: random.choice(F if fields[operand][0] else X) for operand in fields}
        if row.pieces and "rs1" in chosen:
            words.append(encode(row.name, imm=8 * random.randrange(8), **chosen | {"rs1": POINTER}))
        else:
            words.append(word_of(row, random, rm=random.choice(rounding), **chosen))
    return words


def both_engines(sequences: list[list[int]]) -> list[Ours]:
    """The interpreter and the compiling engine with these at CODE, one behind the other. Where traps go, they stay."""
    both = [Ours(isa_strings.DEFAULT, engine=engine, settings=vm.Settings(hot=0)) for engine in ("interpreter", "jit")]
    code = b"".join(word.to_bytes(4, "little") for part in sequences for word in part)
    for ours in both:
        ours.load(Image(bytes(CODE - BASE) + code, {"tohost": BASE + 0x800}))
        ours.machine.memory.write(BASE + 0x100, STAY.to_bytes(4, "little"))
        ours.hart.csr["mtvec"] = BASE + 0x100
    return both


def test_floating_point_sequences():
    """Doubles where singles were and the other way round, in all orders; the interpreter says what comes out."""
    random = Random(1)
    words = [[*sequence(random), STAY] for _ in range(SEQUENCES)]
    both = both_engines(words)
    for number, part in enumerate(words):
        values = [operands.floating(random) for _ in F]
        memory = b"".join(operands.floating(random).to_bytes(8, "little") for _ in range(16))
        found = []
        for ours in both:
            hart = ours.hart
            for register, value in zip(F, values, strict=True):
                hart.f_bits[register] = value
            hart.csr["mstatus"], hart.csr["fcsr"] = mask("mstatus", "FS"), number % 5 << 5
            hart.x[10], hart.x[20], hart.x[POINTER] = values[0], 3, DATA
            ours.machine.memory.write(DATA, memory)
            hart.pc = CODE + 4 * (LENGTH + 1) * number
            ours.machine.run(instructions=LENGTH + 1)
            found.append((hart.pc, hart.csr["fcsr"], ours.machine.memory.read(DATA, 128), *ours.registers()))
        names = ("pc", "fcsr", "memory", *X_NAMES, *F_NAMES)
        wrong = [name for name, a, b in zip(names, *found, strict=True) if a != b]
        assert not wrong, f"{wrong} after {[hex(word) for word in part]} on {[hex(value) for value in values]}"
    machine = both[1].machine
    assert machine.stats()["jit"]["interpreted"] < 0.05 * machine.steps


# --- Words -----------------------------------------------------------------------------------------------------------

WORDS = ("addw", "subw", "sllw", "srlw", "sraw", "addiw", "slliw", "srliw", "sraiw", "mulw", "divw", "divuw", "remw",
         "remuw", "rolw", "rorw", "roriw", "lw", "lh", "lbu")
WIDE = ("add", "sub", "and", "or", "xor", "andi", "ori", "xori", "addi", "slli", "srli", "srai", "sll", "srl", "sra",
        "slt", "sltu", "slti", "sltiu", "mul", "mulhu", "div", "remu", "add.uw", "sh2add", "sh1add.uw", "slli.uw",
        "andn", "min", "maxu", "czero.eqz", "clz", "clzw", "rev8", "sext.h", "zext.h", "bset", "ror", "ld", "lwu", "sb",
        "sw", "sd", "amoadd.w", "lr.d", "csrrw", "fcvt.s.w", "fcvt.s.wu",
        "fcvt.s.l", "fcvt.d.l", "fmv.w.x")
BRANCHES = ("beq", "bne", "blt", "bge", "bltu", "bgeu")
INTEGER = (10, 11, 20, 21)          # two that live in the host's registers, two in memory
TOWARDS_ZERO = 1                    # an instruction's rounding mode
NOWHERE = 9                         # an address at which nothing is


def word_sequence(random: Random) -> list[int]:
    """Instructions of 32 bits among others, branches to the end, and now and then an access that traps."""
    rows = {row.name: row for row in ROWS}
    words = []
    for index in range(LENGTH):
        kind = random.random()
        row = rows[random.choice(WORDS if kind < 0.5 else WIDE if kind < 0.85 else BRANCHES)]
        chosen = {operand: random.choice((*INTEGER, 0)) for operand in register_fields(row)}
        if row.name in BRANCHES:
            words.append(encode(row.name, imm=4 * (LENGTH - index), **chosen))
        elif row.name == "csrrw":
            words.append(word_of(row, random, csr=CSR_NUMBERS["mscratch"], **chosen))
        elif row.name[:2] in ("am", "lr"):
            words.append(word_of(row, random, **chosen | {"rs1": POINTER}))
        elif row.name in ("lw", "lh", "lbu", "ld", "lwu", "sb", "sw", "sd"):
            base = NOWHERE if random.random() < 0.1 else POINTER
            words.append(encode(row.name, imm=8 * random.randrange(8), **chosen | {"rs1": base}))
        elif row.name.startswith("f"):
            words.append(word_of(row, random, rm=random.choice((0, 1, 3, 7)), **chosen))
        else:
            words.append(word_of(row, random, **chosen))
    return words


def check_sequences(sequences: list[list[int]], random: Random) -> None:
    """Wherever one is left, at its end, by a branch, by a trap, registers hold whole values."""
    both = both_engines(sequences)
    for number, part in enumerate(sequences):
        values = [operands.integer(random) for _ in INTEGER]
        memory = b"".join(operands.integer(random).to_bytes(8, "little") for _ in range(16))
        found = []
        for ours in both:
            hart = ours.hart
            for register, value in zip(INTEGER, values, strict=True):
                hart.x[register] = value
            hart.x[POINTER], hart.x[NOWHERE] = DATA, 0
            hart.csr["mstatus"] = mask("mstatus", "FS")
            ours.machine.memory.write(DATA, memory)
            hart.pc = CODE + 4 * (LENGTH + 1) * number
            ours.machine.run(instructions=LENGTH + 1)
            found.append((hart.pc, hart.csr["mcause"], hart.csr["mscratch"], ours.machine.memory.read(DATA, 128),
                          *ours.registers()))
        names = ("pc", "mcause", "mscratch", "memory", *X_NAMES, *F_NAMES)
        wrong = [name for name, a, b in zip(names, *found, strict=True) if a != b]
        assert not wrong, f"{wrong} after {[hex(word) for word in part]} on {[hex(value) for value in values]}"
    machine = both[1].machine
    assert machine.stats()["jit"]["interpreted"] < 0.1 * machine.steps


def test_word_sequences():
    random = Random(2)
    check_sequences([[*word_sequence(random), STAY] for _ in range(4 * SEQUENCES)], random)


@pytest.mark.parametrize("name", ["fcvt.s.w", "fcvt.s.l", "fcvt.d.l", "fcvt.h.w", "fcvt.h.l"])
def test_converted_words_in_a_rounding_mode(name):
    """Numbers that are exact and such as are not go two ways: behind both, the register holds the whole value."""
    words = [encode("addw", rd=10, rs1=11, rs2=0), encode(name, rd=15, rs1=10, rm=TOWARDS_ZERO), STAY]
    both = both_engines([words])
    for value in (5, -5, 0x1234567, -0x1234567):
        found = []
        for ours in both:
            ours.hart.csr["mstatus"], ours.hart.csr["fcsr"] = mask("mstatus", "FS"), 0
            ours.hart.x[11], ours.hart.pc = value % 2**64, CODE
            ours.machine.run(instructions=len(words))
            found.append((ours.hart.csr["fcsr"], *ours.registers()))
        assert found[0] == found[1], hex(value)


# --- Results that nobody has needed yet -------------------------------------------------------------------------------

SEVERAL = (*INTEGER, 0, 12, 13, 14, 22, 23, 24, 25, 26, 27)     # more than can be deferred
SHIFTS = ("slli", "slli", "slli", "srli", "srai", "slliw", "srliw", "sraiw", "slli.uw")
PIECES = ("lui", "auipc", "addi", "addiw", "slli", "add")
DISTANCES = (0, 1, 2, 3, 8, 16, 24, 29, 30, 31, 32, 33, 48, 56, 63)


def preparing_sequence(random: Random) -> list[int]:
    """Shifts back and forth, sums of what is shifted, constants in pieces, rotations, and now and then something that
    looks.
    """
    rows = {row.name: row for row in ROWS}
    words = []
    distance, registers = 32, random.choice((INTEGER, SEVERAL))
    while len(words) < LENGTH:
        kind = random.random()
        name = random.choice(SHIFTS if kind < 0.4 else PIECES if kind < 0.7 else ("add",) if kind < 0.85
                             else ("sd", "beq", "xor", "sub", "lw", "div", "mop.r.0", "mop.rr.0"))
        chosen = {operand: random.choice(registers) for operand in register_fields(rows[name])}
        if random.random() < 0.15:
            words += rotation(random, registers)
        elif name in SHIFTS and name != "slli.uw":
            distance = distance if random.random() < 0.5 else random.choice(DISTANCES)
            words.append(encode(name, imm=distance % 32 if name.endswith("w") else distance, **chosen))
        elif name == "beq":
            words.append(encode(name, imm=4 * (LENGTH - len(words)), **chosen))
        elif name in ("sd", "lw"):
            words.append(encode(name, imm=8 * random.randrange(8), **chosen | {"rs1": POINTER}))
        else:
            words.append(word_of(rows[name], random, **chosen))
    return words[:LENGTH]


def rotation(random: Random, registers: tuple[int, ...]) -> list[int]:
    """By two shifts and a sum. Some are none by a hair: by their distances, or since the register is another then."""
    source, left, right, rd, other = (random.choice(registers) for _ in range(5))
    suffix, bits = random.choice((("w", 32), ("", 64)))
    distance = random.randrange(1, bits)
    rest = bits - distance if random.random() < 0.8 else random.randrange(1, bits)
    parts = [encode("slli" + suffix, rd=left, rs1=source, imm=distance),
             encode("srli" + suffix, rd=right, rs1=source if random.random() < 0.8 else other, imm=rest)]
    random.shuffle(parts)
    between = [encode("slli", rd=source, rs1=other, imm=1)] if random.random() < 0.3 else []
    behind = [encode("slli", rd=source, rs1=other, imm=1)] if random.random() < 0.3 else []
    together = encode(random.choice(("or", "xor", "add")), rd=rd, rs1=left, rs2=right)
    return [parts[0], *between, parts[1], *behind, together]


def test_preparing_sequences():
    random = Random(3)
    check_sequences([[*preparing_sequence(random), STAY] for _ in range(20 * SEQUENCES)], random)


# --- Accesses beside each other --------------------------------------------------------------------------------------

VIRTUAL, COUNT = 0x1000_0000, 8
FRAMES = (BASE + 0x20_0000, BASE + 0x40_0000)       # of two pages that follow each other: in another order in memory
LOAD_PAGE, STORE_PAGE = 13, 15
LOADS = "\n".join(f"ld s{number + 2}, {8 * number}(a0)" for number in range(COUNT))
STORES = LOADS.replace("ld", "sd")
MPRV_SUPERVISOR = 1 << 17 | 1 << 11


@pytest.fixture
def neighbours(compiled):
    def make(source: str, second: bool):
        g = compiled(f".option norvc\n{source}\nwfi", memory="8M")
        g.open_pmp()
        tables = PageTables(g)
        for page in range(1 + second):
            tables.map(VIRTUAL + page * PAGE, FRAMES[1 - page])
            for place in range(0, PAGE, 8):
                g.store(FRAMES[1 - page] + place, VIRTUAL + page * PAGE + place)
        g["satp"] = tables.satp
        return g

    return make


def run_from(g, address: int) -> None:
    g["mstatus"], g["mcause"] = MPRV_SUPERVISOR, 0
    g["a0"], g.hart.pc = address, BASE
    g.finish()


PLACES = range(PAGE - 8 * COUNT - 8, PAGE + 9, 8)       # from before the border to behind it


def test_loads_across_a_border(neighbours):
    """Whichever of them lies in the second page, and whichever page was looked up last."""
    g = neighbours(LOADS, second=True)
    for warm in (0, PAGE):
        for place in PLACES:
            run_from(g, VIRTUAL + warm)
            run_from(g, VIRTUAL + place)
            found = [g[f"s{number + 2}"] for number in range(COUNT)]
            assert found == [VIRTUAL + place + 8 * number for number in range(COUNT)]


def test_stores_across_a_border(neighbours):
    g = neighbours(STORES, second=True)
    for warm in (0, PAGE):
        for place in PLACES:
            run_from(g, VIRTUAL + warm)
            for number in range(COUNT):
                g[f"s{number + 2}"] = 1000 * place + number
            run_from(g, VIRTUAL + place)
            for number in range(COUNT):
                page, offset = divmod(place + 8 * number, PAGE)
                assert g.word(FRAMES[1 - page] + offset) == 1000 * place + number


@pytest.mark.parametrize("source, cause", [(LOADS, LOAD_PAGE), (STORES, STORE_PAGE)])
def test_first_access_behind_the_border_traps(source, cause, neighbours):
    """Those before it have happened, those behind have not."""
    g = neighbours(source, second=False)
    for first in range(1, COUNT):
        run_from(g, VIRTUAL)
        run_from(g, VIRTUAL + PAGE - 8 * first)
        assert (g["mcause"], g["mepc"], g["mtval"]) == (cause, BASE + 4 * first, VIRTUAL + PAGE)
