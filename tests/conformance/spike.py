"""Runs a program on Spike and reads its commit log into records.

With `-l --log-commits` Spike prints for each step the instruction as fetched, and then either what it committed
(privilege, registers and CSRs with their new values, memory read and written) or the exception it raised. Interrupts
are printed where they are taken. Two things to know: a trap ends Spike's quantum of 5,000 instructions, so that
`--instructions` is only a limit for programs that never end; and interrupts are looked for at the start of a quantum
and after instructions that access a CSR, so that a store into the CLINT shows its effect late.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests import tools
from tests.conformance.image import BASE, Image
from vm_native.riscv import isa as isa_strings

RAM_SIZE = 4 << 20
RUNAWAY = 200_000_000       # "instructions", 5,000 for each trap: of programs that wait for ever
INTERRUPT = 1 << 63
VSTART, MSTATUS = 0x008, 0x300

CAUSES = {
    b"instruction_address_misaligned": 0, b"instruction_access_fault": 1, b"illegal_instruction": 2, b"breakpoint": 3,
    b"load_address_misaligned": 4, b"load_access_fault": 5, b"store_address_misaligned": 6, b"store_access_fault": 7,
    b"user_ecall": 8, b"supervisor_ecall": 9, b"machine_ecall": 11, b"instruction_page_fault": 12,
    b"load_page_fault": 13, b"store_page_fault": 15,
}  # fmt: skip


class Trap(NamedTuple):
    """`cause` as in mcause; `pc` what xepc becomes."""

    cause: int
    pc: int
    value: int


class Record(NamedTuple):
    """One step. An instruction that trapped has `trap`; `interrupt` is one that was taken just before the step."""

    pc: int
    word: int
    privilege: int | None                       # None where it is not known: on a trap
    registers: tuple[tuple[str, int], ...]      # ("x5", value), ("f10", value)
    csrs: tuple[tuple[int, int], ...]           # number, value as a read would give it
    stores: tuple[tuple[int, int, int], ...]    # virtual address, bytes, value
    trap: Trap | None
    interrupt: Trap | None
    vectors: tuple[tuple[int, int], ...] = ()   # number, value of a vector register


def executable() -> Path:
    """The program inside the `spike` wheel; what lies in bin/ is a wrapper that is slow to start. It calls dtc."""
    tools.require("dtc")
    package = find_spec("riscv")
    assert package is not None and package.origin is not None, "the package `spike` is not installed"
    return Path(package.origin).parent / "data" / "bin" / "spike"


# Names that describe what a hart has anyway; Spike knows none of them.
DESCRIBING = {
    "zic64b", "ziccamoa", "ziccrse", "za64rs", "sdtrig", "ssccptr", "sscounterenw", "ssstateen", "sstvala", "sstvecd",
    "ssu64xl", "sspm", "ssstrict", "supm", "svvptc", "ziccamoc", "svbare", "sv39", "sv48", "sv57", "sha",
    "shcounterenw", "shgatpa", "shtvala", "shvsatpa", "shvstvala", "shvstvecd",
}  # fmt: skip


def isa_string(isa: str, misaligned: bool = True) -> str:
    """What Spike is told for one of our ISA strings, with or without misaligned loads and stores."""
    words = [word for word in isa_strings.parse(isa).string.split("_") if word not in DESCRIBING | {"zicclsm"}]
    return "_".join(words + ["zicclsm"] * misaligned)


def run(image: Image, isa: str, limit: int, misaligned: bool = True) -> list[Record]:
    """The steps from BASE on, up to but without the one at the symbol `finish`, or `limit` of them."""
    with tempfile.NamedTemporaryFile(suffix=".elf") as program:
        program.write(image.elf())
        program.flush()
        command = [
            str(executable()), f"--isa={isa_string(isa, misaligned)}", "--triggers=0", f"-m{BASE:#x}:{RAM_SIZE:#x}",
            f"--instructions={RUNAWAY}", "-l", "--log-commits", "--log=/dev/stdout", program.name,
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stderr is not None
            records = []
            for record in parse(process.stdout):
                if record.pc == image.symbols["finish"] or len(records) == limit:
                    break
                if records or record.pc == BASE:
                    records.append(record)
            else:
                if process.wait() != 0 or not records:
                    raise RuntimeError(f"Spike ended after {len(records)} steps: {process.stderr.read().decode()}")
            process.kill()
    return records


STEP = re.compile(rb"core +0: 0x([0-9a-f]{16}) \(0x([0-9a-f]+)\)")
COMMIT = re.compile(rb"core +0: (\d) 0x([0-9a-f]{16}) \(0x([0-9a-f]+)\) ?(.*)")
EXCEPTION = re.compile(rb"core +0: exception (?:trap_(\w+)|interrupt #(\d+)), epc 0x([0-9a-f]+)")
VECTOR_SETTING = re.compile(rb"e\d+|mf?\d+|l\d+")     # what stands before vector registers
VALUE = re.compile(rb"core +0: +tval 0x([0-9a-f]+)")


def is_access(record: Record) -> bool:
    """Whether it is a vector load or store: it leaves a vstart."""
    return record.word & 0x7F in (0x07, 0x27) and any(number == VSTART for number, _ in record.csrs)


def parse(lines: Iterator[bytes]) -> Iterator[Record]:
    """Records of a commit log, as its lines come."""
    held: Record | None = None
    for record in each(lines):
        if held is not None and record.trap is not None and record.pc == held.pc and is_access(held):
            # A vector instruction that faulted in the middle: what it had done is logged first. Then mstatus changes.
            csrs = tuple((number, value) for number, value in held.csrs if number != MSTATUS)
            record = held._replace(trap=record.trap, privilege=None, csrs=csrs)
        elif held is not None:
            yield held
        held = record
    if held is not None:
        yield held


def each(lines: Iterator[bytes]) -> Iterator[Record]:
    """The same, but for an instruction that did something and then trapped, which is two."""
    fetched = (0, 0)                            # pc and word of the last step that began
    interrupt = None
    pending: Trap | None = None                 # an exception whose value may be on the next line
    for line in lines:
        if pending is not None:
            value = VALUE.match(line)
            trap = pending._replace(value=int(value[1], 16)) if value else pending
            word = fetched[1] if fetched[0] == trap.pc else 0
            yield Record(trap.pc, word, None, (), (), (), trap, interrupt)
            pending = interrupt = None
            if value:
                continue
        if commit := COMMIT.match(line):
            yield committed(commit, interrupt)
            interrupt = None
        elif step := STEP.match(line):
            fetched = (int(step[1], 16), int(step[2], 16))
        elif exception := EXCEPTION.match(line):
            name, number, pc = exception.groups()
            if number:
                interrupt = Trap(INTERRUPT | int(number), int(pc, 16), 0)
            else:
                pending = Trap(CAUSES[name], int(pc, 16), 0)


def committed(line: re.Match[bytes], interrupt: Trap | None) -> Record:
    """`x5  0x... mem 0xADDRESS` is a load, `mem 0xADDRESS 0xVALUE` a store; `c773_mtvec 0x...` a CSR."""
    registers, csrs, stores, vectors = [], [], [], []
    words = line[4].split()
    position = 0
    while position < len(words):
        word = words[position]
        if word == b"mem":
            has_value = position + 2 < len(words) and words[position + 2].startswith(b"0x")
            if has_value:
                value = words[position + 2]
                stores.append((int(words[position + 1], 16), (len(value) - 2) // 2, int(value, 16)))
            position += 3 if has_value else 2
            continue
        if VECTOR_SETTING.fullmatch(word):
            position += 1
            continue
        value = int(words[position + 1], 16)
        if word[:1] == b"v":
            vectors.append((int(word[1:]), value))
        elif word[:1] == b"c":
            csrs.append((int(word[1 : word.index(b"_")]), value))
        else:
            registers.append((word.decode(), value))
        position += 2
    return Record(
        int(line[2], 16), int(line[3], 16), int(line[1]), tuple(registers), tuple(csrs), tuple(stores), None, interrupt,
        tuple(vectors),
    )
