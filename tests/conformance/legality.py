"""Which words are legal instructions: found out by running each of them, on Spike and on our machine.

The program in legality.S runs thousands of words. Below M-mode nothing but the word can be executed, and no memory be
reached, so whatever is legal retires and then fails to be followed, or traps with another cause than illegal
instruction. In M-mode, and for CSRs in S-mode, the words must be chosen so that they do no harm: `system_words`.
"""

from __future__ import annotations

import io
import struct
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from elftools.elf.elffile import ELFFile

import vm
from tests.assembler import assemble_elf
from tests.conformance.image import BASE, Image
from tests.conformance.ours import new_machine
from tests.conformance.rules import ONLY_ON_SPIKE, UNKNOWN
from tests.conformance.spike import executable, isa_string
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.instructions import ROWS, immediate_of
from vm_native.riscv.instructions.recognise import Recogniser

PARAMETERS, WORDS = 0x2000, 0x1_0000
RAM_SIZE = 16 << 20
STEPS_A_WORD = 120
USER, SUPERVISOR, MACHINE = 0, 1, 3
MPP_SHIFT, FS, VS = 11, 3 << 13, 3 << 9
GUARDS = 7 << 20                   # mstatus: TVM, TW and TSR
SSIP = 2
U64 = (1 << 64) - 1
NOWHERE = 0x4000_0000               # what all registers hold in U-mode: no code and no data is there
EBREAK = 0x9002                     # c.ebreak, behind a compressed instruction
ILLEGAL = 2
ELSEWHERE = 0x40                    # the trap was not on the word: it has retired
JUMPS = ("jal", "beq", "bne", "blt", "bge", "bltu", "bgeu")
SYSTEM = 0x73
# Opcode and funct3 of instructions that are told apart by all of their upper twelve bits.
DENSE = ((0x13, 1), (0x13, 5), (0x1B, 1), (0x1B, 5), (0x0F, 2), (0x53, 0), (0x53, 1), (0x53, 7))


class Setting(NamedTuple):
    """What a word finds: `enables` goes into every register that enables something, `status` into mstatus."""

    mode: int
    enables: int = U64
    status: int = FS | VS

    def image(self, words: list[int], isa: str) -> Image:
        """A program that runs the words and stores a byte for each."""
        code, symbols = program()
        extensions = isa_strings.parse(isa).extensions
        floating = "F" in extensions
        absent = (0 if floating else FS) | (0 if "Zve32x" in extensions else VS)
        status = self.status & ~absent | self.mode << MPP_SHIFT
        results = WORDS + 4 * len(words)
        parameters = struct.pack(
            "<8Q", status, self.enables, "Smstateen" in extensions, 0 if self.mode == USER else SSIP,
            NOWHERE if self.mode == USER else 0, len(words), results, floating and status & FS != 0,
        )  # fmt: skip
        image = bytearray(results + -(-len(words) // 16) * 16)
        image[: len(code)] = code
        image[PARAMETERS : PARAMETERS + len(parameters)] = parameters
        image[WORDS:results] = struct.pack(
            f"<{len(words)}I", *(word if word & 3 == 3 else word & 0xFFFF | EBREAK << 16 for word in words)
        )
        signature = {"begin_signature": BASE + results, "end_signature": BASE + len(image)}
        return Image(bytes(image), {**symbols, "fromhost": symbols["tohost"] + 8, **signature})


@cache
def program() -> tuple[bytes, dict[str, int]]:
    """The assembled program and its symbols."""
    elf = ELFFile(io.BytesIO(assemble_elf((Path(__file__).parent / "legality.S").read_text()).read_bytes()))
    found = {symbol.name: symbol["st_value"] for symbol in elf.get_section_by_name(".symtab").iter_symbols()}
    text = elf.get_section_by_name(".text").data()
    assert len(text) <= PARAMETERS
    return text, {name: found[name] for name in ("finish", "slot", "tohost")}


def on_spike(image: Image, isa: str, count: int) -> bytes:
    """The result bytes of Spike, by way of the signature that it writes at the end."""
    with tempfile.TemporaryDirectory() as folder:
        elf, signature = Path(folder, "program.elf"), Path(folder, "signature")
        elf.write_bytes(image.elf())
        command = [
            str(executable()), f"--isa={isa_string(isa)}", "--triggers=0", f"-m{BASE:#x}:{RAM_SIZE:#x}",
            f"+signature={signature}", "+signature-granularity=4", str(elf),
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert signature.exists(), f"Spike did not finish: {result.stderr}"
        return b"".join(int(line, 16).to_bytes(4, "little") for line in signature.read_text().split())[:count]


def on_ours(image: Image, isa: str, count: int) -> bytes:
    """The same bytes from our machine."""
    machine = new_machine(isa, RAM_SIZE)
    with tempfile.NamedTemporaryFile(suffix=".elf") as elf:
        elf.write(image.elf())
        elf.flush()
        machine.load(elf.name)
    stop = machine.run(instructions=1000 + STEPS_A_WORD * count)
    assert stop.reason is vm.StopReason.EXIT, f"did not finish: {stop}"
    return machine.memory.read(image.symbols["begin_signature"], count)


class Verdict(NamedTuple):
    """One word on both sides: the trap's cause, with ELSEWHERE if the word itself did not trap."""

    word: int
    ours: int
    spikes: int


def differences(words: list[int], isa: str, setting: Setting) -> list[Verdict]:
    """The words on which the two do not agree."""
    image = setting.image(words, isa)
    ours, spikes = on_ours(image, isa, len(words)), on_spike(image, isa, len(words))
    return [Verdict(*found) for found in zip(words, ours, spikes, strict=True) if found[1] != found[2]]


def explained(found: Verdict) -> bool:
    """Whether the table of known differences has it."""
    return found.word & 0x7F == SYSTEM and found.word >> 12 & 3 != 0 and found.word >> 20 in ONLY_ON_SPIKE


# --- Words -----------------------------------------------------------------------------------------------------------

BRINGING = {name for row in ROWS for words in row.extensions for name in words.split("|")}
EVERYTHING = Recogniser(BRINGING)


def ends(word: int) -> bool:
    """Whether the word is no jump to itself, which would never end."""
    row = EVERYTHING.row(word)
    return row is None or (row.base or row).name not in JUMPS or immediate_of(row, word) != 0


def random_words(random: Random, count: int) -> list[int]:
    """32-bit words: a third anything, the rest rows of the table with random operands and up to three bits wrong.

    Those of vectors are the most, but a quarter is enough.
    """
    rows = [row for row in ROWS if row.length == 4 and not row.vector]
    vectors = [row for row in ROWS if row.vector]
    found: list[int] = []
    while len(found) < count:
        word = random.getrandbits(32) | 3
        if random.random() < 0.67:
            row = random.choice(vectors if random.random() < 0.25 else rows)
            word = row.match | word & ~row.mask
            for _ in range(random.randrange(4)):
                word ^= 1 << random.randrange(2, 32)
        if ends(word):
            found.append(word)
    return found


def grid_words(random: Random) -> list[int]:
    """Every opcode, funct3 and funct7; the upper twelve bits too where they say what is done. Asks no table."""
    opcodes = [opcode for opcode in range(3, 128, 4) if opcode & 0x1F != 0x1F]
    parts = [(opcode, funct3, funct7 << 5 | random.randrange(32)) for opcode in opcodes for funct3 in range(8)
             for funct7 in range(128)]
    parts += [(opcode, funct3, upper) for opcode, funct3 in DENSE for upper in range(1 << 12)]
    words = (upper << 20 | random.choice((0, random.randrange(32))) << 15 | funct3 << 12
             | random.choice((0, random.randrange(32))) << 7 | opcode for opcode, funct3, upper in parts)
    return [word for word in words if ends(word)]


def random_halves(random: Random, count: int) -> list[int]:
    """16-bit words."""
    halves = compressed_words()
    return [random.choice(halves) for _ in range(count)]


def mixed_words(random: Random, count: int) -> list[int]:
    """`count` of 32 bits and a third as many of 16."""
    return random_words(random, count) + random_halves(random, count // 3)


@cache
def compressed_words() -> list[int]:
    """Every 16-bit word that ends."""
    return [half for half in range(1 << 16) if half & 3 != 3 and ends(half)]


def system_words(random: Random) -> Iterable[int]:
    """Reads and writes of every CSR number that change no value, and SYSTEM instructions with funct3 0 and 4."""
    for number in range(1 << 12):
        for funct3 in (2, 3, 6, 7):
            yield number << 20 | funct3 << 12 | random.randrange(32) << 7 | SYSTEM
        # All registers are 0, so with a source register the old value is written.
        for funct3 in (2, 3):
            yield number << 20 | random.randrange(1, 32) << 15 | funct3 << 12 | SYSTEM
        yield number << 20 | SYSTEM
        for funct3 in (0, 4):
            yield number << 20 | random.randrange(32) << 15 | funct3 << 12 | random.randrange(32) << 7 | SYSTEM


# --- ISA strings -----------------------------------------------------------------------------------------------------

OPTIONAL = sorted((BRINGING - {"I", "S", "Zicsr"} - UNKNOWN) & {*isa_strings.LETTERS, *isa_strings.EXTENSIONS})


def random_isa(random: Random) -> str:
    """A hart with about half of the extensions that bring instructions."""
    share = random.choice((0.2, 0.5, 0.8))
    chosen = [name for name in OPTIONAL if name == "Zifencei" or random.random() < share]
    if "Zawrs" in chosen and "A" not in chosen:
        chosen.append("A")              # Zawrs brings Zalrsc on Spike, which we only have as a part of A
    letters = "".join(name for name in chosen if len(name) == 1)
    return "_".join([f"rv64i{letters}", *(name for name in chosen if len(name) > 1)]).lower()
