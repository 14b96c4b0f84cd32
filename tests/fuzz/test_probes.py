"""Random programs with random breakpoints and watchpoints: both engines stop at the same places, in the same state."""

from random import Random

import pytest

from tests.conformance.frame import CODE, CODE_SIZE, DATA, DATA_SIZE
from tests.conformance.image import BASE
from tests.conformance.ours import Ours
from tests.conformance.twins import differences
from tests.fuzz.differential import Case, bench, disturb, make_case
from vm.stop import StopReason

ACCESSES = ("read", "write", "access")
SPACES = ("virtual", "physical")
FRONT = 600                             # bytes of code that most cases reach


def set_probes(ours: Ours, seed: int) -> list:
    draw = Random(seed)
    probes = []
    for _ in range(draw.randrange(1, 6)):
        kind = draw.random()
        if kind < 0.4:
            address = BASE + DATA + draw.randrange(DATA_SIZE - 512)
            probes.append(ours.machine.watchpoint(address, size=draw.choice((1, 4, 8, 64, 300)),
                                                  access=draw.choice(ACCESSES), space=draw.choice(SPACES)))
        elif kind < 0.6:                # beside code
            address = BASE + CODE + draw.randrange(CODE_SIZE - 64)
            probes.append(ours.machine.watchpoint(address, size=draw.choice((1, 8, 64)), access=draw.choice(ACCESSES),
                                                  space=draw.choice(SPACES)))
        else:
            address = BASE + CODE + draw.randrange(0, FRONT, 2)
            probes.append(ours.machine.breakpoint(address, space=draw.choice(SPACES)))
    return probes


def stops_in_piece(ours: Ours, probes: list, length: int) -> list:
    found = []
    while True:
        stop = ours.machine.run(instructions=length)
        length -= stop.steps
        hits = [(probes.index(hit.probe), hit.access, hit.address, hit.size, hit.pc) for hit in stop.hits]
        found.append((stop.reason, stop.pc, stop.hart, stop.steps, hits))
        if not hits:
            return found


def check(case: Case, seed: int) -> None:
    both = bench(case.isa, case.setting, case.harts).ready(case)
    probes = [set_probes(ours, seed) for ours in both]
    try:
        for length, disturbance in case.pieces:
            for ours in both:
                disturb(ours, disturbance)
            wanted, found = (stops_in_piece(ours, its, length) for ours, its in zip(both, probes, strict=True))
            assert found == wanted
            assert not differences(*both)
            if wanted[-1][0] is not StopReason.BUDGET:
                break
    except BaseException:
        bench.cache_clear()
        raise
    for probe in (*probes[0], *probes[1]):
        probe.remove()


@pytest.mark.parametrize("seeds", [range(first, first + 10) for first in range(0, 40, 10)], ids=str)
def test_both_engines_stop_at_the_same_places(seeds):
    for seed in seeds:
        check(make_case(seed), seed)
