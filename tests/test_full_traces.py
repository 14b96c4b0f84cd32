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


def test_what_has_not_happened_is_not_the_oldest(guest):
    """The last record was of an access that has trapped."""
    g = guest("""
    li   s1, 300
loop:
    sd   s1, 0(sp)
    addi s1, s1, -1
    bnez s1, loop
    lw   a1, 0(zero)
""")
    g["sp"] = g.address("loop") + 0x10_0000
    ring = g.machine.trace("memory", capacity=128, when_full="drop-oldest")
    g.finish()
    assert ring.array["value"].tolist() == list(range(128, 0, -1)) and ring.dropped == 300 - 128


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
    ({"capacity": 5}, "capacity=5: from 128 to 1,099,511,627,776 records"),
    ({"limit": 0}, "limit=0: at least one record"),
    ({"limit": 5, "when_full": "drop-oldest"}, "limit= and when_full='drop-oldest': such a trace lets the run go on"),
    ({"when_full": "cry"}, "when_full='cry': it is"),
    ({"consumer": print, "when_full": "drop-oldest"}, "a trace into a file has all of it"),
    ({"consumer": print, "file": "x"}, "records go to one of them"),
    *(({"capacity": capacity}, f"capacity={capacity}: from 128 to") for capacity in (1 << 61, 1 << 63, 1 << 64)),
    ({"where": "nowhere"}, "no symbol is called 'nowhere'"),
])
def test_what_is_no_trace_is_refused(guest, options, message):
    g = endless(guest)
    with pytest.raises(vm.ConfigurationError, match=message):
        g.machine.trace(**{"kind": "blocks", **options})
    g.machine.trace("blocks").stop()


# --- When they may be touched ----------------------------------------------------------------------------------------

class Calling(vm.devices.Device):
    """Calls something at a read, and keeps what that raises."""

    def __init__(self):
        super().__init__()
        self.call = self.error = None

    def read(self, offset, size):
        try:
            self.call()
        except vm.MachineBusy as error:
            self.error = error
        return 7


@pytest.mark.parametrize("what", ["trace.clear", "trace.flush", "trace.stop", "coverage.clear", "coverage.counts",
                                  "coverage.stop"])
def test_in_the_middle_of_an_access_they_are_refused(guest, what):
    """And nothing has changed."""
    device = Calling()
    g = guest("""
    li   s1, 50
loop:
    lw   a1, 0(a0)
    addi s1, s1, -1
    bnez s1, loop
    wfi
""", devices=[(device, 0x1001_0000)])
    g["a0"] = 0x1001_0000
    trace, coverage = g.machine.trace("memory"), g.machine.coverage()
    subject, method = what.split(".")
    device.call = getattr({"trace": trace, "coverage": coverage}[subject], method)
    g.finish()
    assert str(device.error).startswith(f"{method}() was called while")
    assert len(trace) == 50 and coverage.counts()[g.address("loop")] == 50


def test_a_hook_may_touch_them(guest):
    g = endless(guest)
    trace, coverage = g.machine.trace("memory"), g.machine.coverage()
    found = []

    @g.machine.on_execute(g.address("loop"))
    def look(hart):
        found.append((len(trace), sum(coverage.counts().values())))
        trace.clear()
        coverage.clear()

    g.run(10)
    trace.stop()
    assert found == [(0, 0), (1, 3), (1, 3), (1, 3)]


def test_a_machine_that_is_closed_leaves_what_it_has_recorded(guest, tmp_path):
    g = endless(guest)
    file = g.machine.trace("memory", file=tmp_path / "trace.npy")
    trace = g.machine.trace("memory")
    g.run(30)
    g.machine.close()
    file.stop()
    trace.stop()
    assert np.array_equal(np.load(tmp_path / "trace.npy"), trace.array) and len(trace) == 10


@pytest.mark.parametrize("kind", ["instructions", "blocks", "branches", "memory"])
@pytest.mark.parametrize("limit", [1, 10, 5_000])
@pytest.mark.parametrize("given", [False, True])
def test_limit_stops_behind_the_instruction_of_that_record(guest, kind, limit, given):
    """Also where the buffer is full many times before."""
    g, rows = endless(guest), []
    per_loop = {"instructions": 3, "blocks": 1, "branches": 1, "memory": 1}[kind]
    consumer = (lambda records: rows.extend(records.tolist())) if given else None
    trace = g.machine.trace(kind, capacity=1024 if given else 8192, limit=limit, consumer=consumer)
    assert g.run(20_000).reason is StopReason.TRACE_FULL
    assert len(trace) == limit and trace.dropped == 0
    assert abs(g.machine.steps - limit * 3 // per_loop) <= 3
    assert g.run(10).reason is StopReason.TRACE_FULL


def test_all_records_of_an_instruction_are_there(guest):
    """amocas.q is two accesses of 8 bytes."""
    g = guest(".option norvc\n.word 0x2ca1402f\nspin: j spin", isa="rv64imac_zacas")     # amocas.q zero, a0, (sp)
    g["sp"] = g.address("spin") + 0x1000 & -16
    trace = g.machine.trace("memory", limit=1)
    assert g.run(100).reason is StopReason.TRACE_FULL
    assert trace.array["step"].tolist() == [0, 0]


def test_a_store_that_fails_is_no_record_of_the_limit(guest):
    g = guest("sc.d t0, a0, (sp)\nstore: sd a0, 0(sp)\nspin: j spin")
    g["sp"] = g.address("spin") + 0x1000 & -16
    trace = g.machine.trace("memory", limit=1)
    assert g.run(100).reason is StopReason.TRACE_FULL
    assert trace.array["pc"].tolist() == [g.address("store")] and g.machine.steps == 2
