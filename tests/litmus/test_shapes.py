"""Litmus tests on our harts: no outcome that the memory model forbids, on either engine.

Harts that take turns keep one order of all accesses (SC). With a thread of the host for each they show at most what the
host's memory does by our mapping (TSO), and that is less than RISC-V allows, as test_model.py shows.

    python -m pytest -m slow tests/litmus/test_shapes.py        # ten million runs of each
"""

import pytest

from tests.litmus.machines import ENGINES, MODES, STRONGEST, Laboratory
from tests.litmus.model import allowed
from tests.litmus.program import CELLS, Run
from tests.litmus.shapes import TWO_HARTS, Outcome, Shape, shapes

FAMILIES: dict[str, list[Shape]] = {}
for one in shapes().values():
    FAMILIES.setdefault(one.family, []).append(one)

QUICK = Run(rounds=1)
# What x86 shows of the tests without a fence: a hart's store buffer, which it alone sees through.
BUFFERED = ("SB", "R", "SB+2rfi", "SB+fence.w.w+fence.w.w")
CLOSE = Run(rounds=5, together=64, delay=3)
TRIES = 50
SLOW_RUNS = {"turns": 10**6, "threads": 10**7}
TIGHT = 64                      # runs after which two harts meet again; with more harts than processors a meeting
                                # takes a turn of the host's scheduler


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def turns(engine):
    laboratory = Laboratory("turns", engine)
    with laboratory.machine:
        yield laboratory


@pytest.fixture(scope="module")
def threads(engine):
    laboratory = Laboratory("threads", engine)
    with laboratory.machine:
        yield laboratory


@pytest.fixture(scope="module")
def compiled_threads():
    laboratory = Laboratory("threads", "jit")
    with laboratory.machine:
        yield laboratory


@pytest.fixture(scope="module", params=MODES)
def laboratory(request, engine):
    return request.getfixturevalue(request.param)


def forbidden(laboratory: Laboratory, shape: Shape, run: Run) -> set[Outcome]:
    """Outcomes that were seen and should not have been."""
    return set(laboratory.observe(shape, run)) - allowed(shape, STRONGEST[laboratory.mode])


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_forbidden_is_seen(family, laboratory):
    found = {shape.name: seen for shape in FAMILIES[family] if (seen := forbidden(laboratory, shape, QUICK))}
    assert not found


@pytest.mark.parametrize("name", TWO_HARTS)
def test_short_turns_show_every_order(name, turns):
    """The runs do meet: of harts that take turns all outcomes are seen that one order of all accesses has."""
    assert set(turns.observe(shapes()[name], Run(rounds=8))) == allowed(shapes()[name], "SC")


def relaxed(laboratory: Laboratory, shape: Shape) -> bool:
    """Whether an outcome of a run was one that no order of all accesses explains. Each was one that TSO has."""
    found = set(laboratory.observe(shape, CLOSE))
    assert found <= allowed(shape, "TSO")
    return not found <= allowed(shape, "SC")


def test_threads_show_store_buffers(compiled_threads):
    """Compiled code does: an interpreter's instructions are longer than a store waits. Which test, is chance."""
    assert any(relaxed(compiled_threads, shapes()[name]) for _ in range(TRIES) for name in BUFFERED)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUFFERED)
def test_threads_show_store_buffers_in_each_test(name, compiled_threads):
    """It takes a host whose processors have nothing else to do."""
    assert any(relaxed(compiled_threads, shapes()[name]) for _ in range(TRIES))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_forbidden_is_seen_in_millions_of_runs(family, laboratory):
    for shape in FAMILIES[family]:
        run = Run(-(-SLOW_RUNS[laboratory.mode] // CELLS), TIGHT if len(shape.harts) == 2 else CELLS)
        assert not forbidden(laboratory, shape, run), shape.name
