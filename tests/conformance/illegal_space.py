"""Many instruction words in one run: which of them raise an illegal-instruction exception, on Spike and on our hart.

The words are executed in U-mode by illegal_space.S. CSR instructions are therefore judged as U-mode sees them; the
lockstep tests look at the others.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from pathlib import Path
from random import Random

import vm
from tests.conformance import spike
from tests.conformance.frame import assembled
from tests.conformance.image import BASE, Image

TOHOST, CONTROL, TABLE = 0x1000, 0x1100, 0x3000
ECALL = 0x73
JUMPS_32 = (0x63, 0x67, 0x6F)
RAM_SIZE = 16 << 20
TIMEOUT = 300                   # seconds, for a Spike that never ends


def jumps(word: int) -> bool:
    """Whether the word may be a jump, which could go round in circles inside the slot. jalr comes with rs1 = 0."""
    if word & 3 == 3:
        return word & 0x7F in JUMPS_32
    return word & 3 == 1 and word >> 13 & 7 >= 5


def random_word(random: Random) -> int:
    """Of 16 or 32 bits; those of 32 bits often with few bits in the fields that most instructions want fixed."""
    if random.random() < 0.4:
        return random.getrandbits(16) & ~3 | random.randrange(3)
    word = random.getrandbits(32) | 3
    kind = random.random()
    if kind < 0.3:
        word &= 0x01FF_FFFF | random.getrandbits(7) << 25 & random.getrandbits(7) << 25
    elif kind < 0.5:
        word &= ~(0x1F << 20) | random.getrandbits(5) << 20 & random.getrandbits(5) << 20
    return word


def random_words(random: Random, count: int) -> list[int]:
    words: list[int] = []
    while len(words) < count:
        word = random_word(random)
        if not jumps(word):
            words.append(word)
    return words


def image(words: list[int], floating: bool) -> Image:
    text, symbols = assembled("illegal_space.S")
    results = TABLE + 8 * len(words)
    entries = [word | ECALL << (32 if word & 3 == 3 else 16) for word in words]
    control = struct.pack("<4Q", len(words), BASE + TABLE, BASE + results, floating)
    data = text.ljust(CONTROL, b"\0") + control
    data = data.ljust(TABLE, b"\0") + struct.pack(f"<{len(entries)}Q", *entries) + bytes(len(words) + -len(words) % 16)
    names = {
        "tohost": BASE + TOHOST, "fromhost": BASE + TOHOST + 64, "finish": symbols["finish"],
        "begin_signature": BASE + results, "end_signature": BASE + len(data),
    }  # fmt: skip
    return Image(data, names)


def on_spike(program: Image, isa: str) -> bytes:
    """The causes, from the signature that Spike writes at the end: 16 bytes a line, the last first."""
    with tempfile.TemporaryDirectory() as folder:
        elf, signature = Path(folder, "program.elf"), Path(folder, "signature")
        elf.write_bytes(program.elf())
        command = [
            str(spike.executable()), f"--isa={spike.isa_string(isa)}", "--triggers=0", f"-m{BASE:#x}:{RAM_SIZE:#x}",
            f"+signature={signature}", "+signature-granularity=16", str(elf),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
        return b"".join(bytes.fromhex(line)[::-1] for line in signature.read_text().split())


def on_ours(program: Image, isa: str) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".elf") as elf, vm.Machine(memory=RAM_SIZE, isa=isa) as machine:
        elf.write(program.elf())
        elf.flush()
        machine.load(elf.name)
        stop = machine.run()
        assert stop.exit_code == 0, stop
        start, end = program.symbols["begin_signature"], program.symbols["end_signature"]
        return machine.memory.read(start, end - start)
