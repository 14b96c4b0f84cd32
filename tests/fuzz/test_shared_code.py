"""Random programs that store into themselves, in families of machines that fork all the time: each of them does what
the model of the program does, whichever of them compiled the code that it runs.

Seeds as in test_code_beside_data.py.
"""

from random import Random

import pytest

import vm
from tests.assembler import BASE
from tests.fuzz.test_code_beside_data import CASES, FIRST, SIZE, Program, make_program, run_model
from vm_native.jit.compiler import unavailable

MOST = 12                                                   # machines alive at once
CHANGES = 50                                                # forks and restores of a family
PIECES = (7, 60, 400, 3000)                                 # steps of a run

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="compiled code is shared")


def begin(program: Program, settings: vm.Settings, path) -> vm.Machine:
    path.write_bytes(program.image)
    machine = vm.Machine(memory="1M", engine="jit", settings=settings)
    machine.load(path, address=BASE)
    for number in range(1, 32):
        machine.harts[0].x[number] = program.registers.get(number, 0)
    return machine


@pytest.mark.parametrize("hot", [0, 3])
def test_families(hot, tmp_path):
    shared = 0
    for seed in range(FIRST, FIRST + CASES):
        program = make_program(seed)
        registers, memory, steps = run_model(program)
        random = Random(seed)
        family = [begin(program, vm.Settings(hot=hot), tmp_path / "program.bin")]
        snapshots = [family[0].snapshot()]
        changes = CHANGES
        while family:
            machine = random.choice(family)
            action = random.random()
            if action < 0.2 and changes and len(family) < MOST:
                machine._native.share_code(worth=1000)
                snapshots.append(machine.snapshot())
                family.append(snapshots[-1].machine())
                changes -= 1
            elif action < 0.3 and changes:
                machine.restore(random.choice(snapshots))
                changes -= 1
            elif machine.run(instructions=random.choice(PIECES)).reason is vm.StopReason.IDLE:
                shared += len(machine._native.shared_code)
                assert machine.steps == steps, f"seed {seed}"
                assert [machine.harts[0].x[number] for number in range(32)] == registers, f"seed {seed}"
                assert machine.memory.read(BASE, SIZE) == memory, f"seed {seed}"
                family.remove(machine)
                machine.close()
    assert shared
