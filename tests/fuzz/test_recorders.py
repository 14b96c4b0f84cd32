"""Random programs that are recorded and counted: both engines write down the same."""

import pytest

from tests.conformance.ours import Ours
from tests.fuzz.differential import Case, bench, disturb, make_case
from vm.stop import StopReason

CAPACITY = 1 << 16                      # records: more than a case makes


def edge_map(ours: Ours):
    return ours.machine.edge_map()


def trace(kind: str):
    return lambda ours: ours.machine.trace(kind, capacity=CAPACITY)


# Each alone, as compiled code writes it down itself, and all together, as functions do.
RECORDERS = {
    "edges": [edge_map],
    "blocks": [trace("blocks")],
    "memory": [trace("memory")],
    "all": [edge_map, *map(trace, ("blocks", "branches", "memory", "instructions", "traps", "mmio"))],
}


def recorded(ours: Ours, case: Case, recorders: list) -> list:
    running = [start(ours) for start in recorders]
    try:
        for length, disturbance in case.pieces:
            disturb(ours, disturbance)
            if ours.machine.run(instructions=length).reason is not StopReason.BUDGET:
                break
        return [recorder.array.tolist() for recorder in running]
    finally:
        for recorder in running:
            recorder.stop()


def check(seed: int, recorders: list) -> None:
    case = make_case(seed)
    both = bench(case.isa, case.setting, case.harts).ready(case)
    try:
        wanted, found = (recorded(ours, case, recorders) for ours in both)
        assert found == wanted
    except BaseException:
        bench.cache_clear()
        raise


@pytest.mark.parametrize("kind", RECORDERS)
@pytest.mark.parametrize("seeds", [range(first, first + 10) for first in range(0, 40, 10)], ids=str)
def test_both_engines_record_the_same(kind, seeds):
    for seed in seeds:
        check(seed, RECORDERS[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", RECORDERS)
@pytest.mark.parametrize("seeds", [range(first, first + 100) for first in range(1000, 3000, 100)], ids=str)
def test_both_engines_record_the_same_for_long(kind, seeds):
    for seed in seeds:
        check(seed, RECORDERS[kind])
