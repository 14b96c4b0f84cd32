"""Random programs with random traces, coverages and maps of edges: on both engines, and instruction by instruction.

All of them write down the same, whatever else is recorded beside, however the run is divided, and wherever in it they
begin and end; and none changes what the guest does.
"""

from __future__ import annotations

from functools import cache
from random import Random

import pytest

import vm
from tests.conformance.frame import CODE, CODE_SIZE
from tests.conformance.image import BASE
from tests.conformance.ours import Ours
from tests.conformance.twins import differences
from tests.fuzz.differential import SETTINGS, Case, check_seeds, disturb
from vm.coverage.coverage import Coverage
from vm.coverage.edges import EdgeMap
from vm.stop import StopReason
from vm.trace import DTYPES, Trace

LONGEST = 400                           # steps of a piece
PIECES = 4
NARROW = 0.3                            # of the recorders: they are about a privilege, or some addresses
RING = 0.3                              # of the traces
ANEW = 0.3                              # of the pieces begin with other recorders

Recorded = Trace | Coverage | EdgeMap


@cache
def four(isa: str, setting: int, harts: int) -> tuple[tuple[Ours, vm.Snapshot], ...]:
    """One that nobody looks at, one that is run step by step, and one of each engine."""
    made = (Ours(isa, engine=engine, harts=harts, settings=SETTINGS[setting])
            for engine in ("interpreter", "interpreter", "interpreter", "jit"))
    return tuple((ours, ours.machine.snapshot()) for ours in made)


def recorder(machine: vm.Machine, draw: Random) -> Recorded:
    kind = draw.choice((*DTYPES, "coverage", "edges"))
    scope = {}
    if draw.random() < NARROW:
        start = BASE + CODE + draw.randrange(0, CODE_SIZE // 8, 2)
        scope = draw.choice(({"privilege": draw.choice((0, 1, 3))}, {"where": range(start, start + 512)}))
    if kind == "coverage":
        return machine.coverage(**scope)
    if kind == "edges":
        return machine.edge_map(draw.choice((16, 16, 12, 20)), **scope)
    if draw.random() < RING:
        return machine.trace(kind, capacity=draw.choice((128, 500)), when_full="drop-oldest", **scope)
    return machine.trace(kind, capacity=1 << 14, **scope)


def content(recorded: Recorded) -> object:
    if isinstance(recorded, Coverage):
        return sorted(recorded.counts().items())
    if isinstance(recorded, EdgeMap):
        return recorded.array.tobytes()
    return recorded.kind, recorded.array.tolist(), recorded.dropped


def run_to(ours: Ours, step: int, at_once: int) -> StopReason:
    reason = StopReason.BUDGET
    while reason is StopReason.BUDGET and ours.machine.steps < step:
        reason = ours.machine.run(instructions=min(at_once, step - ours.machine.steps)).reason
    return reason


def check(case: Case, seed: int) -> None:
    for ours, fresh in four(case.isa, case.setting, case.harts):
        ours.machine.restore(fresh)
        ours.load(case.program.image)
    plain, *watched = (ours for ours, _ in four(case.isa, case.setting, case.harts))
    draw = Random(seed)
    on: list[list[Recorded]] = [[] for _ in watched]
    for length, disturbance in case.pieces[:PIECES]:
        for ours in (plain, *watched):
            disturb(ours, disturbance)
        if not on[0] or draw.random() < ANEW:
            choice, count = draw.getrandbits(32), draw.choice((1, 1, 2, 3))
            for ours, of_one in zip(watched, on, strict=True):
                stop(of_one)
                same = Random(choice)
                of_one[:] = [recorder(ours.machine, same) for _ in range(count)]
        end = plain.machine.steps + min(length, LONGEST)
        wanted = run_to(plain, end, LONGEST)
        for ours, at_once in zip(watched, (1, LONGEST, LONGEST), strict=True):
            assert run_to(ours, end, at_once) is wanted
            assert not differences(plain, ours)
        stepped, *free = ([content(recorded) for recorded in of_one] for of_one in on)
        assert free == [stepped, stepped]
        if wanted is not StopReason.BUDGET:
            break
    for of_one in on:
        stop(of_one)


def stop(recorders: list[Recorded]) -> None:
    for recorded in recorders:
        recorded.stop()


def check_all(seeds) -> None:
    try:
        check_seeds(seeds, check)
    finally:
        four.cache_clear()


@pytest.mark.parametrize("seeds", [range(first, first + 20) for first in range(0, 80, 20)], ids=str)
def test_traces_are_the_same_on_both_engines_and_by_single_steps(seeds):
    check_all(seeds)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(first, first + 250) for first in range(1000, 3000, 250)], ids=str)
def test_traces_of_many_programs(seeds):
    check_all(seeds)
