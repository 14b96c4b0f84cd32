"""Every fused pair does what its two uops do one after the other: registers, memory, traps, steps.

Two machines run the same two instructions from the same state, one with fusion and one without; test_interpreter.py
and arithmetic/test_floating.py say whether the latter is right. A third of the runs end between the two instructions.
"""

import random
from dataclasses import replace

import pytest

import vm
from tests.assembler import BASE, assemble_elf
from tests.conformance.encoding import encode_on, immediate_bits
from tests.conformance.operands import floating, integer
from vm_native.ir.pairs import Pair, make_pair, may_begin, read_pairs
from vm_native.ir.semantics import Branch, Jump, MemoryAccess
from vm_native.ir.uops import UOPS
from vm_native.jit.compiler import unavailable
from vm_native.riscv.instructions import ROWS, Row, encode
from vm_native.testing.neighbours import take_counts

PAIRS = read_pairs(UOPS)
PAGE = 4096
CODE, HANDLER, DATA = BASE + 0x10_0000, BASE + 0x100, BASE + 0x30_0000
ROOM = 64                                       # bytes of code for each run: no page is overwritten all the time
LOOP = encode("jal", rd=0)
NOP = encode("addi", rd=0, rs1=0)
REGISTERS = range(10, 18)
FP_DIRTY = 3 << 13
BUDGETS = (1, 2, 5)


def row_of(uop: str) -> tuple[Row, int]:
    """An instruction that becomes this uop, and its rounding mode (to nearest even, or towards zero)."""
    name = uop.removesuffix(".rtz")
    return next(row for row in ROWS if row.uop == name and row.length == 4 and not row.base), int(name != uop)


class Case:
    """Two instructions: words[0] and words[1], which is missing where the block just ends behind the first."""

    def __init__(self, pair: Pair, choice: random.Random, apart: bool):
        self.pair = pair
        numbers = list(range(10, 17)) if apart else choice.choices(REGISTERS, k=7)
        self.first = dict(zip(("rd", "rs1", "rs2", "rs3"), numbers[:4], strict=True))
        self.second = dict(zip(("rd", "rs1", "rs2", "rs3"), [*numbers[4:], 17], strict=True))
        if pair.passed:
            self.second[pair.passed] = self.first["rd"]
        self.immediate = 0 if apart else choice.getrandbits(5)
        self.words = [self.word(pair.first, self.first, self.immediate)]
        if pair.second.name != "fall":
            # A branch or jump leads to the loop behind the second instruction, or beyond it.
            ends = isinstance(pair.second.meaning, Branch | Jump)
            self.words.append(self.word(pair.second, self.second, 8 if ends else self.immediate))

    @staticmethod
    def word(uop, registers: dict[str, int], immediate: int) -> int:
        row, rounding = row_of(uop.name)
        if row.name == "auipc":
            immediate = 0x4000_0000 if immediate & 1 else DATA - CODE     # an address beyond RAM, or near the data
        rounds = {"rm": rounding} if row.rounds else {}
        return encode_on(registers, row.name, immediate & immediate_bits(row), **rounds)


class Twins:
    """A machine that fuses and one that does not."""

    def __init__(self):
        self.machines = []
        for fusion in (True, False):
            settings = replace(vm.Settings.from_environment(), fusion=fusion)
            machine = vm.Machine(memory="4M", isa="rv64gc_zba_zbb_zbs_zicond_zicntr", settings=settings)
            machine.load(assemble_elf("nop"))
            machine.memory.write(HANDLER, LOOP.to_bytes(4, "little") * 4)
            machine.harts[0].csr["mtvec"] = HANDLER
            self.machines.append(machine)
        self.place = CODE

    def close(self) -> None:
        for machine in self.machines:
            machine.close()

    def compare(self, case: Case, values: dict[int, int], floats: dict[int, int], data: bytes) -> int | None:
        """Run both for each budget; which of the two instructions trapped in the longest run, if one did."""
        code = self.place
        self.place += ROOM
        if len(case.words) == 1:
            code = self.place = (self.place | PAGE - 1) + 1 - 4     # the block ends with the page
            self.place += 4
        text = b"".join(word.to_bytes(4, "little") for word in [*case.words, NOP, LOOP, LOOP, LOOP])
        for machine in self.machines:
            machine.memory.write(code, text)
        for budget in BUDGETS:
            fused, plain = (self.run(machine, code, budget, values, floats, data) for machine in self.machines)
            assert fused == plain, f"{case.pair}: {[f'{word:#010x}' for word in case.words]} {budget=} {values=}"
        return (fused["mepc"] - code) // 4 if fused["traps"] else None

    @staticmethod
    def run(machine, code: int, budget: int, values, floats, data: bytes) -> dict:
        hart = machine.harts[0]
        machine.memory.write(DATA, data)
        for number in REGISTERS:
            hart.x[number] = values[number]
            hart.csr["mstatus"] = FP_DIRTY
            hart.f_bits[number] = floats[number]
        hart.csr["fflags"] = 0
        for name in ("mcause", "mepc", "mtval", "minstret"):
            hart.csr[name] = 0
        hart.pc = code
        stop = machine.run(instructions=budget)
        state = {name: hart.csr[name] for name in ("mcause", "mepc", "mtval", "minstret", "fflags")}
        return state | {
            "traps": stop.steps - state["minstret"], "stop": (stop.reason, stop.steps), "pc": hart.pc,
            "x": [hart.x[number] for number in REGISTERS], "f": [hart.f_bits[number] for number in REGISTERS],
            "data": machine.memory.read(DATA - 64, len(data) + 128), "code": machine.memory.read(code, ROOM // 2),
        }


@pytest.fixture
def twins(dispatch):
    made = Twins()
    yield made
    made.close()


NOTHING = dict.fromkeys(REGISTERS, 0)
BLANK = bytes(256)


def test_pairs_of_any_operands(twins):
    """Registers that overlap in every way; addresses that are good, misaligned, and nowhere."""
    choice = random.Random(1)
    for pair in PAIRS:
        for apart in (True, False, False, False):
            values = {number: choice.choice((DATA + 64, DATA + choice.randrange(128), 8, integer(choice)))
                      for number in REGISTERS}
            floats = {number: floating(choice) for number in REGISTERS}
            data = b"".join(choice.choice((DATA, integer(choice))).to_bytes(8, "little") for _ in range(32))
            twins.compare(Case(pair, choice, apart), values, floats, data)


def test_faults_in_the_first_half(twins):
    """All addresses are 0, where there is nothing: the first half faults, and nothing has happened."""
    choice = random.Random(2)
    for pair in PAIRS:
        if isinstance(pair.first.meaning, MemoryAccess):
            assert twins.compare(Case(pair, choice, apart=True), NOTHING, NOTHING, BLANK) == 0, pair


def test_faults_in_the_second_half(twins):
    """The second half faults after the first has been done, whatever address the first may have passed to it."""
    choice = random.Random(3)
    for pair in PAIRS:
        if isinstance(pair.second.meaning, MemoryAccess):
            case = Case(pair, choice, apart=True)
            if pair.first.name == "wide":
                case.immediate = 1
                case.words[0] = case.word(pair.first, case.first, 1)
            values = NOTHING | ({case.first["rs1"]: DATA} if isinstance(pair.first.meaning, MemoryAccess) else {})
            assert twins.compare(case, values, NOTHING, BLANK) == 1, pair


def test_both_halves_go_the_slow_way(twins):
    """Misaligned accesses go through slow paths: the second half then runs in its own handler."""
    choice = random.Random(4)
    for pair in PAIRS:
        if isinstance(pair.first.meaning, MemoryAccess):
            values = dict.fromkeys(REGISTERS, DATA + 65)
            twins.compare(Case(pair, choice, apart=True), values, NOTHING, bytes(range(256)))


def test_no_pair_is_listed_twice():
    assert len(PAIRS) == len(set(map(str, PAIRS))) > 0


@pytest.mark.parametrize("line, complaint", [("beq add", "beq"), ("add call", "call"), ("sd add rs1", "sd"),
                                             ("add lui rs3", "rs3")])
def test_pair_that_cannot_be_is_refused(line, complaint):
    """A branch goes on elsewhere, a helper may leave, and a store has no result to pass on."""
    with pytest.raises((AssertionError, KeyError), match=complaint):
        read_pairs(UOPS, [line])


def test_what_may_begin_a_pair_goes_on():
    names = {row.name for row in UOPS if not may_begin(row)}
    assert {"beq", "jal", "jalr", "fall", "call", "lr.d", "sc.w", "amoadd.d"} <= names
    assert not names & {"ld", "sd", "add", "fadd.d", "wide", "li"}
    assert str(make_pair(*[row for row in UOPS if row.name == "add"] * 2, "rs2")) == "add add rs2"


@pytest.mark.skipif(unavailable() is not None, reason="a machine counts the uses of blocks for its compiler")
def test_neighbours_are_counted_by_executions(monkeypatch):
    """What benchmarks/fusion.py chooses by: each pair as often as its block ran, and whether a result is passed."""
    monkeypatch.setenv("VM_JIT_HOT", str(2**32 - 1))
    with vm.Machine(memory="4M", engine="jit") as machine:
        machine.load(assemble_elf("li a0, 100\n1: add a1, a2, a3\n addi a0, a0, -1\n bnez a0, 1b\n 2: j 2b"))
        machine.run(instructions=301)
        counts = take_counts(machine._native)
        assert counts["add", "addi", 0] == 100
        assert counts["addi", "bne", 1] == 100
        assert sum(take_counts(machine._native).values()) == 0
