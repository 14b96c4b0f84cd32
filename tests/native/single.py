"""Single instructions on a machine, and many of them, over many operands, in a program that also runs on Spike."""

import random
import struct
from pathlib import Path

import pytest

import vm
from tests.assembler import BASE, assemble_elf
from tests.encoder import encode
from tests.native.spike import EXIT, SPIKE, signature_on_spike
from vm.stop import StopReason
from vm_native.riscv.instructions import BY_NAME, Row

ILLEGAL_INSTRUCTION = 2
HANDLER = BASE + 0x100
OPERANDS = 64                           # pairs for each instruction
CORNERS = (
    0, 1, 2, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
    (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 0x0123_4567_89AB_CDEF, 0x0001_0203_0405_0607, 0xFEDC_BA98_7654_3210,
)  # fmt: skip


class SingleSteps:
    """A machine that executes one instruction at a time: steps("ror", 1, 2) -> what it writes to rd."""

    def __init__(self, **options):
        self.machine = vm.Machine(memory="1M", **options)
        self.machine.load(assemble_elf("nop"))
        self.hart = self.machine.harts[0]
        self.hart.csr["mtvec"] = HANDLER

    def __call__(self, name: str, rs1: int, rs2: int = 0, immediate: int = 0) -> int:
        self.hart.x[11], self.hart.x[12] = rs1, rs2
        self.step(encode(BY_NAME[name], immediate, rd=10, rs1=11, rs2=12))
        assert self.hart.pc == BASE + 4, f"{name} trapped"
        return self.hart.x[10]

    def step(self, word: int) -> None:
        self.machine.memory.write(BASE, word.to_bytes(4, "little"))
        self.hart.pc = BASE
        self.machine.run(instructions=1)

    def is_legal(self, word: int) -> bool:
        self.step(word)
        return not (self.hart.pc == HANDLER and self.hart["mcause"] == ILLEGAL_INSTRUCTION)


def operand_pairs(seed: int) -> list[tuple[int, int]]:
    """Corners, and numbers with few or many bits set."""
    draw = random.Random(seed)

    def number() -> int:
        choice = draw.randrange(4)
        if choice == 0:
            return draw.choice(CORNERS)
        bits = draw.getrandbits(64)
        return bits if choice == 1 else bits >> draw.randrange(64) if choice == 2 else 1 << draw.randrange(64)

    return [(number(), number()) for _ in range(OPERANDS)]


def immediates(row: Row) -> list[int]:
    """All that the row can have, as they are encoded."""
    if not row.pieces:
        return [0]
    mask = sum((1 << piece.width) - 1 << piece.target for piece in row.pieces)
    last = row.at_most if row.at_most >= 0 else mask
    return [value for value in range(last + 1) if not value & ~mask]


def program(rows: list[Row], pairs: list[tuple[int, int]]) -> str:
    """Executes every row with all its immediates and all pairs; the results form the signature.

    a0 and a1 hold the first operand, a2 the second; the result is a0. Loads and stores of Zcb find in a1 the address
    of the pair, and what they leave there is part of the result.
    """
    count, text = 0, ["la s1, begin_signature"]
    for row in rows:
        memory = row.base is not None and (row.base.semantic_access if False else row.base.name[0] in "ls"
                                           and row.base.name in ("lbu", "lh", "lhu", "sb", "sh"))
        for immediate in immediates(row):
            registers = {"rd": 10, "rs1": 11, "rs2": 12}
            word = encode(row, immediate, **registers)
            count += len(pairs)
            text.append(f"""
                la   s2, operands
                la   s3, operands_end
            1:  ld   a0, 0(s2)
                ld   a2, 8(s2)
                {"mv a1, s2" if memory else "mv a1, a0"}
                .{"half" if row.length == 2 else "word"} {word:#x}
                {"ld a3, 0(s2); add a0, a0, a3" if memory else ""}
                sd   a0, (s1)
                addi s1, s1, 8
                addi s2, s2, 16
                bltu s2, s3, 1b
            """)
    data = "\n".join(f".dword {a:#x}, {b:#x}" for a, b in pairs)
    return "\n".join(text) + EXIT + f"""
        .balign 64
    operands:
        {data}
    operands_end:
        .globl begin_signature, end_signature
    begin_signature:
        .zero {count * 8}
    end_signature:
    """
