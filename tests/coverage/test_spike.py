"""Coverage of a program is what Spike's log says was executed, and as often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

import vm
from tests.conformance import spike
from tests.conformance.compare import Lockstep
from tests.conformance.generator import make_program
from tests.conformance.image import Image
from tests.conformance.ours import Ours
from tests.conformance.scenery import Scenery
from tests.conformance.test_programs import HARTS, LIMIT, PROGRAMS, compiled
from vm.coverage.code import length
from vm.coverage.coverage import Coverage
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.instructions import ROWS

CALLS = (3, 8, 9, 11)           # exceptions that an instruction is there to raise
ENGINES = ("interpreter", "jit")
PIECES = (1, 7, 100, 5000)
UNITS = 200                     # of a random program
HOT = vm.Settings(hot=0)


def executed(records: Sequence[spike.Record]) -> Counter[int]:
    """How often each instruction was, in Spike's log."""
    return Counter(record.pc for record in records if record.trap is None or record.trap.cause in CALLS)


def covered(ours: Ours, image: Image, steps: int, random: Random) -> Coverage:
    """Of so many steps, in pieces."""
    ours.load(image)
    with ours.machine.coverage() as coverage:
        while steps:
            piece = min(random.choice(PIECES), steps)
            assert ours.machine.run(instructions=piece).steps == piece
            steps -= piece
    return coverage


def counted(coverage: Coverage, records: Sequence[spike.Record]) -> dict[int, int]:
    """How often each instruction was executed, where code is what Spike has fetched: it may not be there any more."""
    lengths = {record.pc: length(record.word) for record in records if record.word}
    counts: Counter[int] = Counter()
    for start, size, count in coverage.blocks.tolist():
        address = start
        while address < start + size:
            counts[address] += count
            address += lengths[address]
        assert address == start + size
    return counts


@pytest.mark.parametrize("hart", ["whole", *(pytest.param(hart, marks=pytest.mark.slow)
                                             for hart in HARTS if hart != "whole")])
@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.c")))
def test_compiled_program_is_covered_as_on_spike(name, hart):
    image, _ = compiled(name, hart)
    records = spike.run(image, HARTS[hart][0], LIMIT)
    expected = executed(records)
    for engine in ENGINES:
        coverage = covered(Ours(HARTS[hart][0], engine, settings=HOT), image, len(records), Random(1))
        assert coverage.counts() == expected, engine
        assert sum(coverage.opcodes().values()) == expected.total()


@pytest.mark.parametrize("programs", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_random_programs_are_covered_as_on_spike(programs):
    """As far as our hart needs no values of Spike's: of time, and of what comes at another time there."""
    isa = isa_strings.DEFAULT
    machines = [Ours(isa, engine, settings=HOT) for engine in ENGINES]
    extensions, random, compared = machines[0].machine.isa.extensions, Random(13), 0
    names = [row.name for row in ROWS if row.is_on(extensions)]
    for _ in range(programs):
        picks = [(random.choice(names), random.getrandbits(24)) for _ in range(UNITS)]
        scenery = Scenery(random.getrandbits(32), random.choice((3, 3, 1, 0)), random.choice((0, 8, 9, 10)))
        program = make_program(picks, scenery, extensions)
        records = spike.run(program.image, isa, LIMIT)
        lockstep = Lockstep(machines[0])
        lockstep.compare(program.image, records)
        steady = records[:lockstep.steady]
        for ours in machines:
            coverage = covered(ours, program.image, len(steady), random)
            assert counted(coverage, steady) == executed(steady), ENGINES[machines.index(ours)]
        compared += len(steady)
    assert compared > 100 * programs
