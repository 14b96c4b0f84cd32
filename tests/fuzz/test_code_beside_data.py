"""Random programs whose data lies between their instructions, and which now and then store into those: every engine
does what a few lines of Python do that fetch each instruction from memory anew.

The seeds are fixed; others, and more of them:

    VM_FUZZ_SEED=1000000 VM_FUZZ_CASES=10000 python -m pytest tests/fuzz/test_code_beside_data.py
"""

import os
from random import Random
from typing import NamedTuple

import pytest

import vm
from tests.assembler import BASE
from vm_native.interpreter.forms import forms
from vm_native.riscv.instructions import encode

FIRST = int(os.environ.get("VM_FUZZ_SEED", "1"))
CASES = int(os.environ.get("VM_FUZZ_CASES", "150"))
SIZE = 3 * 4096
ENDLESS = 100_000                                           # steps: a program that takes more hangs
ZERO, S0, T6 = 0, 8, 31                                     # register numbers
POINTERS = {9: 0x7F0, 18: 0x17E0, 19: 0x27D0}               # s1, s2, s3: offsets from BASE that they hold
VALUES = (5, 6, 7, 28, 29, 30)                              # t0 to t5: each two instructions
SUMS = range(10, 18)                                        # a0 to a7
STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8, "amoswap.w": 4}
C_NOP, WFI = 0x0001, 0x1050_0073
BITS = (1 << 64) - 1


class Program(NamedTuple):
    image: bytes                            # of SIZE bytes at BASE, where it begins
    registers: dict[int, int]


def random_add(random: Random) -> int:
    register = random.choice(SUMS)
    return encode("addi", rd=register, rs1=register, imm=random.randrange(-2048, 2048))


class Layout:
    """Where what is: instructions that may be overwritten, in pairs, and data."""

    def __init__(self, random: Random):
        self.random = random
        self.image = bytearray(SIZE)
        self.at = 0
        self.pairs: list[int] = []
        self.data: list[tuple[int, int]] = []
        self.stores: list[int] = []         # places of instructions that are chosen at the end

    def put(self, word: int, size: int = 4) -> None:
        self.image[self.at : self.at + size] = word.to_bytes(size, "little")
        self.at += size

    def add_unit(self) -> None:
        random = self.random
        kind = random.choice(("pair", "pair", "data", "store", "store", "store", "skip"))
        if kind == "pair":
            self.pairs.append(self.at)
            self.put(random_add(random))
            self.put(random_add(random))
        elif kind == "data":
            size = random.randrange(4, random.choice((9, 33, 600)), 4)
            self.put(encode("jal", rd=ZERO, imm=4 + size))
            self.data.append((self.at, size))
            self.at += size
        elif kind == "store":
            self.stores.append(self.at)
            self.at += 8
        else:
            self.put(encode("andi", rd=T6, rs1=S0, imm=random.choice((1, 2, 4, 7))))
            self.put(encode("beq", rs1=T6, rs2=ZERO, imm=8))
            self.put(random_add(random))

    def place_of_store(self, name: str) -> int:
        """An offset at which a store of this kind leaves a program that can run."""
        random, size = self.random, STORES[name]
        if random.random() < 0.15 and self.pairs:
            pair = random.choice(self.pairs)
            astride = any(at + length == pair for at, length in self.data)      # data before it
            return pair + random.choice({1: (3, 7), 2: (2, 6), 4: (0, 4), 8: (0, -4) if astride else (0,)}[size])
        at, length = random.choice([place for place in self.data if place[1] >= size])
        return at + random.randrange(length - size + 1)

    def fill_store(self, at: int) -> None:
        random = self.random
        name = random.choice(list(STORES))
        place = self.place_of_store(name)
        if name == "amoswap.w" and place % 4:
            name = "sw"
        base = min(POINTERS, key=lambda register: abs(POINTERS[register] - place))
        offset, value = place - POINTERS[base], random.choice(VALUES)
        self.at = at
        if name == "amoswap.w":
            self.put(encode("addi", rd=T6, rs1=base, imm=offset))
            self.put(encode(name, rd=random.choice((ZERO, *SUMS)), rs1=T6, rs2=value))
        else:
            self.put(encode(name, rs1=base, rs2=value, imm=offset))
            self.put(random_add(random))


def make_program(seed: int) -> Program:
    random = Random(seed)
    layout = Layout(random)
    if random.random() < 0.5:
        layout.put(C_NOP, 2)                # from here on instructions cross from page to page
    start = layout.at
    layout.put(encode("jal", rd=ZERO, imm=4 + 64))
    layout.data.append((layout.at, 64))
    layout.at += 64
    end = random.choice((300, 1000, SIZE - 700))
    while layout.at < end:
        layout.add_unit()
    layout.put(encode("addi", rd=S0, rs1=S0, imm=-1))
    layout.put(encode("beq", rs1=S0, rs2=ZERO, imm=8))
    layout.put(encode("jal", rd=ZERO, imm=start - layout.at))
    layout.put(WFI)
    for at in layout.stores:
        layout.fill_store(at)
    registers = {S0: random.choice((3, 20, 60))}
    registers |= {register: BASE + offset for register, offset in POINTERS.items()}
    registers |= {register: random_add(random) | random_add(random) << 32 for register in VALUES}
    return Program(bytes(layout.image), registers)


def signed(value: int, bits: int) -> int:
    return value - (value >> bits - 1 << bits)


def run_model(program: Program) -> tuple[list[int], bytes, int]:
    """Registers, memory and steps once `wfi` is done: RV64I and amoswap.w, by the tables of the specification."""
    memory = bytearray(program.image)
    x = [program.registers.get(number, 0) for number in range(32)]
    pc = steps = 0
    while steps < ENDLESS:
        word = int.from_bytes(memory[pc : pc + 4], "little")
        steps += 1
        if word & 0xFFFF == C_NOP:
            pc += 2
            continue
        opcode, rd, funct3, rs1, rs2 = word & 127, word >> 7 & 31, word >> 12 & 7, word >> 15 & 31, word >> 20 & 31
        following = pc + 4
        if opcode == 0x13:                                  # addi, andi
            immediate = signed(word >> 20, 12)
            x[rd] = (x[rs1] + immediate if funct3 == 0 else x[rs1] & immediate) & BITS
        elif opcode == 0x23:
            immediate = signed(word >> 25 << 5 | rd, 12)
            size, at = 1 << funct3, x[rs1] + immediate - BASE
            memory[at : at + size] = x[rs2].to_bytes(8, "little")[:size]
        elif opcode == 0x2F:
            at = x[rs1] - BASE
            old = signed(int.from_bytes(memory[at : at + 4], "little"), 32) & BITS
            memory[at : at + 4] = (x[rs2] & 0xFFFF_FFFF).to_bytes(4, "little")
            x[rd] = old
        elif opcode == 0x63:                                # beq
            if x[rs1] == x[rs2]:
                following = pc + signed((word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 63) << 5
                                        | (word >> 8 & 15) << 1, 13)
        elif opcode == 0x6F:
            following = pc + signed((word >> 31) << 20 | (word >> 12 & 255) << 12 | (word >> 20 & 1) << 11
                                    | (word >> 21 & 1023) << 1, 21)
        else:
            assert word == WFI, f"{word:#010x} at {pc:#x}"
            return x, bytes(memory), steps
        x[ZERO] = 0
        pc = following
    raise AssertionError("hangs")


ENGINES = {
    **{form: ("interpreter", vm.Settings(dispatch=form)) for form in forms()},
    **{f"jit, hot {hot}": ("jit", vm.Settings(hot=hot)) for hot in (0, 2, 10)},
}


@pytest.mark.parametrize("engine", ENGINES)
def test_programs_that_store_between_their_instructions_and_into_them(engine, tmp_path):
    name, settings = ENGINES[engine]
    for seed in range(FIRST, FIRST + CASES):
        program = make_program(seed)
        registers, memory, steps = run_model(program)
        random = Random(seed)
        (tmp_path / "program.bin").write_bytes(program.image)
        with vm.Machine(memory="1M", engine=name, settings=settings) as machine:
            machine.load(tmp_path / "program.bin", address=BASE)
            hart = machine.harts[0]
            for number in range(1, 32):
                hart.x[number] = program.registers.get(number, 0)
            pieces = random.choice((ENDLESS, 1000, 37))
            while machine.run(instructions=pieces).reason is not vm.StopReason.IDLE:
                assert machine.steps <= steps, f"seed {seed}"
            assert machine.steps == steps, f"seed {seed}"
            assert [hart.x[number] for number in range(32)] == registers, f"seed {seed}"
            assert machine.memory.read(BASE, SIZE) == memory, f"seed {seed}"
