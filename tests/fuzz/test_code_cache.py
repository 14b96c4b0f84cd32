"""Random programs on machines that begin with what others have compiled of them, by way of files: each does what the
interpreter does, step by step, and what it finds in the cache has been run.

Seeds of the differential fuzz and of test_code_beside_data.py.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from random import Random

import pytest

import vm
from tests.assembler import BASE
from tests.conformance.ours import Ours
from tests.conformance.twins import differences
from tests.fuzz import test_code_beside_data as beside_data
from tests.fuzz.differential import SETTINGS, Case, check_seeds, make_case, run_piece
from vm import code_cache
from vm.code_cache import CodeCache
from vm_native.jit.compiler import unavailable
from vm_native.jit.image import image_of

CASES = range(7_000, 7_150)
PIECES = (7, 60, 400, 3000)                 # steps of a run
ALIKE = range(7_000, 7_060)

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="what is kept is compiled code")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VM_CACHE", str(tmp_path))
    monkeypatch.setattr(code_cache, "WORTH_NS", 0)


def outcome(machine: vm.Machine) -> str:
    found = machine._code_cache
    assert isinstance(found, CodeCache)
    return str(found.stats["outcome"])


def run_case(case: Case) -> tuple[str, int]:
    """Beside the interpreter, after every piece. How the machine began, and how many traces it compiled itself."""
    settings = replace(SETTINGS[case.setting], code_cache=True)
    both = tuple(Ours(case.isa, engine=engine, harts=case.harts, settings=settings)
                 for engine in ("interpreter", "jit"))
    with closing(both[0].machine), closing(both[1].machine):
        for ours in both:
            ours.load(case.program.image)
        begun = outcome(both[1].machine)
        for index, piece in enumerate(case.pieces):
            wanted, found = (run_piece(ours, piece) for ours in both)
            assert wanted == found, f"piece {index}"
            assert differences(*both) == [], f"piece {index}"
            if wanted[0] is not vm.StopReason.BUDGET:
                break
        return begun, both[1].machine.stats()["jit"]["traces"]


def test_programs_of_the_differential_fuzz():
    compiled = {"cold": 0, "warm": 0}

    def check(case: Case, seed: int) -> None:
        for _ in range(2):
            begun, traces = run_case(case)
            compiled[begun] += traces

    check_seeds(CASES, check)
    assert compiled["warm"] < compiled["cold"] / 2


def digests(seeds: range) -> list[str]:
    """Of the images that the programs of these seeds come to."""
    found = []
    for case in map(make_case, seeds):
        ours = Ours(case.isa, engine="jit", settings=vm.Settings(hot=0, code_cache=True))
        with closing(ours.machine) as machine:
            ours.load(case.program.image)
            machine.run(instructions=20_000)
            machine._native.share_code(worth=1000)
            images = [image_of(shared, machine.compiler) for shared in machine._native.shared_code]
            found += [hashlib.sha256(image).hexdigest() for image in images if image is not None]
    return found


def test_nothing_of_the_process_is_in_an_image(tmp_path, monkeypatch):
    """All is at another address in each."""
    monkeypatch.setattr(code_cache, "WORTH_NS", 10**12)
    script = "from tests.fuzz import test_code_cache as t; t.code_cache.WORTH_NS = 10**12; print(t.digests(t.ALIKE))"
    results = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
               for _ in range(2)]
    assert results[0] == results[1] and results[0].count("'") > len(ALIKE)


@pytest.mark.parametrize("hot", [0, 3])
def test_programs_that_store_into_themselves(hot, tmp_path):
    warm = 0
    for seed in range(beside_data.FIRST, beside_data.FIRST + beside_data.CASES // 2):
        program = beside_data.make_program(seed)
        registers, memory, steps = beside_data.run_model(program)
        path = tmp_path / "program.bin"
        path.write_bytes(program.image)
        for attempt in range(3):
            random = Random(seed + attempt)
            with vm.Machine(memory="1M", engine="jit", settings=vm.Settings(hot=hot, code_cache=True)) as machine:
                machine.load(path, address=BASE)
                for number in range(1, 32):
                    machine.harts[0].x[number] = program.registers.get(number, 0)
                while machine.run(instructions=random.choice(PIECES)).reason is not vm.StopReason.IDLE:
                    pass
                warm += outcome(machine) == "warm"
                assert machine.steps == steps, f"seed {seed}"
                assert [machine.harts[0].x[number] for number in range(32)] == registers, f"seed {seed}"
                assert machine.memory.read(BASE, beside_data.SIZE) == memory, f"seed {seed}"
    assert warm
