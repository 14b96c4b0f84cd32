"""Accesses through random two-stage page tables: the same traps, data and tables as on Spike."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

import vm
from tests.conformance.guest_memory import FRAME_COUNT, FRAMES, NOTED, RESULT_WORDS, RESULTS, TABLES, Program
from tests.conformance.spike import executable, isa_string

ISA = "default_h_smmpm_smnpm_ssnpm_zicfilp_zicfiss"
RAM = 4 << 20
CI_PROGRAMS, SLOW_PROGRAMS = 6, 300
LONGEST = 20                            # seconds on Spike; a guest may be caught in a handler that is not there
NAMES = (*NOTED, "a2")


def on_spike(elf: Path, size: int) -> bytes:
    output = elf.with_suffix(".signature")
    options = ["-m4", f"--isa={isa_string(ISA)}", f"+signature={output}", "+signature-granularity=8"]
    subprocess.run([executable(), *options, elf], check=True, capture_output=True, timeout=LONGEST)
    words = [int(line, 16) for line in output.read_text().split()]
    return b"".join(word.to_bytes(8, "little") for word in words)[:size]


def on_ours(elf: Path, engine: str, size: int) -> bytes:
    settings = vm.Settings(hot=0) if engine == "jit" else None
    with vm.Machine(memory=RAM, isa=ISA, engine=engine, settings=settings) as machine:
        machine.load(elf)
        stop = machine.run(instructions=10_000_000)
        assert stop.reason is vm.StopReason.EXIT, stop
        return machine.memory.read(RESULTS, size)


def check(seed: int, engine: str, folder: Path, seen: Counter[int]) -> None:
    program = Program(seed)
    elf = folder / f"{seed}.elf"
    elf.write_bytes(program.elf)
    size = FRAMES + FRAME_COUNT * 4096 - RESULTS
    theirs, ours = on_spike(elf, size), on_ours(elf, engine, size)
    for number in range(len(program.cases)):
        place = 8 * RESULT_WORDS * number
        words = [[int.from_bytes(side[place + 8 * i : place + 8 * i + 8], "little") for i in range(len(NAMES))]
                 for side in (theirs, ours)]
        seen[words[0][0]] += 1
        assert words[0] == words[1], f"seed {seed}: {program.describe(number)}\n" + "\n".join(
            f"    {name}: Spike {a:#x}, ours {b:#x}" for name, a, b in zip(NAMES, *words, strict=True) if a != b)
    for start, what in ((TABLES, "tables"), (FRAMES, "pages")):
        assert theirs[start - RESULTS :] == ours[start - RESULTS :], f"seed {seed}: {what} differ in the end"


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_random_tables_agree_with_spike(engine, tmp_path):
    seen: Counter[int] = Counter()
    for seed in range(CI_PROGRAMS):
        check(seed, engine, tmp_path, seen)
    assert {0, 5, 12, 13, 15, 20, 21, 23} <= seen.keys()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_random_tables_agree_with_spike(tmp_path):
    seen: Counter[int] = Counter()
    caught = 0
    for seed in range(1000, 1000 + SLOW_PROGRAMS):
        try:
            check(seed, "interpreter", tmp_path, seen)
        except subprocess.TimeoutExpired:
            caught += 1
    assert caught < SLOW_PROGRAMS // 20
    print(f"{seen.total()} accesses, by cause: {dict(sorted(seen.items()))}")
