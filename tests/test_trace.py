"""Traces against single steps of a twin, on each engine: what was executed, accessed and trapped, and when."""

from itertools import pairwise

import numpy as np
import pytest

import vm
from tests.stepping import HANDLER, MRET, Step, blocks_of, is_transfer, single_steps, with_handler
from vm.coverage.code import length
from vm.stop import StopReason
from vm.trace import DTYPES

pytestmark = pytest.mark.usefixtures("dispatch")
ECALL, LOAD_FAULT, TIMER = 11, 5, 1 << 63 | 7
UART = 0x1000_0000                  # of the board
STEPS = 600                         # more than a program takes
NONE = 255                          # register
NO_MEMORY = 0x4000_0000             # nor a device
# Hot loops with branches both ways, calls, instructions that become nothing, accesses of all sizes, atomics, floating
# point, a device, traps of calls and accesses, stores into code, and an instruction that crosses a page.
PROGRAM = f"""
    li   s1, 20
    la   s2, data
    li   s3, {UART}
    li   t0, 0x2000
    csrs mstatus, t0
    j    loop
loop:
    add  zero, a0, a0
    addi a0, a0, 3
    call twice
    sd   a0, 0(s2)
    lb   a5, 0(s2)
    lhu  a6, 1(s2)
    sb   a0, 9(s2)
    amoadd.w a7, s1, (s2)
    lr.d t3, (s2)
    sc.d t4, a0, (s2)
    sc.d t5, a0, (s2)
    fcvt.d.l fa0, a0
    fsd  fa0, 16(s2)
    flw  fa1, 16(s2)
    andi t0, s1, 3
    beqz t0, even
odd:
    lbu  t6, 5(s3)
    j    next
even:
    ecall
    lw   t1, 0(zero)
    la   t0, changed
    lw   t1, 0(t0)
    xori t1, t1, 0x80
    slli t1, t1, 1
    srli t1, t1, 1
    sw   t1, 0(t0)
    fence.i
changed:
    addi a4, a4, 1
next:
    call far
    addi s1, s1, -1
    bnez s1, loop
    wfi
    nop
twice:
    add  a2, a1, a1
    ret
{HANDLER}
    .balign 4096
    .zero 4094
far:
    lui  a3, 0x12345
    ret
    .balign 16
data:
    .zero 64
"""


@pytest.fixture
def traced(guest):
    """traced(**options) -> a guest with the program, whose traps go to the handler"""
    def make(**options):
        return with_handler(guest(PROGRAM, **options))
    return make


def run_in_pieces(g, pieces=(1, 2, 3, 50, 7)):
    """To the end, or to the limit."""
    at = 0
    while g.machine.steps < STEPS:
        stop = g.run(min(pieces[at % len(pieces)], STEPS - g.machine.steps))
        if stop.reason is not StopReason.BUDGET:
            return
        at += 1


DIVISIONS = [(STEPS,), (1,), (2, 3), (50, 1, 7)]


# --- Instructions ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("pieces", DIVISIONS)
def test_every_instruction_is_there_with_what_it_wrote(traced, pieces, harts):
    steps = single_steps(traced(harts=harts), STEPS)
    g = traced(harts=harts)
    with g.machine.trace("instructions") as trace:
        run_in_pieces(g, pieces)
    rows = trace.array
    assert len(rows) == len(steps)
    for row, step in zip(rows, steps, strict=True):
        assert (row["pc"], row["instruction"], row["step"], row["hart"], row["privilege"], row["trapped"]) == (
            step.pc, step.word, step.step, step.hart.id, step.privilege, step.trapped), row
        if row["register"] != NONE and not step.trapped:
            values = [*step.x, *step.f]
            assert row["value"] == values[row["register"]], row


def test_register_that_changes_is_the_one_that_is_named(traced):
    steps = single_steps(traced(), STEPS)
    g = traced()
    with g.machine.trace("instructions") as trace:
        run_in_pieces(g)
    for row, (before, step) in zip(trace.array[1:], pairwise(steps), strict=True):
        changed = {number for number, (old, new) in enumerate(zip(before.x + before.f, step.x + step.f, strict=True))
                   if old != new}
        assert changed <= {row["register"]}, row
    assert len({int(row["instruction"]) for row in trace.array if row["pc"] == g.address("changed")}) > 1


# --- Blocks, branches and traps --------------------------------------------------------------------------------------

@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("pieces", DIVISIONS)
def test_blocks_begin_where_a_transfer_leads(traced, pieces, harts):
    expected = [(step.pc, step.step, step.hart.id, step.privilege)
                for step in blocks_of(single_steps(traced(harts=harts), STEPS))]
    g = traced(harts=harts)
    with g.machine.trace("blocks") as trace:
        run_in_pieces(g, pieces)
    assert [tuple(row) for row in trace.array.tolist()] == expected


@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("pieces", DIVISIONS)
def test_branches_say_where_they_led(traced, pieces, harts):
    expected, pending = [], {}
    for step in single_steps(traced(harts=harts), STEPS):
        if step.hart.id in pending:
            expected.append(pending.pop(step.hart.id))
        if is_transfer(step.word) and step.word != MRET:
            pending[step.hart.id] = (step.pc, step.step, step.hart.id, step.privilege,
                                     step.to != step.pc + length(step.word), step.to)
    g = traced(harts=harts)
    with g.machine.trace("branches") as trace:
        run_in_pieces(g, pieces)
    assert sorted(tuple(row) for row in trace.array.tolist()) == sorted(expected)


@pytest.mark.parametrize("pieces", DIVISIONS)
def test_traps_say_what_and_where(traced, pieces):
    twin = traced()
    expected = []
    while (step := Step(twin)).taken:
        if step.trapped:
            expected.append((step.pc, step.step, 0, step.privilege, twin["mcause"], twin["mtval"]))
    g = traced()
    with g.machine.trace("traps") as trace:
        run_in_pieces(g, pieces)
    assert [tuple(row) for row in trace.array.tolist()] == expected
    assert {row[4] for row in expected} == {ECALL, LOAD_FAULT}


INTERRUPTED = """
    li   t0, 0x80
    csrw mie, t0
    csrsi mstatus, 8
loop:
    addi a0, a0, 1
    addi a1, a1, 1
    j    loop
    .balign 4
handler:
    li   t1, -1
    slli t1, t1, 1
    srli t1, t1, 1
    li   t2, 0x2004000
    sd   t1, 0(t2)
    mret
"""


@pytest.mark.parametrize("pieces", DIVISIONS)
def test_interrupt_is_before_an_instruction(guest, pieces):
    def made():
        g = with_handler(guest(INTERRUPTED))
        g.native.mtimecmp = 2
        return g
    twin = made()
    while twin.machine.steps < STEPS and twin["mcause"] == 0:
        pc, step = twin.hart.pc, twin.machine.steps
        twin.run(1)
    assert twin["mcause"] == TIMER
    g = made()
    with g.machine.trace("traps") as traps, g.machine.trace("blocks") as blocks, g.machine.coverage() as coverage:
        run_in_pieces(g, pieces)
    assert [tuple(row) for row in traps.array.tolist()] == [(twin["mepc"], step, 0, 3, TIMER, 0)]
    assert twin["mepc"] == pc
    assert g.address("handler") in blocks.array["pc"] and pc in blocks.array["pc"]
    assert sum(coverage.counts().values()) == g.machine.steps


# --- Accesses --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("pieces", DIVISIONS)
def test_accesses_say_address_size_and_value(traced, pieces, harts):
    """Of a load what its register is then; of a store what memory is; which instructions are which by the program."""
    g = traced(harts=harts)
    with g.machine.trace("instructions") as instructions, g.machine.trace("memory") as trace:
        run_in_pieces(g, pieces)
    by_step = {int(row["step"]): row for row in trace.array}
    assert len(by_step) == len(trace.array)
    kinds = set()
    for row in instructions.array:
        wanted = access_of(int(row["instruction"]))
        found = by_step.pop(int(row["step"]), None)
        if wanted is None or row["trapped"]:
            assert found is None, row
            continue
        size, access, fails = wanted
        if found is None:
            assert fails and row["value"] != 0, row      # a store-conditional
            continue
        assert (found["pc"], found["hart"], found["size"], found["access"]) == (row["pc"], row["hart"], size, access)
        if access == 1:
            mask = (1 << 8 * size) - 1
            assert int(found["value"]) == int(row["value"]) & mask
        kinds.add((size, access))
    assert not by_step
    assert kinds >= {(8, 2), (1, 1), (2, 1), (1, 2), (4, 3), (8, 1), (4, 1), (4, 2)}


ACCESSES = {0x03: 1, 0x07: 1, 0x23: 2, 0x27: 2}


def access_of(word: int) -> tuple[int, int, bool] | None:
    """Size, access and whether it may fail."""
    if word & 3 != 3:
        top, quadrant = word >> 13 & 7, word & 3
        if quadrant == 1 or top in (0, 4):
            return None
        return (4 if top in (2, 6) else 8), (1 if top < 4 else 2), False
    opcode, width = word & 0x7F, word >> 12 & 3
    if opcode == 0x2F:
        kind = word >> 27
        return 1 << width, {2: 1, 3: 2}.get(kind, 3), kind == 3
    return (1 << width, ACCESSES[opcode], False) if opcode in ACCESSES else None


def test_stores_are_what_memory_is_then(traced):
    twin, stores = traced(), []
    g = traced()
    with g.machine.trace("memory") as trace:
        run_in_pieces(g)
    writes = {int(row["step"]): row for row in trace.array if row["access"] == 2}
    while twin.machine.steps < STEPS and twin.run(1).reason is StopReason.BUDGET:
        if (row := writes.get(twin.machine.steps - 1)) is not None and row["address"] >= g.address("twice") - 4096:
            stores.append(row)
            assert twin.word(int(row["address"]), int(row["size"])) == row["value"], row
    assert len(stores) > 50


@pytest.mark.parametrize("pieces", DIVISIONS)
def test_accesses_to_devices_have_physical_addresses(traced, pieces):
    steps = single_steps(traced(), STEPS)
    g = traced()
    with g.machine.trace("mmio") as trace:
        run_in_pieces(g, pieces)
    expected = [(step.pc, step.step, 0, 3, 1, 1, UART + 5, step.x[31]) for step in steps
                if step.pc == g.address("odd")]
    assert [tuple(row) for row in trace.array.tolist()] == expected and expected


# --- However it is recorded ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", DTYPES)
def test_every_kind_can_be_on_together_with_all_others(traced, kind):
    alone, together = traced(), traced()
    with alone.machine.trace(kind) as expected:
        run_in_pieces(alone)
    traces = {name: together.machine.trace(name) for name in DTYPES}
    run_in_pieces(together, (STEPS,))
    assert np.array_equal(traces[kind].array, expected.array) and len(expected.array)


@pytest.mark.parametrize("kind", DTYPES)
def test_begun_and_ended_on_hot_code_it_is_what_lies_between(traced, kind):
    g = traced()
    with g.machine.trace(kind) as whole:
        run_in_pieces(g, (STEPS,))
    g = traced()
    g.run(101)
    with g.machine.trace(kind) as trace:
        g.run(200)
    g.run(100)
    steps = whole.array["step"]
    between = whole.array[(steps >= 101) & (steps < 301)]
    found = trace.array
    if kind == "blocks":                # the first begins where the trace does
        found, between = found[found["step"] > 101], between[between["step"] > 101]
    if kind == "branches":              # the last step may be one: where it leads is known a step later
        between = between[between["step"] < 300]
        found = found[found["step"] < 300]
    assert np.array_equal(found, between) and len(found)


@pytest.mark.parametrize("kind", DTYPES)
def test_file_is_what_the_array_would_be(traced, kind, tmp_path):
    g = traced()
    with g.machine.trace(kind) as expected:
        run_in_pieces(g, (STEPS,))
    g = traced()
    with g.machine.trace(kind, file=tmp_path / "trace.npy", capacity=1024) as trace:
        for _ in range(4):
            run_in_pieces(g, (STEPS,))
            trace.flush()
    assert np.array_equal(np.load(tmp_path / "trace.npy"), expected.array)
    assert np.array_equal(trace.array, expected.array) and len(trace) == len(expected)


# --- Filters ---------------------------------------------------------------------------------------------------------

def test_function_counts_alone(traced):
    g = traced()
    place = g.address("twice")
    whole, some = g.machine.trace("instructions"), g.machine.trace("instructions", where=range(place, place + 4))
    run_in_pieces(g)
    rows = whole.array
    assert np.array_equal(some.array, rows[(rows["pc"] >= place) & (rows["pc"] < place + 4)]) and len(some) > 10


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("scope", [{"privilege": 0}, {"asid": 5}, {"satp": 7}, {"page_table": 0x7000}])
def test_other_scopes_do_not_count(traced, kind, scope):
    g = traced()
    trace = g.machine.trace(kind, **scope)
    run_in_pieces(g)
    assert len(trace) == 0


def test_privilege_is_that_of_before(guest):
    """Of a trap from user mode, and of a block that it ends."""
    g = guest("""
    la   t0, user
    csrw mepc, t0
    mret
    .balign 4
user:
    nop
    ecall
    .balign 4
handler:
    wfi
    j handler
""")
    g.open_pmp()
    with_handler(g)
    user = {kind: g.machine.trace(kind, privilege=0) for kind in ("instructions", "blocks", "traps")}
    coverage = g.machine.coverage(privilege=0)
    machine = g.machine.coverage(privilege=3)
    g.finish()
    place = g.address("user")
    assert user["instructions"].array["pc"].tolist() == [place, place + 2]
    assert user["blocks"].array["pc"].tolist() == [place]
    assert user["traps"].array["pc"].tolist() == [place + 2]
    assert coverage.blocks.tolist() == [(place, 6, 1)]
    assert not set(range(place, place + 6)) & set(machine.counts())


def test_a_branch_whose_target_traps_is_one_of_before_the_trap(guest):
    """Its privilege and its step are not those of the handler."""
    g = guest("""
    la   t0, user
    csrw mepc, t0
    mret
user:
    nop
jump:
    jr   a0
""")
    g.open_pmp()
    g["a0"] = NO_MEMORY
    traces = [g.machine.trace("branches", **scope) for scope in ({}, {"privilege": 0})]
    machine = g.machine.trace("branches", privilege=3)
    edges = [g.machine.edge_map(privilege=privilege) for privilege in (0, 3)]
    while g.hart.pc != g.address("jump"):
        g.run(1)
    step = g.machine.steps
    g.finish()
    for trace in traces:
        assert [row.tolist() for row in trace.array] == [(g.address("jump"), step, 0, 0, True, NO_MEMORY)]
    assert len(machine) == 0
    assert [edge.array.astype(int).sum() for edge in edges] == [2, 2]      # user, NO_MEMORY; the start, the handler


def test_a_jump_that_traps_leads_nowhere(guest):
    """Without C, a target must be a multiple of four."""
    g = guest(""".option norvc
    nop
jump:
    jr   a0
""", isa="rv64ima_zicsr")
    g["a0"] = g.address("jump") + 2
    branches, coverage = g.machine.trace("branches"), g.machine.coverage()
    g.finish()
    assert g["mepc"] == g.address("jump") and len(branches) == 0
    assert coverage.blocks.tolist()[0] == (g.address("jump") - 4, 4, 1)
    assert g.address("jump") not in coverage.counts()


def test_what_nobody_gets_of_an_access_is_recorded(guest):
    """Loads and atomics whose destination is x0; a store-conditional that fails is none."""
    g = guest("""
    li   s1, 20
loop:
    lbu  zero, 0(sp)
    ld   zero, 1(sp)
    lr.w zero, (sp)
    sc.w zero, s1, (sp)
    sc.w zero, s1, (sp)
    amoadd.w zero, s1, (sp)
    amoor.d zero, s1, (sp)
    addi s1, s1, -1
    bnez s1, loop
    wfi
""")
    g["sp"] = place = g.address("_start") + 0x10_0000
    with g.machine.trace("memory") as trace:
        g.finish()
    first, word = 0, 0
    for left, rows in zip(range(20, 0, -1), np.split(trace.array, 20), strict=True):
        first = word
        word = 2 * left                     # stored, and added to that
        expected = [(1, 1, first & 0xFF), (8, 1, first >> 8), (4, 1, first), (4, 2, left), (4, 3, left), (8, 3, word)]
        word |= left
        assert [row.tolist() for row in rows[["size", "access", "value"]]] == expected
    assert set(trace.array["address"].tolist()) == {place, place + 1}


def test_a_branch_has_its_step_where_another_hart_came_between(guest):
    """It was the last of a turn, and the next turn begins with a hook."""
    source = "1: addi a0, a0, 1\n j 2f\n nop\n2: addi a1, a1, 1\n j 1b"
    rows = []
    for hooked in (False, True):
        g = guest(source, harts=2)
        trace = g.machine.trace("branches")
        if hooked:
            g.machine.on_execute(range(g.address("_start"), g.address("_start") + 16), lambda hart: None)
        g.run(30_000)
        rows.append(trace.array.tolist())
    assert rows[0] == rows[1] and 9_999 in [row[1] for row in rows[0]]


# --- What the program does in between --------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", DTYPES)
def test_restore_in_between_records_again(traced, kind):
    g = traced()
    g.run(150)
    snapshot = g.machine.snapshot()
    with g.machine.trace(kind) as trace:
        g.run(97)
        first = trace.array.copy()
        g.machine.restore(snapshot)
        trace.clear()
        g.run(97)
        assert np.array_equal(trace.array, first) and len(first)


def test_hart_that_is_moved_begins_a_block(traced):
    g = traced()
    with g.machine.trace("blocks") as trace, g.machine.coverage() as coverage:
        g.run(10)
        pc, g.hart.pc = g.hart.pc, g.address("odd")
        g.run(1)
    assert trace.array["pc"][-1] == g.address("odd") and pc != g.address("odd")
    assert (g.address("odd"), 4, 1) in coverage.blocks.tolist()
    assert sum(coverage.counts().values()) == 11


class Raising(vm.devices.Device):
    """Raises at each third read."""

    reads = 0

    def read(self, offset, size):
        self.reads += 1
        if self.reads % 3 == 0:
            raise RuntimeError("no")
        return self.reads


def test_instruction_that_is_repeated_is_there_once(guest):
    g = guest("""
    li   t0, 0x10010000
    li   s1, 10
loop:
    lw   a0, 0(t0)
    sw   a0, 0(sp)
    addi s1, s1, -1
    bnez s1, loop
    wfi
""", devices=[(Raising(), 0x1001_0000)])
    g["sp"] = g.address("loop") + 0x10_0000
    traces = {kind: g.machine.trace(kind) for kind in DTYPES}
    raised = 0
    while True:
        try:
            if g.run().reason is StopReason.IDLE:
                break
        except RuntimeError:
            raised += 1
    assert raised >= 3
    loop = g.address("loop")
    for kind, count in (("instructions", 10), ("memory", 10), ("mmio", 10)):
        rows = traces[kind].array
        assert (rows["pc"] == loop).sum() == count, kind
        assert len(set(rows["step"].tolist())) == len(rows)
    assert traces["mmio"].array["value"].tolist() == traces["memory"].array["value"][::2].tolist()


@pytest.mark.parametrize("pieces", [(100,), (1,)], ids=str)
def test_cleared_blocks_and_exchanged_pairs(guest, pieces):
    """cbo.zero where the page is not at hand yet, and where it is; amocas.q that exchanges, and that does not."""
    g = guest("""
    la   t0, data + 8
    .word 0x0042a00f            # cbo.zero (t0)
    .word 0x0042a00f
    addi t0, t0, -8
    li   a0, 0
    li   a1, 0
    li   a2, 5
    li   a3, 6
    .word 0x28c2c52f            # amocas.q a0, a2, (t0)
    .word 0x28c2c52f
    wfi
    .balign 64
data:
    .zero 64
""", isa="default_zacas")
    with g.machine.trace("memory") as trace:
        while g.run(pieces[0]).reason is StopReason.BUDGET:
            pass
    data = g.address("data")
    cleared, low, high = (data, 64, 2, 0), (data, 8, 3), (data + 8, 8, 3)
    assert trace.array[["address", "size", "access", "value"]].tolist() == [
        cleared, cleared, (*low, 0), (*high, 0), (*low, 5), (*high, 6)]
