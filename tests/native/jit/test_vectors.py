"""Instructions on vectors, compiled: loops of them give what the interpreter gives, and stay in compiled code."""

import struct
from collections import Counter
from random import Random

import pytest

import vm
from tests.conformance import operands
from tests.conformance.compiled_vectors import BY_MASKS, COMPILED, E8, E16, E32, E64
from tests.conformance.generator import word_of
from tests.conformance.vectors import FRACTIONS, Setting, constants, rows_of, suits, vector_fields
from vm_native.jit.compiler import instruction_sets
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.instructions import BY_NAME, Row, encode
from vm_native.riscv.registers import CSR_NUMBERS as CSR

BASE = 0x8000_0000
CODE, DATA, END = BASE + 0x1000, BASE + 0x8_0000, BASE + 0x10_0000
VS, FS = 3 << 9, 3 << 13
STAY = encode("jal", rd=0)
M1, M2, M4, M8 = range(4)
ILLEGAL, LOAD_ACCESS = 2, 5
TURNS = 3
ROOM = 0x100                    # for a program
LMUL_CODES = {lmul: code for code, lmul in FRACTIONS.items()}
STATE = ("vl", "vtype", "vstart", "vcsr", "fcsr", "mstatus", "mcause", "mepc", "mtval", "minstret")


class Bench:
    """A machine whose one hart has vectors and floating point on."""

    def __init__(self, isa: str, engine: str, **settings: object) -> None:
        self.machine = vm.Machine(memory="1M", isa=isa, engine=engine, settings=vm.Settings(hot=0, **settings))
        self.switches = settings.get("switches", {})
        self.hart = self.machine.harts[0]
        self.native = self.machine._natives[0]
        self.at = CODE
        self.machine.memory.write(BASE, struct.pack("<I", STAY))
        self.hart.csr["mtvec"] = BASE
        self.reset()

    def reset(self) -> None:
        self.hart.csr["mstatus"] = VS | FS
        self.hart.csr["mcause"] = 0

    def write(self, words: list[int], at: int = 0) -> None:
        """Where nothing stood before, so that it is compiled: code that is often overwritten is not."""
        if not at:
            self.at += ROOM
            assert self.at < DATA
        self.machine.memory.write(at or self.at, struct.pack(f"<{len(words)}I", *words))

    def fallbacks(self) -> int:
        return self.machine.stats().get("jit", {}).get("fallbacks", 0)

    def interpreted(self) -> int:
        return self.machine.stats().get("jit", {}).get("interpreted", 0)

    def run(self, steps: int, behind: int = 0) -> int:
        """How many instructions compiled code has left to the interpreter's functions."""
        before = self.fallbacks()
        self.hart.pc = self.at + behind
        self.machine.run(instructions=steps)
        return self.fallbacks() - before

    def state(self) -> dict[str, object]:
        native, hart = self.native, self.hart
        found: dict[str, object] = {f"x{number}": native.read_x(number) for number in range(32)}
        for number in range(32):
            found[f"f{number}"] = native.read_f(number)
            found[f"v{number}"] = native.read_v(number).hex()
        return found | {name: hart.csr[name] for name in STATE} | {"pc": hart.pc}


def both(isa: str, **settings: object) -> tuple[Bench, Bench]:
    return Bench(isa, "interpreter"), Bench(isa, "jit", **settings)


# --- Random loops ----------------------------------------------------------------------------------------------------

class Loop:
    """Instructions of a row, behind what sets vl to all that there is room for, or to what x10 says."""

    def __init__(self, rows: list[Row], random: Random, largest: int) -> None:
        while True:
            self.row = random.choice(rows)
            self.setting = Setting(random.randrange(largest + 1), random.choice(tuple(LMUL_CODES)))
            if self.setting.size <= largest + min(self.setting.lmul, 0) and suits(self.row, self.setting, largest):
                break
        vtype = LMUL_CODES[self.setting.lmul] | self.setting.size << 3
        sets = [encode("vsetvli", imm=vtype, rs1=random.choice((0, 0, 10)), rd=11)]
        body = [self.instruction(random) for _ in range(random.choice((1, 1, 2)))]
        inside = random.random() < 0.5
        self.words = sets + body
        self.steps = TURNS * (len(body) + 2 + inside) + (not inside)
        self.words.append(encode("addi", rd=5, rs1=5, imm=-1))
        self.words.append(encode("bne", rs1=5, rs2=0, imm=4 * ((not inside) - len(self.words))))
        self.words.append(STAY)

    def instruction(self, random: Random) -> int:
        row, more = self.row, {}
        if "rs1" in row.registers and row.registers["rs1"][0] == "rs1":
            more["rs1"] = 12 if row.vector.startswith(("load", "store")) else random.choice((0, 14, 15, 20))
        if "rs2" in row.registers:
            more["rs2"] = 13
        word = word_of(row, random, **more, **vector_fields(row, self.setting, random))
        if "rd" in row.registers and row.registers["rd"][0] == "rd":
            word = word & ~(31 << 7) | random.choice((0, 16, 17, 21)) << 7
        return word

    def prepare(self, benches: tuple[Bench, ...], random: Random) -> None:
        """The same registers and memory, drawn anew."""
        vlenb = benches[0].hart.csr["vlenb"]
        pool = constants(random)
        x = [operands.integer(random) for _ in range(32)]
        x[5], x[10], x[13] = TURNS, random.choice((0, 1, 3, 8, 17, 64, 100)), random.choice((0, 1, 4, 8, 16))
        x[12] = DATA + 0x400 + random.choice((0, 0, 8, 4, 1, 3))
        x[14] = random.choice((0, 1, 7, 8, 15, 31, 33, 63, 64, 255, x[14]))
        f = [operands.floating(random) if random.random() < 0.5 else
             random.getrandbits(32) | 0xFFFF_FFFF << 32 if self.setting.size == 2 else random.getrandbits(64)
             for _ in range(32)]
        first = {2: 0x800, 1: 0xC00}.get(self.setting.size, 0x400) if "vf" in self.row.name else 0
        places = [first + random.randrange(0, 0x400 - vlenb, 8) for _ in range(32)]
        narrow = self.row.vector.startswith("gather") and random.random() < 0.7     # numbers of elements that there are
        rounding = random.choice((0, 0, 1, 2, 3, 4)) << 5
        for bench in benches:
            bench.reset()
            bench.machine.memory.write(DATA, pool)
            for number in range(32):
                bench.native.write_x(number, x[number] if number else 0)
                bench.native.write_f(number, f[number])
                value = pool[places[number] : places[number] + vlenb]
                bench.native.write_v(number, bytes(byte & 2 * vlenb - 1 for byte in value) if narrow else value)
            for name, value in (("fcsr", rounding), ("vcsr", x[15] & 6), ("vstart", 0)):
                bench.hart.csr[name] = value


@pytest.mark.parametrize("isa, count", [
    ("rv64gcv_zvkn_zvbb", 700), ("rv64gcv_zvl256b_zvfh_zvkn_zvbc", 500), ("rv64gcv_zvl512b_zvks", 200),
    ("rv64gc_zve64x_zvl128b", 200), ("rv64gc_zve32f_zvl64b", 100),
])  # fmt: skip
@pytest.mark.parametrize("avx512", [True, False])
def test_random_loops_give_what_the_interpreter_gives(isa, count, avx512):
    random = Random(f"{isa} {avx512}")
    extensions = isa_strings.parse(isa).extensions
    rows, largest = rows_of(extensions), 3 if "Zve64x" in extensions else 2
    loops = [Loop(rows, random, largest) for _ in range(count)]
    benches = both(isa, switches={"avx512": avx512})
    compiled = 0
    for loop in loops:
        loop.prepare(benches, random)
        for bench in benches:
            bench.write(loop.words)
        left = [bench.run(loop.steps) for bench in benches]
        wanted, found = (bench.state() for bench in benches)
        differing = [f"{name} is {found[name]}, not {wanted[name]}" for name in wanted if wanted[name] != found[name]]
        assert not differing, f"{loop.row.name} {loop.setting} {[hex(word) for word in loop.words]}: {differing}"
        memories = [bench.machine.memory.read(DATA, 0x1000) for bench in benches]
        assert memories[0] == memories[1], f"{loop.row.name} {loop.setting} {[hex(word) for word in loop.words]}"
        compiled += left[1] == 0
    if "V" in extensions:
        assert compiled > count // 8        # others are rows that are not compiled, or are illegal


class Mixture(Loop):
    """Instructions of many rows and settings, on few groups of registers: in a loop, or one behind the other."""

    def __init__(self, rows: list[Row], random: Random) -> None:
        self.words = []
        for _ in range(random.choice((3, 6, 9, 12))):
            if not self.words or random.random() < 0.25:
                self.setting = Setting(random.randrange(4), random.choice((0, 0, 1, 1, 2, 2, 3)))
                vtype = LMUL_CODES[self.setting.lmul] | self.setting.size << 3
                self.words.append(encode("vsetvli", imm=vtype, rs1=random.choice((0, 0, 0, 10)), rd=11))
            self.row = random.choice([row for row in rows if suits(row, self.setting, 3)])
            self.words.append(self.instruction(random))
        turns = random.choice((1, TURNS))
        self.words.append(encode("addi", rd=5, rs1=5, imm=-1))
        if turns > 1:
            self.words.append(encode("bne", rs1=5, rs2=0, imm=-4 * len(self.words)))
        self.steps = turns * len(self.words)
        self.words.append(STAY)


@pytest.mark.parametrize("isa, avx512", [("rv64gcv_zvkn", True), ("rv64gcv_zvl256b_zvbb", True), ("rv64gcv", False)])
def test_what_lives_in_registers_is_what_the_interpreter_has_in_memory(isa, avx512):
    """Each is run twice: when it is compiled, and then."""
    random, benches = Random(isa), both(isa, switches={"avx512": avx512})
    by_name = {row.name: row for row in rows_of(isa_strings.parse(isa).extensions)}
    names = {name for table in (COMPILED, BY_MASKS) for text in table.values() for name in text.split()}
    rows = [by_name[name] for name in sorted(names & by_name.keys())]
    for _ in range(200):
        mixture = Mixture(rows, random)
        mixture.prepare(benches, random)
        for bench in benches:
            bench.write(mixture.words)
            for _ in range(2):
                bench.native.write_x(5, TURNS)
                bench.native.write_x(12, DATA + 0x400)
                bench.reset()
                bench.run(mixture.steps)
        wanted, found = (bench.state() for bench in benches)
        assert wanted == found, [hex(word) for word in mixture.words]
        memories = [bench.machine.memory.read(DATA, 0x1000) for bench in benches]
        assert memories[0] == memories[1], [hex(word) for word in mixture.words]


MASKED = ("vadd.vv", "vxor.vi", "vmseq.vx", "vfadd.vf", "vmul.vv", "vwadd.wv")


def cases() -> list[tuple[str, int, int]]:
    """Instruction, width, mask bit."""
    found = [(name, width, 1) for widths, names in COMPILED.items() for name in names.split() for width in widths]
    return found + [(name, width, 0) for name, width, _ in found if name in MASKED]


def masked_cases() -> list[tuple[str, int, int]]:
    """The same where the host has AVX-512."""
    found = [(name, width, vm_bit) for widths, names in BY_MASKS.items() for name in names.split() for width in widths
             for vm_bit in (0, 1)]
    found += [(name, width, 0) for width, name in ((E8, "vle8.v"), (E32, "vse32.v"), (E64, "vle64.v"))]
    return found + [(name, E32, 0) for name in ("vfdiv.vv", "vfmacc.vf", "vfmadd.vv", "vfsqrt.v", "vmflt.vv",
                                                "vfcvt.f.xu.v", "vmul.vx", "vsll.vi")]


@pytest.fixture(scope="module", params=[True, False], ids=["avx512", "avx2"])
def benches(request):
    """Two machines, of which the second compiles; vtype is a legal one."""
    return with_vtype(request.param)


def with_vtype(avx512: bool) -> tuple[Bench, Bench]:
    pair = both("rv64gcv_zvkn_zvbb", switches={"avx512": avx512})
    for bench in pair:
        bench.write([encode("vsetvli", imm=E8 | M1, rs1=0, rd=11)])
        bench.run(1)
    return pair


@pytest.mark.parametrize("name, width, vm_bit", cases())
def test_what_is_compiled_leaves_nothing_to_the_interpreter(benches, name, width, vm_bit):
    run_alone(benches, name, width, vm_bit)


@pytest.mark.skipif(not instruction_sets()["AVX-512"], reason="this CPU has no AVX-512")
@pytest.mark.parametrize("name, width, vm_bit", masked_cases())
def test_what_masks_compile_leaves_nothing_to_the_interpreter(name, width, vm_bit):
    run_alone(with_vtype(True), name, width, vm_bit)


def run_alone(benches, name, width, vm_bit):
    row, random = BY_NAME[name], Random(f"{name} {width} {vm_bit}")
    fields = {"vd": 8, "vs3": 8, "vs2": 16, "vs1": 24}
    fields = {field: number for field, number in fields.items() if field in row.fields}
    fields |= {"vm": vm_bit} if "vm" in row.fields else {}
    registers = {"rs1": 12 if row.vector.startswith(("load", "store")) else 14, "frs1": 14, "rd": 16}
    registers = {operand: registers.get(kind, 16) for operand, (kind, *_) in row.registers.items()}
    loop = Loop([row], random, 3)
    loop.setting = Setting(width >> 3, 1)
    body = word_of(row, random, **registers, **fields)
    words = [encode("vsetvli", imm=width | M2, rs1=0, rd=11), body, encode("addi", rd=5, rs1=5, imm=-1)]
    words += [encode("bne", rs1=5, rs2=0, imm=-8), STAY]
    loop.prepare(benches, random)
    for bench in benches:
        bench.hart.csr["frm"] = 0
        bench.native.write_f(14, 0xFFFF_FFFF_3FC0_0000 if width == E32 else 0x3FF8_0000_0000_0000)
        for number in range(32):                # none is a NaN, and no product is infinity and 0
            bench.native.write_v(number, bytes(byte | 1 if byte & 0x70 != 0x70 else byte & 0xBF
                                               for byte in bench.native.read_v(number)))
        bench.write(words)
    interpreted = benches[1].interpreted()
    left = [bench.run(1 + 3 * TURNS + 1) for bench in benches]
    wanted, found = (bench.state() for bench in benches)
    assert wanted == found
    assert wanted["mcause"] == 0
    assert left[1] <= name.startswith("vs") * row.vector.startswith("store")    # the first write to a page
    assert benches[1].interpreted() - interpreted < 4       # before the end no whole trace fits


# --- Shapes ----------------------------------------------------------------------------------------------------------

def test_another_shape_on_the_way_into_a_trace(benches):
    """The loop is compiled for elements of 32 bits, and then entered with those of 8 and 64."""
    words = [encode("vadd.vi", vd=8, vs2=8, imm=1, vm=1), encode("addi", rd=5, rs1=5, imm=-1),
             encode("bne", rs1=5, rs2=0, imm=-8), STAY]         # fmt: skip
    for bench in benches:
        bench.write(words)
        for number, vtype in enumerate((E32 | M1, E8 | M2, E64 | M1)):
            place = 0x20 * number + 0x20
            start = [encode("vsetvli", imm=vtype, rs1=0, rd=11), encode("jal", rd=0, imm=-place - 4)]
            bench.write(start, bench.at + place)
    for turn in range(40):
        number = turn % 3 if turn > 4 else 0
        for bench in benches:
            bench.reset()
            bench.native.write_x(5, 6)
            bench.run(2 + 6 * 3, 0x20 * number + 0x20)
        wanted, found = (bench.state() for bench in benches)
        assert wanted == found, f"turn {turn}"


def test_a_loop_is_compiled_anew_where_vectors_have_another_shape_for_long():
    bench = Bench("rv64gcv", "jit")
    words = [encode("vadd.vi", vd=8, vs2=8, imm=1, vm=1), encode("addi", rd=5, rs1=5, imm=-1),
             encode("bne", rs1=5, rs2=0, imm=-8), STAY]         # fmt: skip
    bench.write(words)
    for vtype in (E32 | M1, E8 | M2):
        bench.write([encode("vsetvli", imm=vtype, rs1=0, rd=11), encode("jal", rd=0, imm=-0x84)], bench.at + 0x80)
        bench.native.write_x(5, 200)
        bench.native.write_v(8, bytes(16))
        bench.run(2 + 3 * 200, 0x80)
        assert bench.run(3 * 100) == 0
        dtype, sum_ = ("<u4", 300) if vtype == E32 | M1 else ("u1", 300 % 256)
        assert set(bench.hart.v[8].view(dtype)) == {sum_}


def test_a_loop_that_is_entered_with_fewer_elements_in_turn(benches):
    """After some time it is compiled for any number of them, where the host can do all of it with that."""
    words = [encode("vle32.v", vd=8, rs1=12, vm=1), encode("vfmacc.vf", vd=16, rs1=14, vs2=8, vm=1),
             encode("vadd.vi", vd=24, vs2=8, imm=1, vm=1), encode("vse32.v", vs3=24, rs1=13, vm=1),
             encode("addi", rd=5, rs1=5, imm=-1), encode("bne", rs1=5, rs2=0, imm=-20), STAY]     # fmt: skip
    start = [encode("vsetvli", imm=E32 | M4, rs1=10, rd=11), encode("jal", rd=0, imm=-0x84)]
    random, left = Random(0), 0
    values = struct.pack("<16f", *(random.uniform(-9, 9) for _ in range(16)))
    for bench in benches:
        bench.write(words)
        bench.write(start, bench.at + 0x80)
        bench.machine.memory.write(DATA, values)
        bench.native.write_f(14, 0xFFFF_FFFF_3FC0_0000)
        for number in range(16, 20):
            bench.native.write_v(number, bytes(16))
    for length in (16, 5, 16, 3, 16, 16, 9, 1) * 16:
        for bench in benches:
            bench.reset()
            for number, value in ((5, 4), (10, length), (12, DATA), (13, DATA + 0x100)):
                bench.native.write_x(number, value)
            left = bench.run(2 + 4 * 6, 0x80)
        wanted, found = (bench.state() for bench in benches)
        assert wanted == found, length
        assert len({bench.machine.memory.read(DATA, 0x200) for bench in benches}) == 1, length
    if benches[1].switches["avx512"] and instruction_sets()["AVX-512"]:
        assert left == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_a_vstart_that_a_program_sets_counts(benches, steps):
    """Between two instructions of a trace: arithmetic traps, a load begins with that element."""
    for name, fields in (("vadd.vv", {"vd": 8, "vs2": 16, "vs1": 24}), ("vle32.v", {"vd": 8, "rs1": 12})):
        words = [
            encode("vsetvli", imm=E32 | M1, rs1=0, rd=11), encode(name, vm=1, **fields),
            encode("csrrwi", csr=CSR["vstart"], zimm=2 * steps, rd=0), encode(name, vm=1, **fields), STAY,
        ]  # fmt: skip
        for bench in benches:
            bench.reset()
            bench.native.write_x(12, DATA)
            bench.native.write_v(16, bytes(range(16)))
            bench.write(words)
            bench.run(4)
        wanted, found = (bench.state() for bench in benches)
        assert wanted == found
        assert wanted["mcause"] == (ILLEGAL if steps and name == "vadd.vv" else 0)


@pytest.mark.parametrize("state", [0, 1 << 9, 2 << 9])
def test_the_state_off_or_clean_in_compiled_code(benches, state):
    """It is set between turns of a loop that has been compiled with the state dirty."""
    words = [encode("csrrc", csr=CSR["mstatus"], rs1=6, rd=0), encode("csrrs", csr=CSR["mstatus"], rs1=7, rd=0),
             encode("vadd.vi", vd=8, vs2=8, imm=1, vm=1), encode("vsetvli", imm=E16 | M1, rs1=0, rd=11),
             encode("addi", rd=5, rs1=5, imm=-1), encode("bne", rs1=5, rs2=0, imm=-20), STAY]   # fmt: skip
    for bench in benches:
        bench.write(words)
        for x6, x7 in ((0, 0), (VS, state)):
            bench.reset()
            start = [encode("vsetvli", imm=E32 | M1, rs1=0, rd=11), encode("jal", rd=0, imm=-0x84)]
            bench.write(start, bench.at + 0x80)
            bench.native.write_v(8, bytes(16))
            for number, value in ((5, 3), (6, x6), (7, x7)):
                bench.native.write_x(number, value)
            bench.run(2 + 6 * 3, 0x80)
    wanted, found = (bench.state() for bench in benches)
    assert wanted == found
    assert wanted["mcause"] == (0 if state else ILLEGAL)
    assert wanted["mstatus"] & VS == (VS if state else 0)


# --- Memory ----------------------------------------------------------------------------------------------------------

COPY = [
    encode("vsetvli", imm=E8 | M8, rs1=10, rd=11), encode("vle8.v", vd=8, rs1=12, vm=1),
    encode("vse8.v", vs3=8, rs1=13, vm=1), encode("sub", rd=10, rs1=10, rs2=11), encode("add", rd=12, rs1=12, rs2=11),
    encode("add", rd=13, rs1=13, rs2=11), encode("bne", rs1=10, rs2=0, imm=-24), STAY,
]  # fmt: skip


@pytest.mark.parametrize("switches", [{}, {"windows": False}, {"avx512": False}])
@pytest.mark.parametrize("isa", ["rv64gcv", "rv64gcv_zvl256b"])
def test_copies_of_all_sizes_stay_in_compiled_code(isa, switches):
    """And leave the bytes around, and the registers' tails, as they were."""
    bench = Bench(isa, "jit", switches=switches)
    bench.write(COPY)
    source = Random(isa).randbytes(1024)
    left = 0
    for size in (*range(1, 80), *range(120, 140), 255, 256, 257, 511, 700):
        start = size % 7
        bench.machine.memory.write(DATA, source)
        bench.machine.memory.write(DATA + 0x800, bytes(1024))
        for number, value in ((10, size), (12, DATA + start), (13, DATA + 0x800 + 64)):
            bench.native.write_x(number, value)
        room = 8 * bench.hart.csr["vlenb"]
        turns = -(-size // room)
        for number in range(8, 16):
            bench.native.write_v(number, b"\xA5" * (room // 8))
        left += bench.run(7 * turns)
        assert bench.machine.memory.read(DATA + 0x800, 1024) == (
            bytes(64) + source[start : start + size] + bytes(1024 - 64 - size)), size
        last = size - room * (turns - 1)
        registers = b"".join(bench.native.read_v(number) for number in range(8, 16))
        whole = source[start + size - last - room : start + size - last] if turns > 1 else b"\xA5" * room
        assert registers == source[start + size - last : start + size] + whole[last:], size
    assert left < 60            # of more than 300 accesses: at first no page is known, and may be written


def test_a_load_that_faults_in_the_middle_of_a_compiled_loop(benches):
    """The pointer moves up to the end of RAM; the last access begins in it."""
    words = [encode("vsetvli", imm=E32 | M2, rs1=0, rd=11), encode("vle32.v", vd=8, rs1=12, vm=1),
             encode("addi", rd=12, rs1=12, imm=32), encode("jal", rd=0, imm=-8)]        # fmt: skip
    for bench in benches:
        bench.reset()
        bench.write(words)
        bench.native.write_x(12, END - 32 * 5 - 12)
        bench.run(40)
    wanted, found = (bench.state() for bench in benches)
    assert wanted == found
    assert (wanted["mcause"], wanted["mtval"], wanted["vstart"]) == (LOAD_ACCESS, END, 3)


def test_a_fault_only_first_load_makes_fewer_elements_in_a_compiled_loop(benches):
    """What comes behind it in the trace has as many as there are then."""
    words = [
        encode("vsetvli", imm=E8 | M2, rs1=0, rd=11), encode("vle8ff.v", vd=8, rs1=12, vm=1),
        encode("csrrs", csr=CSR["vl"], rs1=0, rd=16), encode("vadd.vi", vd=16, vs2=16, imm=1, vm=1),
        encode("vmseq.vi", vd=1, vs2=8, imm=0, vm=1), encode("vfirst.m", vs2=1, rd=17, vm=1),
        encode("addi", rd=12, rs1=12, imm=32), encode("blt", rs1=12, rs2=13, imm=-28), STAY,
    ]  # fmt: skip
    for bench in benches:
        bench.reset()
        bench.machine.memory.write(END - 0x100, bytes(range(1, 0x100)) + b"\1")
        bench.write(words)
        bench.native.write_x(12, END - 32 * 5 - 12)
        bench.native.write_x(13, END)
        bench.run(6 * 8)
    wanted, found = (bench.state() for bench in benches)
    assert wanted == found
    assert (wanted["vl"], wanted["x16"], wanted["x12"]) == (12, 12, END + 20)


def test_a_store_into_the_loop_that_makes_it_is_noticed(benches):
    """The second turn finds another addend."""
    words = [encode("vsetvli", imm=E32 | M1, rs1=0, rd=11), encode("addi", rd=6, rs1=6, imm=1),
             encode("vse32.v", vs3=8, rs1=12, vm=1), encode("addi", rd=5, rs1=5, imm=-1),
             encode("bne", rs1=5, rs2=0, imm=-12), STAY]        # fmt: skip
    for bench in benches:
        bench.reset()
        bench.write(words)
        new = [encode("addi", rd=6, rs1=6, imm=100), *words[2:5]]
        bench.native.write_v(8, struct.pack("<4I", *new))
        for number, value in ((5, 3), (6, 0), (12, bench.at + 4)):
            bench.native.write_x(number, value)
        bench.run(1 + 4 * 3)
    wanted, found = (bench.state() for bench in benches)
    assert wanted == found
    assert wanted["x6"] == 201


def test_recorded_accesses_are_those_of_the_elements():
    bench = Bench("rv64gcv", "jit")
    bench.write(COPY)
    for number, value in ((10, 5), (12, DATA), (13, DATA + 64)):
        bench.native.write_x(number, value)
    bench.hart.pc = bench.at
    with bench.machine.trace("memory") as trace:
        bench.machine.run(instructions=7)
    counts = Counter(int(record["address"]) for record in trace.array)
    assert counts == Counter([DATA + place for place in range(5)] + [DATA + 64 + place for place in range(5)])


# --- Numbers ---------------------------------------------------------------------------------------------------------

INVALID, OVERFLOW, INEXACT = 16, 4, 1
INFINITY, NAN, SIGNALLING, HUGE, ONE, TWO, ZERO, MINUS = (
    0x7F80_0000, 0x7FC0_0001, 0x7F80_0001, 0x7F00_0000, 0x3F80_0000, 0x4000_0000, 0, 0xFF80_0000)


@pytest.mark.parametrize("a, b, d, result, flags", [
    (INFINITY, ZERO, NAN, 0x7FC0_0000, INVALID), (ZERO, INFINITY, NAN, 0x7FC0_0000, INVALID),
    (HUGE, HUGE, NAN, 0x7FC0_0000, 0), (INFINITY, ONE, MINUS, 0x7FC0_0000, INVALID),
    (SIGNALLING, ONE, ONE, 0x7FC0_0000, INVALID), (NAN, ONE, ONE, 0x7FC0_0000, 0), (ONE, ONE, ONE, TWO, 0),
    (HUGE, HUGE, ONE, INFINITY, OVERFLOW | INEXACT),
])  # fmt: skip
@pytest.mark.parametrize("name", ["vfmacc.vv", "vfmadd.vv", "vfmacc.vf"])
def test_flags_and_nans_of_fused_operations(benches, name, a, b, d, result, flags):
    """One element of eight; the others give 1 * 1 + 0. IEEE 754-2019, 7.2 (c): RISC-V has it with a quiet NaN, too."""
    if name == "vfmadd.vv":
        a, d = d, a                             # d * b + a
    element = 5
    bench = benches[1]
    bench.reset()
    bench.hart.csr["fcsr"] = 0
    interpreted = bench.interpreted()
    quiet = {16: ONE, 24: ONE, 8: ZERO} if name != "vfmadd.vv" else {16: ZERO, 24: ONE, 8: ONE}
    for number, value in ((16, a), (24, b), (8, d)):
        values = [quiet[number]] * 8
        values[element] = value
        for half in range(2):
            bench.native.write_v(number + half, struct.pack("<4I", *values[4 * half : 4 * half + 4]))
    if name == "vfmacc.vf":
        if b != ONE:
            pytest.skip("the scalar is that of all elements")
        bench.native.write_f(14, 0xFFFF_FFFF_0000_0000 | b)
    second = {"frs1" if name.endswith("f") else "vs1": 14 if name.endswith("f") else 24}
    row = BY_NAME[name]
    word = word_of(row, Random(0), vd=8, vs2=16, vm=1, **({"rs1": 14} if name.endswith("f") else second))
    bench.write([encode("vsetvli", imm=E32 | M2, rs1=0, rd=11), word, STAY])
    assert bench.run(3) == 0
    assert bench.interpreted() == interpreted
    values = struct.unpack("<8I", bench.native.read_v(8) + bench.native.read_v(9))
    assert values[element] == result
    assert {value for place, value in enumerate(values) if place != element} == {ONE}
    assert bench.hart.csr["fflags"] == flags


@pytest.mark.parametrize("vl", [4, 8, 12, 16])
@pytest.mark.parametrize("large", range(16))
def test_a_large_integer_without_sign_becomes_a_float_wherever_it_stands(benches, large, vl):
    """Also where groups end with half of what the host computes at once."""
    bench = benches[1]
    bench.reset()
    values = [0x8005_0000 if place == large else place for place in range(16)]
    for part in range(4):
        bench.native.write_v(16 + part, struct.pack("<4I", *values[4 * part : 4 * part + 4]))
    bench.write([encode("vsetivli", imm=E32 | M4, zimm=vl, rd=11), encode("vfcvt.f.xu.v", vd=8, vs2=16, vm=1), STAY])
    bench.run(3)
    found = struct.unpack("<16f", b"".join(bench.native.read_v(8 + part) for part in range(4)))
    assert found[:vl] == tuple(float(value) for value in values[:vl])


def test_without_the_part_everything_is_left_to_the_interpreter():
    bench = Bench("rv64gcv", "jit", switches={"vectors": False})
    bench.write([encode("vsetvli", imm=E32 | M2, rs1=0, rd=11), encode("vadd.vv", vd=8, vs2=16, vs1=24, vm=1), STAY])
    assert bench.run(3) == 2
