"""Random vector programs in lockstep with Spike, over all rows and with all lengths of registers.

The seed is fixed; the long run, of three million vector instructions:

    python -m pytest -m slow tests/conformance/test_vectors.py
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

import vm
from tests.conformance import spike
from tests.conformance.compiled_vectors import COMPILED
from tests.conformance.frame import DATA, DATA_SIZE
from tests.conformance.image import BASE
from tests.conformance.ours import Ours
from tests.conformance.vectors import VectorLockstep, comparable, make_program, rows_of
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.instructions import BY_NAME, Row

SEED = int(os.environ.get("VM_CONFORMANCE_SEED", "20240417"))
ALL = "zvfh_zvbb_zvbc_zvkn_zvks_zvkg"
ISAS = {
    f"rv64gcv_{ALL}_zicntr_svade": 12,
    f"rv64gcv_zvl256b_{ALL}_svadu": 6,
    f"rv64gcv_zvl512b_{ALL}_zicntr_svade": 4,
    f"rv64gcv_zvl1024b_{ALL}_svade": 2,
    "rv64gc_zve64d_zvfhmin_svade": 2,
    "rv64gc_zve64f_zvl256b_svadu": 2,
    "rv64gc_zve64x_zvl128b_zvbb_zvkn_svade": 2,
    "rv64gc_zve32f_zvfhmin_svade": 2,
    "rv64imc_zve32x_zvl64b_svade": 2,
}
STEPS, SLOW_STEPS = 20_000, 3_000_000
SLOW_PROGRAMS = 300             # for each ISA, where vectors are compiled
ENOUGH = 100


def check(ours: Ours, seed: int, isa: str) -> VectorLockstep:
    """Run a program beside Spike. Raises Difference."""
    program = make_program(seed, isa)
    lockstep = VectorLockstep(ours)
    lockstep.compare(program.image, comparable(spike.run(program.image, isa, STEPS)))
    return lockstep


def vector_steps(lockstep: VectorLockstep) -> int:
    return sum(count for name, count in lockstep.rows().items() if BY_NAME[name].vector)


@pytest.mark.parametrize("isa", ISAS)
def test_random_vector_programs_agree_with_spike(isa):
    ours = Ours(isa, engine="interpreter")
    assert sum(vector_steps(check(ours, SEED + number, isa)) for number in range(ISAS[isa])) > 150 * ISAS[isa]


FULL = 0.8                      # share of types with which as many elements are set as there is room for


def run_compiled(
    ours: Ours, compiled: Ours, isa: str, seed: int, pieces: Random, rows: Sequence[Row] = ()
) -> VectorLockstep:
    """A program on the interpreter beside Spike, and in pieces on the compiling engine. Raises Difference."""
    image = make_program(seed, isa, full=FULL, rows=rows).image
    lockstep = VectorLockstep(ours)
    lockstep.compare(image, comparable(spike.run(image, isa, STEPS)))
    states = lockstep.states[: lockstep.steady]
    compiled.load(image)
    done = 0
    while done < len(states):
        piece = min(pieces.choice((3, 40, 700, STEPS)), len(states) - done)
        compiled.machine.run(instructions=piece)
        done += piece
        assert (compiled.hart.pc, compiled.hart.privilege, compiled.registers()) == states[done - 1]
    if not lockstep.adopted and not lockstep.cut_short:
        assert [compiled.native.read_v(number) for number in range(32)] == lockstep.vectors
        memories = [machine.memory.read(BASE + DATA, DATA_SIZE) for machine in (ours.machine, compiled.machine)]
        assert memories[0] == memories[1]
    return lockstep


@pytest.mark.parametrize("isa", list(ISAS)[:3])
def test_compiled_vectors_agree_with_spike(isa):
    """All rows, from the first time on that a block is run."""
    ours, compiled = Ours(isa, engine="interpreter"), Ours(isa, engine="jit", settings=vm.Settings(hot=0))
    random = Random(SEED)
    for number in range(4):
        run_compiled(ours, compiled, isa, SEED + number, random)


def test_what_is_compiled_agrees_with_spike():
    """Rows that are, with any operands and lengths: less is left to the interpreter than without the part."""
    isa = next(iter(ISAS))
    rows = [BY_NAME[name] for names in COMPILED.values() for name in names.split()]
    settings = vm.Settings(hot=0), vm.Settings(hot=0, switches={"vectors": False})
    ours, (compiled, without) = Ours(isa, engine="interpreter"), (Ours(isa, engine="jit", settings=s) for s in settings)
    for number in range(6):
        for machine in (compiled, without):
            run_compiled(ours, machine, isa, SEED + number, Random(number), rows)
    left, all_of_them = (machine.machine.stats()["jit"]["fallbacks"] for machine in (compiled, without))
    assert left < 0.9 * all_of_them


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_compiled_vectors_agree_with_spike():
    random, total = Random(SEED), 0
    pairs = {isa: (Ours(isa, engine="interpreter"), Ours(isa, engine="jit", settings=vm.Settings(hot=0)))
             for isa in ISAS}
    for seed in range(SEED, SEED + SLOW_PROGRAMS):
        for isa, pair in pairs.items():
            total += vector_steps(run_compiled(*pair, isa, seed, random))
    assert total > 200 * SLOW_PROGRAMS


@pytest.mark.slow
@pytest.mark.timeout(14400)
def test_millions_of_vector_instructions_agree_with_spike():
    """And each row is executed a hundred times."""
    total, seed = 0, SEED + 1_000_000
    rows: Counter[str] = Counter()
    machines = {isa: Ours(isa, engine="interpreter") for isa in ISAS}
    while total < SLOW_STEPS:
        for isa, share in ISAS.items():
            for _ in range(share):
                lockstep = check(machines[isa], seed, isa)
                rows += lockstep.rows()
                total += vector_steps(lockstep)
                seed += 1
        print(f"{total} vector instructions")
    whole = isa_strings.parse(next(iter(ISAS))).extensions
    assert not [row.name for row in rows_of(whole) if rows[row.name] < ENOUGH]
