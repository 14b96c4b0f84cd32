"""Traces that are longer than their buffers: runs that stop, records that are dropped, files and consumers."""

import numpy as np
import pytest

import vm
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
ENDLESS = """
loop:
    addi a0, a0, 1
    sd   a0, 0(sp)
    j    loop
"""


def endless(guest):
    g = guest(ENDLESS)
    g["sp"] = g.address("loop") + 0x10_0000
    return g


@pytest.mark.parametrize("kind", ["instructions", "blocks", "branches", "memory"])
def test_full_buffer_stops_the_run_before_anything_is_lost(guest, kind):
    g, rows = endless(guest), []
    trace = g.machine.trace(kind, capacity=1024)
    while g.machine.steps < 20_000:
        stop = g.run(20_000 - g.machine.steps)
        rows += trace.array.tolist()
        if stop.reason is StopReason.BUDGET:
            break
        assert stop.reason is StopReason.TRACE_FULL and trace.is_full
        assert g.run(10).steps == 0             # as long as there is no room
        trace.clear()
    steps = [row[1] for row in rows]
    per_loop = {"instructions": 3, "blocks": 1, "branches": 1, "memory": 1}[kind]
    assert trace.dropped == 0 and steps == sorted(set(steps))
    assert abs(len(rows) - 20_000 * per_loop / 3) <= 20


@pytest.mark.parametrize("kind", ["instructions", "blocks", "branches", "memory"])
def test_oldest_are_dropped_where_that_is_wanted(guest, kind):
    g = endless(guest)
    whole = g.machine.trace(kind, capacity=1 << 15)
    ring = g.machine.trace(kind, capacity=1024, when_full="drop-oldest")
    assert g.run(20_000).reason is StopReason.BUDGET
    assert len(ring) == 1024 and ring.dropped == len(whole) - 1024
    assert np.array_equal(ring.array, whole.array[-1024:])


def test_file_takes_more_than_the_buffer(guest, tmp_path):
    g = endless(guest)
    with g.machine.trace("instructions", file=tmp_path / "trace.npy", capacity=1024) as trace:
        assert g.run(50_000).reason is StopReason.BUDGET
    assert list(np.load(tmp_path / "trace.npy")["step"]) == list(range(50_000)) and len(trace) == 50_000


def test_consumer_gets_all_of_it_in_order(guest):
    g, steps = endless(guest), []
    with g.machine.trace("blocks", capacity=1024, consumer=lambda rows: steps.extend(rows["step"].tolist())) as trace:
        assert g.run(20_000).reason is StopReason.BUDGET
        assert 0 < len(steps) < len(trace)
    assert steps == list(range(0, 20_000, 3)) and len(trace) == len(steps) and trace.dropped == 0


def test_consumer_that_wants_no_more_ends_the_run(guest):
    g, taken = endless(guest), []

    def enough(rows):
        taken.append(len(rows))
        return False
    g.machine.trace("blocks", capacity=1024, consumer=enough)
    assert g.run(20_000).reason is StopReason.TRACE_FULL and len(taken) == 1


def test_exception_of_a_consumer_comes_out_of_the_run(guest):
    g = endless(guest)
    trace = g.machine.trace("blocks", capacity=1024, consumer=lambda rows: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        g.run(20_000)
    with pytest.raises(ZeroDivisionError):
        trace.stop()
    assert g.run(20_000).reason is StopReason.BUDGET


@pytest.mark.parametrize(("options", "message"), [
    ({"kind": "dreams"}, "kind='dreams': it is 'instructions' or"),
    ({"capacity": 5}, "capacity=5: at least 128 records"),
    ({"when_full": "cry"}, "when_full='cry': it is"),
    ({"consumer": print, "when_full": "drop-oldest"}, "a trace into a file has all of it"),
    ({"consumer": print, "file": "x"}, "records go to one of them"),
    ({"where": "nowhere"}, "no symbol is called 'nowhere'"),
])
def test_what_is_no_trace_is_refused(guest, options, message):
    g = endless(guest)
    with pytest.raises(vm.ConfigurationError, match=message):
        g.machine.trace(**{"kind": "blocks", **options})
    g.machine.trace("blocks").stop()
