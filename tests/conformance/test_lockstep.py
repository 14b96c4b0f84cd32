"""Random programs in lockstep with Spike, and the same programs in longer pieces against what lockstep found.

Every step is compared: pc, privilege, register and CSR writes, stores, traps and interrupts; see compare.py for how and
rules.py for where the two may differ. A failing program is shrunk and printed as its units; the seed is fixed, so that
the same command finds it again. The long run:

    python -m pytest -m slow tests/conformance/test_lockstep.py -s
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.conformance import spike
from tests.conformance.compare import Difference, Lockstep
from tests.conformance.coverage import ENOUGH
from tests.conformance.frame import DATA, DATA_SIZE
from tests.conformance.generator import Program, make_program, programs
from tests.conformance.image import BASE
from tests.conformance.ours import Ours
from tests.conformance.rules import UNKNOWN
from tests.conformance.scenery import Scenery
from tests.conformance.special import SPECIAL
from vm_native.riscv.instructions import ROWS

SEED = int(os.environ.get("VM_CONFORMANCE_SEED", "20240417"))
STEPS = 4000                    # of one program at most
# ISA strings and their share of the programs: what we have by default and Zkr, and narrower harts.
WHOLE = "default_zkr"
SHARES = {
    WHOLE: 0.6, "rv64gc_zicntr_svade": 0.2, "rv64ima_zicntr_svadu_sv48": 0.08,
    "rv64imafc_zicntr_zifencei_svadu": 0.06, "rv64imac_zicntr_zba_zbb_zcb_sstc_svade_sv57": 0.06,
}  # fmt: skip
CI_PROGRAMS, SLOW_STEPS = 400, 10_000_000


class Tally:
    """What the programs of one test amounted to."""

    def __init__(self) -> None:
        self.programs = self.steps = 0
        self.rows: Counter[str] = Counter()

    def add(self, lockstep: Lockstep, steps: int) -> None:
        self.programs += 1
        self.steps += steps
        self.rows += lockstep.rows()


def check(program: Program, ours: Ours, isa: str, tally: Tally) -> None:
    records = spike.run(program.image, isa, STEPS)
    lockstep = Lockstep(ours)
    steps = lockstep.compare(program.image, records)
    in_pieces(program, lockstep)
    tally.add(lockstep, steps)


def in_pieces(program: Program, lockstep: Lockstep) -> None:
    """Run the program again, many steps at a time, so that blocks are made, linked and dropped.

    It goes as far as our hart was on its own: it has no Spike to take values from.
    """
    ours, states = lockstep.ours, lockstep.states[: lockstep.steady]
    whole = not lockstep.adopted and not lockstep.cut_short
    data = ours.machine.memory.read(BASE + DATA, DATA_SIZE)
    random = Random(len(states))
    ours.load(program.image)
    done = 0
    while done < len(states):
        piece = min(random.choice((3, 40, 700, STEPS)), len(states) - done)
        stop = ours.machine.run(instructions=piece)
        done += piece
        found = (ours.hart.pc, ours.hart.privilege, ours.registers())
        if found != states[done - 1] or stop.steps != piece:
            raise Difference(f"after a piece of {piece} steps to step {done}, not as in single steps:\n"
                             f"{found}\n{states[done - 1]}")
    if whole:
        assert ours.machine.memory.read(BASE + DATA, DATA_SIZE) == data, "memory is not as after single steps"


def run_programs(isa: str, examples: int, start: int) -> Tally:
    ours, tally = Ours(isa), Tally()

    @seed(start)
    @settings(max_examples=examples, deadline=None, database=None, report_multiple_bugs=False,
              suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))
    @given(programs(isa))
    def compare(program: Program) -> None:
        check(program, ours, isa, tally)

    compare()
    return tally


@cache
def of_ci(isa: str) -> Tally:
    """The random programs of CI; they are run once, for whichever test comes first."""
    return run_programs(isa, round(SHARES[isa] * CI_PROGRAMS), SEED)


@pytest.mark.parametrize("isa", SHARES)
def test_random_programs_agree_with_spike(isa):
    examples, tally = round(SHARES[isa] * CI_PROGRAMS), of_ci(isa)
    assert tally.programs >= examples
    assert tally.steps >= 600 * examples


def test_every_row_is_executed_a_hundred_times():
    """After the random programs, programs of the rows that are still missing, until none is."""
    isa = WHOLE
    ours, tally, random = Ours(isa), Tally(), Random(SEED)
    extensions = ours.machine.isa.extensions
    specials = [name for name, special in SPECIAL.items() for _ in range(special.weight)]
    before = of_ci(isa).rows
    there = [row.name for row in ROWS if row.is_on(extensions) and not UNKNOWN.intersection(row.extensions)]
    while missing := [name for name in there if before[name] + tally.rows[name] < ENOUGH]:
        assert tally.programs < 400, f"still seldom executed: {missing}"
        picks = [(random.choice(missing if random.random() < 0.7 else specials), random.getrandbits(24))
                 for _ in range(300)]
        scenery = Scenery(random.getrandbits(32), random.choice((3, 3, 1, 0)), random.choice((0, 8, 9, 10)))
        check(make_program(picks, scenery, extensions), ours, isa, tally)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_million_instructions_agree_with_spike():
    total, turn = 0, 0
    while total < SLOW_STEPS:
        for isa, share in SHARES.items():
            tally = run_programs(isa, round(1000 * share), SEED + 1 + turn)
            total += tally.steps
        turn += 1
        print(f"turn {turn}: {total} steps")            # it takes an hour; with -s one sees how far it is
