"""Random accesses to registers in M, HS, U, VS and VU: the same values, traps and effects as on Spike."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

import vm
from tests.conformance.guest_csrs import RESULTS, Program, differences
from tests.conformance.spike import executable, isa_string
from vm_native.riscv.isa import DEFAULT, parse

# Spike has no state enables of the AIA, and where there are any refuses all of it.
ISAS = ("default_h_smmpm_smnpm_ssnpm_zicfilp_zicfiss", f"{DEFAULT.replace('_smstateen', '')}_h_smaia")
RAM_MIB = 4
CI_PROGRAMS, SLOW_PROGRAMS = 4, 200


def check(seed: int, engine: str, folder: Path, seen: Counter[int], isa: str = ISAS[0]) -> None:
    program = Program(seed, parse(isa).extensions)
    elf, output = folder / f"{seed}.elf", folder / f"{seed}.signature"
    elf.write_bytes(program.elf)
    options = [f"-m{RAM_MIB}", f"--isa={isa_string(isa)}", "--triggers=0", f"+signature={output}",
               "+signature-granularity=8"]
    subprocess.run([executable(), *options, elf], check=True, capture_output=True, timeout=120)
    theirs = [int(line, 16) for line in output.read_text().split()]
    settings = vm.Settings(hot=0) if engine == "jit" else None
    with vm.Machine(memory=RAM_MIB << 20, isa=isa, engine=engine, settings=settings) as machine:
        machine.load(elf)
        stop = machine.run(instructions=10_000_000)
        assert stop.reason is vm.StopReason.EXIT, stop
        data = machine.memory.read(RESULTS, program.size)
    ours = [int.from_bytes(data[place : place + 8], "little") for place in range(0, program.size, 8)]
    for number, case in enumerate(program.cases):
        words = slice(program.words * number, program.words * (number + 1))
        seen[ours[words][0]] += 1
        problems = differences(case, program.shown, theirs[words], ours[words])
        assert not problems, f"seed {seed}, case {number} {case}\n    " + "\n    ".join(problems)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_random_accesses_agree_with_spike(engine, isa, tmp_path):
    seen: Counter[int] = Counter()
    for seed in range(CI_PROGRAMS):
        check(seed, engine, tmp_path, seen, isa)
    assert {2, 8, 9, 10, 11, 22} <= seen.keys()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_random_accesses_agree_with_spike(tmp_path):
    seen: Counter[int] = Counter()
    for seed in range(1000, 1000 + SLOW_PROGRAMS):
        check(seed, "interpreter", tmp_path, seen, ISAS[seed % 2])
    print(f"{seen.total()} cases, by cause: {dict(sorted(seen.items()))}")
