"""Single instructions on a machine, and programs that try many of them on many operands, for us and for Spike."""

import random
import struct
import subprocess
from pathlib import Path

import vm
from tests.assembler import BASE, assemble_elf
from tests.conformance.encoding import encode_on, immediate_bits
from tests.conformance.operands import integer
from tests.conformance.spike import executable, isa_string
from vm.stop import StopReason
from vm_native.riscv.instructions import Row

ILLEGAL_INSTRUCTION = 2
HANDLER = BASE + 0x100
REGISTERS = {"rd": 10, "rs1": 11, "rs2": 12}
MEMORY = ("lbu", "lh", "lhu", "sb", "sh")       # what loads and stores expand to
PAIRS = 128                                     # of operands, for each instruction
END = """
    la   t0, tohost
    li   t1, 1
    sd   t1, (t0)
1:  j    1b
    .balign 64
    .globl tohost, begin_signature, end_signature
tohost:   .dword 0
fromhost: .dword 0
"""


class SingleSteps:
    """A machine that executes one instruction at a time: steps("ror", 1, 2) is what it writes to rd."""

    def __init__(self, **options):
        self.machine = vm.Machine(memory="1M", **options)
        self.machine.load(assemble_elf("nop"))
        self.hart = self.machine.harts[0]
        self.hart.csr["mtvec"] = HANDLER

    def __call__(self, name: str, rs1: int, rs2: int = 0, immediate: int = 0) -> int:
        self.hart.x[11], self.hart.x[12] = rs1, rs2
        assert self.is_legal(encode_on(REGISTERS, name, immediate)), f"{name} is illegal"
        return self.hart.x[10]

    def is_legal(self, word: int) -> bool:
        self.machine.memory.write(BASE, word.to_bytes(4, "little"))
        self.hart.pc = BASE
        self.hart["mcause"] = 0
        self.machine.run(instructions=1)
        return self.hart["mcause"] != ILLEGAL_INSTRUCTION


def immediates(row: Row) -> list[int]:
    """All that the row can have."""
    bits = immediate_bits(row)
    return [value for value in range((bits if row.at_most < 0 else row.at_most) + 1) if not value & ~bits]


def program(rows: list[Row]) -> Path:
    """Executes every row with all its immediates and many pairs of operands; the results form the signature.

    a0 and a1 hold the first operand, a2 the second; the result is a0. Loads and stores find in a1 the address of the
    pair, and what they leave there is part of the result.
    """
    choice = random.Random(1)
    pairs = [(integer(choice), integer(choice)) for _ in range(PAIRS - 64)]
    for byte in range(0, 256, 4):               # all bytes in all places, for what substitutes them
        word = int.from_bytes(range(byte, byte + 4), "little") * 0x1_0000_0001
        pairs.append((word, word))
    count, text = 0, ["la s1, begin_signature"]
    for row in rows:
        memory = row.base is not None and row.base.name in MEMORY
        for immediate in immediates(row):
            count += len(pairs)
            text.append(f"""
                la   s2, operands
                la   s3, operands_end
            1:  ld   a0, 0(s2)
                ld   a2, 8(s2)
                mv   a1, {"s2" if memory else "a0"}
                .{"half" if row.length == 2 else "word"} {encode_on(REGISTERS, row.name, immediate):#x}
                ld   a3, 0(s2)
                {"xor a0, a0, a3" if memory else ""}
                sd   a0, (s1)
                addi s1, s1, 8
                addi s2, s2, 16
                bltu s2, s3, 1b
            """)
    data = "\n".join(f".dword {a:#x}, {b:#x}" for a, b in pairs)
    room = f"operands:\n{data}\noperands_end:\nbegin_signature: .zero {count * 8}\nend_signature:"
    return assemble_elf("\n".join(text) + END + room)


def signature(elf: Path, isa: str) -> list[int]:
    """What the program leaves on our machine, as 64-bit words."""
    with vm.Machine(memory="4M", isa=isa) as machine:
        symbols = machine.load(elf).symbols
        stop = machine.run(instructions=10_000_000)
        assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0), stop
        start, end = symbols["begin_signature"].address, symbols["end_signature"].address
        return [word for (word,) in struct.iter_unpack("<Q", machine.memory.read(start, end - start))]


def signature_on_spike(elf: Path, isa: str, folder: Path) -> list[int]:
    output = folder / "signature"
    options = ["-m4", f"--isa={isa_string(isa)}", f"+signature={output}", "+signature-granularity=8"]
    subprocess.run([executable(), *options, elf], check=True, capture_output=True, timeout=60)
    return [int(line, 16) for line in output.read_text().split()]
