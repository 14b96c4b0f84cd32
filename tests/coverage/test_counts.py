"""Coverage against single steps of a twin: which instructions were executed, how often, and from where to where."""

import gc
import weakref
from collections import Counter

import numpy as np
import pytest

import vm
from tests.coverage.conftest import PROGRAM
from tests.guest import Guest
from vm.coverage.code import Code
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
ECALL, LOAD_FAULT = 11, 5


def executed(g) -> Counter:
    """How often each instruction is executed to the end of the program, by single steps; of traps, only `ecall`."""
    counts = Counter()
    while True:
        pc = g.hart.pc
        stop = g.run(1)
        if stop.reason is StopReason.IDLE and g.hart.pc == pc:
            return counts
        if g.hart.pc != g.address("handler") or g["mcause"] == ECALL:
            counts[pc] += 1


def test_every_instruction_is_counted_as_often_as_it_is_executed(covered):
    g = covered()
    with g.machine.coverage() as coverage:
        g.finish()
    assert coverage.counts() == executed(covered())
    assert list(coverage.addresses) == sorted(coverage.counts())


@pytest.mark.parametrize("harts", [1, 3])
def test_however_far_the_run_has_come_all_is_counted(covered, harts):
    """Budgets of every length: the block that a hart is in counts as far as it came."""
    g = covered(harts=harts)
    coverage, faults = g.machine.coverage(), 0
    for _ in range(260):
        before = [hart.steps for hart in g.machine.harts]
        g.run(1)
        ran = next(hart for hart in g.machine.harts if hart.steps > before[hart.id])
        faults += ran.pc == g.address("handler") and ran.csr["mcause"] == LOAD_FAULT
        assert sum(coverage.counts().values()) == g.machine.steps - faults
    coverage.stop()
    counts = coverage.counts()
    assert sum(counts.values()) == sum(coverage.opcodes().values()) == sum(coverage.extensions().values())
    g.run(100)
    assert coverage.counts() == counts


def test_division_of_the_run_changes_nothing_but_where_it_is_looked_at(covered):
    found = []
    for piece in (1, 2, 3, 7, 50, 100_000):
        g = covered()
        with g.machine.coverage() as coverage:
            while g.run(piece).reason is StopReason.BUDGET:
                pass
        found.append((coverage.blocks.tolist(), coverage.edges.tolist()))
    assert all(each == found[0] for each in found)


def test_edges_lead_from_the_last_instruction_to_the_first_of_the_next(covered):
    g = covered()
    with g.machine.coverage() as coverage:
        g.finish()
    edges = {(source, target): count for source, target, count in coverage.edges.tolist()}
    ecall, load, handler = g.address("even"), g.address("even") + 4, g.address("handler")
    assert edges[ecall, handler] == edges[load, handler] == 10
    assert edges[handler + 10, ecall + 4] == edges[handler + 10, load + 4] == 10        # mret
    assert {target for source, target in edges if source == ecall} == {handler}
    blocks = {start: size for start, size, _ in coverage.blocks.tolist()}
    assert blocks[ecall] == 4 and load not in blocks        # of which nothing was executed to its end


def test_functions_have_calls_and_instructions(covered):
    g = covered()
    with g.machine.coverage() as coverage:
        g.finish()
    found = {function.name: function for function in coverage.functions()}
    assert (found["twice"].calls, found["twice"].instructions) == (20, 40)
    assert (found["odd"].calls, found["even"].calls) == (10, 10)
    assert sum(function.instructions for function in found.values()) == sum(coverage.counts().values())


def test_two_together_are_the_sum(covered):
    g = covered()
    with g.machine.coverage() as first:
        g.run(60)
    with g.machine.coverage() as second:
        g.finish()
    both, whole = first | second, executed(covered())
    assert both.counts() == whole
    assert both.covers(g.address("odd")) and not both.covers(g.address("trap_m"))
    assert (both | both).counts() == {address: 2 * count for address, count in whole.items()}


def test_two_at_once_each_count_what_is_while_they_are_on(covered):
    """Also where one begins and ends in the middle of a block of the other."""
    for begin in range(30, 42):
        g = covered()
        whole = g.machine.coverage()
        g.run(begin)
        with g.machine.coverage() as part:
            g.run(13)
        g.finish()
        assert sum(part.counts().values()) == 13 - faults_in(covered(), begin, 13)
        assert whole.counts() == executed(covered()), begin


def faults_in(g, begin: int, count: int) -> int:
    g.run(begin)
    faults = 0
    for _ in range(count):
        g.run(1)
        faults += g.hart.pc == g.address("handler") and g["mcause"] == LOAD_FAULT
    return faults


def test_clear_forgets(covered):
    g = covered()
    coverage = g.machine.coverage()
    g.run(31)
    coverage.clear()
    assert coverage.counts() == {} and len(coverage.edges) == 0
    g.run(5)
    assert sum(coverage.counts().values()) == 5


def test_restore_loses_nothing(covered):
    g = covered()
    g.run(20)
    snapshot = g.machine.snapshot()
    coverage = g.machine.coverage()
    for steps in range(1, 9):
        g.run(steps)
        g.machine.restore(snapshot)
    assert sum(coverage.counts().values()) == sum(range(1, 9))


def test_function_alone_is_counted_by_where_its_blocks_begin(covered):
    g = covered()
    with g.machine.coverage(where=range(g.address("twice"), g.address("handler"))) as coverage:
        g.finish()
    assert coverage.blocks.tolist() == [(g.address("twice"), 6, 20)]


def test_forgotten_coverage_and_machine_are_collected():
    """While they count, and neither of them is stopped or closed."""
    g = Guest(PROGRAM)
    counting = g.machine.coverage(), g.machine.edge_map()
    g.finish()
    machine = weakref.ref(g.machine)
    del counting, g
    gc.collect()
    assert machine() is None


def test_edge_maps_together_count_as_alone(covered):
    """Of several sizes; one that begins later knows no block before, and one that ends leaves the others."""
    alone = {}
    for bits in (8, 16, 12):
        g = covered()
        if bits == 12:
            g.run(60)
        edges = g.machine.edge_map(bits)
        g.finish()
        alone[bits] = edges.array.tobytes()
    g = covered()
    first, usual, small = g.machine.edge_map(20), g.machine.edge_map(16), g.machine.edge_map(8)
    g.run(60)
    late = g.machine.edge_map(12)
    g.run(20)
    first.stop()
    g.run(20)
    small.stop()
    while g.run(7).reason is StopReason.BUDGET:
        pass
    assert usual.array.tobytes() == alone[16] and late.array.tobytes() == alone[12]
    g = covered()
    both = g.machine.edge_map(16), g.machine.edge_map(8)
    g.finish()
    assert [edges.array.tobytes() for edges in both] == [alone[16], alone[8]]


def test_it_shows_in_a_notebook_and_a_terminal(covered):
    g = covered()
    with g.machine.coverage() as coverage:
        g.finish()
    assert repr(coverage) == f"<Coverage: {len(coverage.blocks)} blocks, {len(coverage.edges)} edges>"
    assert str(coverage).startswith(f"{repr(coverage)[11:-1]}, {len(coverage.addresses)} instructions\n")
    assert "twice" in coverage._repr_html_() and "twice" in str(coverage)
    assert str(coverage).splitlines()[1].split() == ["calls", "instructions", "function"]


def test_instructions_are_decoded_once_after_the_end_and_not_to_show_it(covered, monkeypatch):
    g, decoded = covered(), []
    decode = Code.instructions
    monkeypatch.setattr(Code, "instructions", lambda code, block: decoded.append(block) or decode(code, block))
    with g.machine.coverage() as coverage:
        g.finish()
        assert repr(coverage) and not decoded
    blocks = len(coverage.blocks)
    assert all(coverage.covers(int(address)) for address in coverage.addresses) and coverage.functions()
    assert len(decoded) == blocks
    coverage.counts().clear()                       # is the caller's
    assert coverage.counts() and len(decoded) == blocks
    coverage.clear()
    assert not coverage.covers(g.address("loop")) and not len(coverage.addresses)


def test_recorders_can_be_ended_after_their_machine(tmp_path, covered):
    """A trace's file is then whole; of coverage there is what needs no code."""
    g = covered()
    trace = g.machine.trace("blocks", file=tmp_path / "blocks.npy")
    coverage, edges = g.machine.coverage(), g.machine.edge_map()
    g.finish()
    blocks, recorded = len(coverage.blocks), len(trace)
    g.machine.close()
    for recorder in (trace, coverage, edges):
        recorder.stop()
    assert len(np.load(tmp_path / "blocks.npy")) == recorded > 0
    assert len(coverage.blocks) == blocks > 0 and repr(coverage) and edges.array.any()
    with pytest.raises(vm.MachineUnusable):
        coverage.counts()


def test_it_shows_while_the_machine_runs(covered):
    g = covered()
    with g.machine.coverage() as coverage:
        shown = []
        g.machine.run(instructions=20_000, until=lambda machine: shown.append(repr(coverage)))
    assert "while the same machine runs" in shown[0]


def test_code_is_what_it_was_at_the_end(covered):
    g = covered()
    with g.machine.coverage() as coverage:
        g.finish()
    opcodes = coverage.opcodes()
    g.memory.clear(g.address("_start"), 64)
    assert coverage.opcodes() == opcodes and "unknown" not in opcodes
