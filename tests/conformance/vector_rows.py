"""Programs that execute every row of the vector extension with one selected width and length of groups, many times.

There is no log of them: what they computed goes into hashes, one for some instructions and a turn of the program's
loop, and those are compared with Spike's. A turn has other data, another number of elements and other rounding modes.
All registers are loaded anew before some instructions, so that each has numbers that are worth computing with.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

import vm
from tests.conformance import operands, spike
from tests.conformance.generator import word_of
from tests.conformance.image import BASE, Image
from tests.conformance.ours import Ours
from tests.conformance.spike import RAM_SIZE
from tests.conformance.vectors import FS, INDICES, VS, Setting, numbers, suits, vector_fields
from vm_native.riscv.instructions import Row, encode
from vm_native.riscv.instructions.vector_shapes import WIDTHS
from vm_native.riscv.registers import CSR_NUMBERS as CSR

CODE_SIZE, TOHOST, SETTINGS, CONSTANTS, SMALL, DATA, DATA_SIZE, DUMP, SIGNATURE = (
    0x2_0000, 0x2_0000, 0x2_1000, 0x2_2000, 0x2_6000, 0x3_0000, 0x2_0000, 0x5_0000, 0x6_0000)
CONSTANT_SIZE, SMALL_SIZE = 0x4000, 0x400       # what is loaded at a time is up to 1 KiB
TURNS = 50
TOGETHER = 8                                    # instructions that have one hash
TRIES = 40
# Registers of a program
LINK, HASH, AT, END, WORD, STRIDE, SCALAR, RESULT, AVL, VTYPE, TURN, PLACE, FROM, TRAPS, PRIME = (
    1, 5, 6, 7, 28, 11, 12, 14, 15, 16, 20, 21, 22, 27, 29)
POINTER = 10


class Chosen(NamedTuple):
    """A row and the words of it that are in a program."""

    row: Row
    words: list[int]


class Judge:
    """Says which words are legal with a setting, by trying."""

    def __init__(self, isa: str):
        self.machine = vm.Machine(memory=RAM_SIZE, isa=isa, engine="interpreter")
        self.hart = self.machine.harts[0]

    def is_legal(self, word: int, setting: Setting) -> bool:
        hart = self.hart
        hart.csr["mstatus"] = FS | VS
        hart.csr["frm"] = hart.csr["vstart"] = 0
        hart.csr["mtvec"] = BASE + 0x100
        self.machine.memory.write(BASE, struct.pack("<II", everything(setting), word))
        hart.pc = BASE
        for register in (POINTER, STRIDE):
            hart[f"x{register}"] = {POINTER: BASE + DATA, STRIDE: 8}[register]
        for number in range(32):
            self.machine._natives[0].write_v(number, bytes(self.machine.isa.vlen // 8))
        self.machine.run(instructions=2)
        return hart.pc == BASE + 8


def everything(setting: Setting, rd: int = VTYPE) -> int:
    """As many elements as there is room for."""
    return encode("vsetvli", imm=type_of(setting), rs1=0, rd=rd)


def type_of(setting: Setting) -> int:
    return setting.size << 3 | setting.lmul & 7


def settings() -> Iterator[Setting]:
    """Those that a hart with ELEN = 64 has."""
    for size in range(4):
        for lmul in range(size - 3, 4):
            yield Setting(size, lmul)


def choose(judge: Judge, rows: Sequence[Row], setting: Setting, random: Random, largest: int) -> list[Chosen]:
    """Words for all rows that can be executed with this setting: one with the mask, one without."""
    found = []
    for row in rows:
        if not suits(row, setting, largest):
            continue
        words = []
        for masked in (0, 1):
            for _ in range(TRIES):
                fields = vector_fields(row, setting, random)
                if "vm" in row.fields:
                    fields["vm"] = 1 - masked
                if row.vector.split()[0].endswith("indexed"):
                    fields["vs2"] = INDICES
                    fields |= {name: fields[name] % 16 for name in ("vd", "vs3") if name in fields}
                accesses = row.vector.startswith(("load", "store"))
                fields |= {"rs1": POINTER if accesses else SCALAR, "rs2": STRIDE, "rd": RESULT}
                word = word_of(row, random, **fields)
                if judge.is_legal(word, setting):
                    words.append(word)
                    break
        if words:
            found.append(Chosen(row, words))
    return found


def load_address(register: int, here: int, target: int) -> list[int]:
    upper = (target - here + 0x800) >> 12 << 12
    return [encode("auipc", imm=upper, rd=register),
            encode("addi", imm=target - here - upper, rd=register, rs1=register)]


def program(chosen: Sequence[Chosen], setting: Setting, random: Random) -> Image:
    """The loop around them. Each hash stands behind the one before, TURNS times over."""
    code: list[int] = []

    def here() -> int:
        return 4 * len(code)

    def address(register: int, target: int) -> None:
        code.extend(load_address(register, here(), target))

    code.append(encode("jal", rd=0, imm=4 * 8))
    handler = here()                    # counts, and goes on behind the instruction
    code += [encode("csrrs", csr=CSR["mepc"], rs1=0, rd=END), encode("addi", rd=END, rs1=END, imm=4),
             encode("csrrw", csr=CSR["mepc"], rs1=END, rd=0), encode("addi", rd=TRAPS, rs1=TRAPS, imm=1),
             encode("mret")]
    code += [encode("addi", rd=0, rs1=0, imm=0)] * (8 - len(code))
    address(AT, handler)
    code.append(encode("csrrw", csr=CSR["mtvec"], rs1=AT, rd=0))
    code += [encode("lui", rd=AT, imm=0x6000), encode("addi", rd=AT, rs1=AT, imm=0x600),
             encode("csrrs", csr=CSR["mstatus"], rs1=AT, rd=0)]
    address(PLACE, SIGNATURE)
    address(PRIME, SETTINGS)
    code += [encode("ld", rd=PRIME, rs1=PRIME, imm=-8), encode("addi", rd=TURN, rs1=0, imm=0),
             *(encode("addi", rd=register, rs1=0, imm=0) for register in (TRAPS, HASH, RESULT))]
    jump_over = here()
    code.append(0)
    hashing = here()                    # of HASH, TRAPS, RESULT, flags, all vectors; then stored
    address(AT, DUMP)
    code += [encode("vs8r.v", rs1=AT, vs3=0), encode("csrrs", csr=CSR["vlenb"], rs1=0, rd=END),
             encode("slli", rd=WORD, rs1=END, imm=3), encode("slli", rd=END, rs1=END, imm=5)]
    for group in (8, 16, 24):
        code += [encode("add", rd=AT, rs1=AT, rs2=WORD), encode("vs8r.v", rs1=AT, vs3=group)]
    address(AT, DUMP)
    code.append(encode("add", rd=END, rs1=END, rs2=AT))
    code += [*mixing(TRAPS), *mixing(RESULT), encode("fmv.x.d", rd=WORD, rs1=RESULT), *mixing(WORD)]
    for name in ("fcsr", "vcsr", "vl", "vtype", "vstart"):
        code += [encode("csrrs", csr=CSR[name], rs1=0, rd=WORD), *mixing(WORD)]
    code += hash_loop()
    code += [encode("sd", rs2=HASH, rs1=PLACE, imm=0), encode("addi", rd=PLACE, rs1=PLACE, imm=8),
             encode("jalr", rd=0, rs1=LINK, imm=0)]
    code[jump_over // 4] = encode("jal", rd=0, imm=here() - jump_over)

    turn = here()
    address(AT, SETTINGS)               # of this turn: number of elements, stride, rounding modes, where data begins
    code += [encode("slli", rd=END, rs1=TURN, imm=5), encode("add", rd=AT, rs1=AT, rs2=END),
             encode("ld", rd=AVL, rs1=AT, imm=0), encode("ld", rd=STRIDE, rs1=AT, imm=8),
             encode("ld", rd=WORD, rs1=AT, imm=16), encode("ld", rd=FROM, rs1=AT, imm=24),
             encode("csrrw", csr=CSR["frm"], rs1=WORD, rd=0), encode("csrrw", csr=CSR["vxrm"], rs1=WORD, rd=0),
             encode("addi", rd=VTYPE, rs1=0, imm=type_of(setting)), encode("vsetvl", rd=0, rs1=AVL, rs2=VTYPE)]
    address(AT, CONSTANTS)
    code += [encode("add", rd=FROM, rs1=FROM, rs2=AT)]
    address(POINTER, DATA + DATA_SIZE // 2)
    checkpoints, pending = 0, 0
    for one in chosen:
        shape = one.row.vector.split()[0]
        for word in one.words:
            if pending == 0:
                offset = 8 * random.randrange(64)
                for group in (0, 8, 16, 24):
                    code += [encode("addi", rd=AT, rs1=FROM, imm=offset), encode("vl8re8.v", rs1=AT, vd=group)]
                    offset = (offset + 8 * random.randrange(64)) & 0x7F8
                code += [encode("ld", rd=SCALAR, rs1=AT, imm=8 * random.randrange(64)),
                         *(encode("fld", rd=f, rs1=AT, imm=8 * random.randrange(64)) for f in range(0, 32, 3))]
            if shape.endswith("indexed"):
                address(AT, SMALL + SMALL_SIZE * WIDTHS[one.row.vector.split()[1]])
                code.append(encode("vl8re8.v", rs1=AT, vd=INDICES))
            if shape.startswith("group"):
                code += [everything(setting, 0) | AT << 7, word, encode("vsetvl", rd=0, rs1=AVL, rs2=VTYPE)]
            else:
                code.append(word)
            pending = (pending + 1) % TOGETHER
            if pending == 0:
                checkpoints += 1
                code.append(encode("jal", rd=LINK, imm=hashing - here()))
    address(AT, DATA)
    code += [encode("lui", rd=END, imm=DATA_SIZE), encode("add", rd=END, rs1=END, rs2=AT), *hash_loop()]
    code += [encode("jal", rd=LINK, imm=hashing - here()), encode("addi", rd=TURN, rs1=TURN, imm=1),
             encode("addi", rd=AT, rs1=0, imm=TURNS), encode("beq", rs1=TURN, rs2=AT, imm=8),
             encode("jal", rd=0, imm=turn - here() - 16)]
    finish = here()
    address(AT, TOHOST)
    code += [encode("addi", rd=END, rs1=0, imm=1), encode("sd", rs2=END, rs1=AT, imm=0), encode("jal", rd=0, imm=0)]
    assert here() <= CODE_SIZE
    return Image(image_of(code, random), {
        "tohost": BASE + TOHOST, "fromhost": BASE + TOHOST + 64, "finish": BASE + finish,
        "begin_signature": BASE + SIGNATURE, "end_signature": BASE + SIGNATURE + 8 * TURNS * (checkpoints + 1),
    })


def mixing(register: int) -> list[int]:
    return [encode("xor", rd=HASH, rs1=HASH, rs2=register), encode("mul", rd=HASH, rs1=HASH, rs2=PRIME)]


def hash_loop() -> list[int]:
    """From AT up to END."""
    return [encode("ld", rd=WORD, rs1=AT, imm=0), *mixing(WORD), encode("addi", rd=AT, rs1=AT, imm=8),
            encode("bne", rs1=AT, rs2=END, imm=-16)]


def image_of(code: list[int], random: Random) -> bytes:
    """With its data."""
    image = bytearray(SIGNATURE)
    pieces = {0: struct.pack(f"<{len(code)}I", *code), SETTINGS - 8: (0x100000001B3).to_bytes(8, "little")}
    rows = []
    for turn in range(TURNS):
        count = 4096 if turn % 3 == 0 else 8 * random.randrange(1, 20) if turn % 3 == 1 else random.randrange(1, 40)
        rows.append(struct.pack("<QqQQ", count, random.choice((1, 2, 4, 8, 12, 16, 24, -8, -3)), turn % 5,
                                8 * random.randrange(512)))
    pieces[SETTINGS] = b"".join(rows)
    mixed = b"".join(random.choice((
        operands.integer(random).to_bytes(8, "little"), operands.floating(random).to_bytes(8, "little"),
        numbers(random, 32, operands.SINGLE, 2), numbers(random, 16, operands.HALF, 4), random.randbytes(8),
    )) for _ in range(CONSTANT_SIZE // 8))
    pieces[CONSTANTS] = mixed
    for size in range(4):
        count = SMALL_SIZE >> size
        pieces[SMALL + SMALL_SIZE * size] = b"".join(
            random.randrange(256).to_bytes(1 << size, "little") for _ in range(count))
    pieces[DATA] = random.randbytes(DATA_SIZE)
    for offset, piece in pieces.items():
        image[offset : offset + len(piece)] = piece
    return bytes(image)


def hashes_of_spike(image: Image, isa: str) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        elf, signature = f"{folder}/program.elf", f"{folder}/signature"
        with open(elf, "wb") as file:
            file.write(image.elf())
        command = [str(spike.executable()), f"--isa={spike.isa_string(isa)}", f"-m{BASE:#x}:{RAM_SIZE:#x}",
                   f"+signature={signature}", "+signature-granularity=8", elf]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        with open(signature) as file:
            return [int(line, 16) for line in file]


def hashes_of_ours(image: Image, ours: Ours) -> list[int]:
    ours.load(image)
    ours.machine.run()
    start, end = (image.symbols[name] for name in ("begin_signature", "end_signature"))
    return list(struct.unpack(f"<{(end - start) // 8}Q", ours.machine.memory.read(start, end - start)))
