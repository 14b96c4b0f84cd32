"""Random vector programs in lockstep with Spike, over all rows and with all lengths of registers.

The seed is fixed; the long run, of three million vector instructions:

    python -m pytest -m slow tests/conformance/test_vectors.py
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

import vm
from tests.conformance import spike
from tests.conformance.frame import DATA, DATA_SIZE
from tests.conformance.image import BASE
from tests.conformance.ours import Ours
from tests.conformance.vectors import VectorLockstep, comparable, make_program, rows_of
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.instructions import BY_NAME

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


def test_compiled_code_goes_on_where_vectors_are_interpreted():
    """The same programs in pieces on the compiling engine, from the first time on that a block is run."""
    isa = next(iter(ISAS))
    ours, compiled = Ours(isa, engine="interpreter"), Ours(isa, engine="jit", settings=vm.Settings(hot=0))
    random = Random(SEED)
    for number in range(4):
        image = make_program(SEED + number, isa).image
        lockstep = VectorLockstep(ours)
        lockstep.compare(image, comparable(spike.run(image, isa, STEPS)))
        states = lockstep.states[: lockstep.steady]
        compiled.load(image)
        done = 0
        while done < len(states):
            piece = min(random.choice((3, 40, 700, STEPS)), len(states) - done)
            compiled.machine.run(instructions=piece)
            done += piece
            assert (compiled.hart.pc, compiled.hart.privilege, compiled.registers()) == states[done - 1]
        if not lockstep.adopted and not lockstep.cut_short:
            assert [compiled.native.read_v(number) for number in range(32)] == lockstep.vectors
            memories = [machine.memory.read(BASE + DATA, DATA_SIZE) for machine in (ours.machine, compiled.machine)]
            assert memories[0] == memories[1]


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
