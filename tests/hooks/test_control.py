"""What a hook may do to the machine, on each engine, and how it meets everything else that looks at one."""

import gc
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import vm
from tests.hooks.kinds import FAR, KINDS, hart_of, looping
from vm.stop import StopReason
from vm_native.execution.allowance import allow

pytestmark = pytest.mark.usefixtures("dispatch")
kinds = pytest.mark.parametrize("kind", KINDS)
ROUNDS = 20


def on_round(number: int, action, seen: list):
    """A hook that notes the rounds and does something in one of them, once."""
    left = [action]

    def call(event):
        seen.append(hart_of(event)["a3"])
        if hart_of(event)["a3"] == number and left:
            left.pop()(event)

    return call


def plain(guest, kind):
    """What the same program comes to without hooks."""
    twin = looping(guest, kind)
    twin.finish()
    return twin


# --- Exceptions and stops --------------------------------------------------------------------------------------------

@kinds
@pytest.mark.parametrize("error", [RuntimeError("of the test"), KeyboardInterrupt(), StopIteration(7)], ids=repr)
def test_an_exception_comes_out_unchanged_and_the_run_goes_on(kind, error, guest):
    twin = plain(guest, kind)
    g, seen, later = looping(guest, kind), [], []

    def fail(event):
        raise error

    KINDS[kind].set(g, on_round(5, fail, seen))
    KINDS[kind].set(g, lambda event: later.append(hart_of(event)["a3"]))
    with pytest.raises(type(error)) as caught:
        g.run()
    assert caught.value is error
    assert g.hart.pc == g.address(KINDS[kind].pc) and seen == [1, 2, 3, 4, 5] and later == [1, 2, 3, 4]
    assert g.machine._runner.last_stop is None
    g.finish()
    assert seen == later == list(range(1, ROUNDS + 1))     # the other one waited, and none is called twice
    assert dict(g.hart) == dict(twin.hart) and g.machine.steps == twin.machine.steps


@kinds
def test_what_waits_behind_an_exception_may_change_the_machine(kind, guest):
    g, seen = looping(guest, kind), []

    def fail(event):
        raise RuntimeError

    def end(event):
        if hart_of(event)["a3"] == 5:
            seen.append(g.machine.fork().steps)
            second.remove()
            hart_of(event).pc = g.address("out")

    KINDS[kind].set(g, on_round(5, fail, []))
    second = KINDS[kind].set(g, end)
    with pytest.raises(RuntimeError):
        g.run()
    steps = g.machine.steps
    g.finish()
    assert seen == [steps] and g["a3"] == 5 and g.machine.steps == steps + 1


@kinds
def test_what_waits_behind_an_exception_is_gone_in_another_state(kind, guest):
    g, seen = looping(guest, kind), []
    start = g.machine.snapshot()

    def fail(event):
        raise RuntimeError

    KINDS[kind].set(g, on_round(5, fail, []))
    KINDS[kind].set(g, lambda event: seen.append(hart_of(event)["a3"]))
    with pytest.raises(RuntimeError):
        g.run()
    g.machine.restore(start)
    del seen[:]
    g.finish()
    assert seen == list(range(1, ROUNDS + 1))


@kinds
def test_stop_is_at_the_place(kind, guest):
    twin = plain(guest, kind)
    g, seen = looping(guest, kind), []
    KINDS[kind].set(g, on_round(5, lambda event: g.machine.request_stop(), seen))
    stop = g.run()
    assert (stop.reason, stop.pc, g["a3"]) == (StopReason.REQUESTED, g.address(KINDS[kind].pc), 5)
    g.finish()
    assert seen == list(range(1, ROUNDS + 1)) and g.machine.steps == twin.machine.steps


# --- Changes ---------------------------------------------------------------------------------------------------------

@kinds
def test_the_hart_can_be_sent_elsewhere(kind, guest):
    g, seen = looping(guest, kind), []

    def leave(event):
        hart_of(event).pc = g.address("out")

    KINDS[kind].set(g, on_round(5, leave, seen))
    steps = []
    g.machine.on_execute(g.address("out"), lambda hart: steps.append(g.machine.steps))
    g.finish()
    assert (g["a3"], g["s1"], seen) == (5, ROUNDS - 4, [1, 2, 3, 4, 5])
    assert g.machine.steps == steps[0] + 1


def test_an_instruction_that_is_skipped_is_not_executed(guest):
    """Also where the place that it goes to has a hook: that is called, too."""
    g, seen = looping(guest, "execute"), []

    def skip(hart):
        hart.pc = g.address("behind")

    g.machine.on_execute(g.address("here"), skip)
    g.machine.on_execute(g.address("behind"), lambda hart: seen.append(hart["a3"]))
    twin = plain(guest, "execute")
    g.finish()
    assert seen == list(range(1, ROUNDS + 1)) and g["a2"] == twin["a2"] - 2 * ROUNDS
    assert g.machine.steps == twin.machine.steps - ROUNDS


def test_a_call_can_be_served(guest):
    g = looping(guest, "ecall")

    @g.machine.on_ecall()
    def serve(hart):
        hart["a6"] += hart["a3"]
        hart.pc += 4

    before = g["a6"]
    g.finish()
    assert g["a6"] == before + sum(range(1, ROUNDS + 1)) and g["mcause"] == 0


@kinds
def test_registers_and_memory_can_be_written(kind, guest):
    """s1 counts down, a3 up: the loop is over when the hook says so. The code behind it becomes another."""
    g = looping(guest, kind, rounds=1000)
    add = g.address("even") - 2
    assert g.word(add, 2) == 0x0795                         # c.addi a5, 5

    def change(event):
        hart = hart_of(event)
        if hart["a3"] == 10:
            hart["s1"] = 10
            hart.csr["mscratch"] = 77
            g.memory.write(g.address("place"), b"12345678")
            g.store(add, 0x0799, 2)                         # c.addi a5, 6

    KINDS[kind].set(g, change)
    g.finish()
    assert g["a3"] == 19 and g.memory.read(g.address("place"), 8) == b"12345678"
    # Rounds 1 to 9 have s1 = 1000 .. 992, of which four are odd; then it is 10 .. 1, with five.
    assert g["a5"] == 4 * 5 + 5 * 6


# --- States ----------------------------------------------------------------------------------------------------------

@kinds
def test_restore_inside_it(kind, guest):
    """Back to the start, once: the loop is done again from there. The run goes on in the other state."""
    twin = plain(guest, kind)
    g, seen = looping(guest, kind), []
    start = g.machine.snapshot()
    KINDS[kind].set(g, on_round(5, lambda event: g.machine.restore(start), seen))
    KINDS[kind].set(g, lambda event: seen.append(-hart_of(event)["a3"]))
    g.finish()
    both = [number for n in range(1, ROUNDS + 1) for number in (n, -n)]
    assert seen == [*both[:9], *both]                       # what was to be told of the other state is not
    assert dict(g.hart) == dict(twin.hart) and g.machine.steps == twin.machine.steps


@kinds
def test_a_run_takes_the_steps_that_it_was_given(kind, guest):
    """Those of the state that was left behind, and those since."""
    g, steps = looping(guest, kind), []
    start = g.machine.snapshot()

    def back(event):
        steps.append(g.machine.steps)
        g.machine.restore(start)

    KINDS[kind].set(g, on_round(5, back, []))
    stop = g.machine.run(instructions=100)
    assert (stop.reason, stop.steps) == (StopReason.BUDGET, 100)
    assert g.machine.steps == 100 - steps[0]


@kinds
def test_a_run_takes_the_guest_time_that_it_was_given(kind, guest):
    g, passed = looping(guest, kind, 1000), []
    start = g.machine.snapshot()

    def back(event):
        passed.append(g.machine.clock.now_ns())
        g.machine.restore(start)

    KINDS[kind].set(g, on_round(5, back, []))
    began = g.machine.clock.now_ns()
    stop = g.machine.run(seconds=1e-6)
    assert stop.reason is StopReason.DEADLINE
    assert 1000 <= g.machine.clock.now_ns() - began + passed[0] - began < 1100      # to the step


@kinds
def test_a_snapshot_inside_it_is_of_this_moment(kind, guest):
    twin = plain(guest, kind)
    g, taken = looping(guest, kind), []
    hook = KINDS[kind].set(g, on_round(5, lambda event: taken.append((g.machine.snapshot(), g.machine.steps)), []))
    g.finish()
    hook.remove()
    (snapshot, steps), = taken
    assert snapshot.steps == steps
    g.machine.restore(snapshot)
    assert (g.hart.pc, g["a3"], g.machine.steps) == (g.address(KINDS[kind].pc), 5, steps)
    g.finish()
    assert dict(g.hart) == dict(twin.hart) and g.machine.steps == twin.machine.steps


@kinds
def test_a_fork_inside_it_can_run_there(kind, guest):
    """It has no hooks, and both come to the same end."""
    twin = plain(guest, kind)
    g, ends, seen = looping(guest, kind), [], []

    def fork(event):
        with g.machine.fork() as other:
            assert other.equals(g.machine.snapshot())
            assert other.run(instructions=10_000).reason is StopReason.IDLE
            ends.append((dict(other.harts[0]), other.steps))

    KINDS[kind].set(g, on_round(5, fork, seen))
    g.finish()
    assert ends == [(dict(twin.hart), twin.machine.steps)] == [(dict(g.hart), g.machine.steps)]
    assert seen == list(range(1, ROUNDS + 1))


def test_a_machine_whose_hook_went_to_another_state_still_runs(guest):
    """It is not idle: others that run, with as little room as can be, do not take its translations away."""
    g, others = looping(guest, "execute", 2000), [looping(guest, "execute", 50) for _ in range(2)]
    start = g.machine.snapshot()
    held = []

    def back(hart):
        g.machine.restore(start)
        for other in others:
            other.run(100)
        held.append(g.machine.stats()["bytes"])

    allow(1, 0)
    try:
        g.machine.on_execute(g.address("here"), on_round(5, back, []))
        g.finish()
        for other in others:
            other.machine.close()
        assert g["a3"] == 2000 and held[0] > 0
    finally:
        allow()


# --- Who may do what -------------------------------------------------------------------------------------------------

@kinds
@pytest.mark.parametrize("what", ["run", "reset", "load", "map", "record", "keep_history", "close"])
def test_what_a_hook_may_not(kind, what, guest):
    g, seen = looping(guest, kind), []
    calls = {"run": lambda: g.machine.run(instructions=1), "reset": lambda: g.machine.reset(),
             "load": lambda: g.machine.load("program.elf"), "map": lambda: g.machine.map(1 << 33, 4096),
             "record": lambda: g.machine.record(), "keep_history": lambda: g.machine.keep_history(),
             "close": lambda: g.machine.close()}

    def call(event):
        with pytest.raises(vm.MachineBusy):
            calls[what]()
        seen.append(event)

    KINDS[kind].set(g, call)
    g.finish()
    assert len(seen) == ROUNDS


def test_another_thread_is_refused_while_a_hook_runs(guest):
    g, refused = looping(guest, "execute"), []
    earlier = g.machine.on_ecall(None, print)
    trace, coverage, edges = g.machine.trace("blocks"), g.machine.coverage(), g.machine.edge_map()
    calls = [lambda: g.machine.on_execute(FAR, print), lambda: g.machine.on_write(FAR, print),
             lambda: g.machine.on_trap(None, print), lambda: g.machine.breakpoint(FAR), g.machine.snapshot,
             g.machine.fork, earlier.remove, lambda: g.run(1), lambda: g.machine.trace("blocks"), g.machine.coverage,
             g.machine.edge_map, g.machine.profile, trace.stop, trace.clear, trace.flush, coverage.stop,
             coverage.clear, coverage.counts, edges.stop, edges.clear]

    def try_all():
        for call in calls:
            try:
                call()
            except vm.MachineBusy:
                refused.append(call)

    def ask_another(event):
        other = threading.Thread(target=try_all)
        other.start()
        other.join()

    g.machine.on_execute(g.address("here"), on_round(5, ask_another, []))
    g.finish()
    assert refused == calls
    twin = looping(guest, "execute")
    with twin.machine.trace("blocks") as expected:          # what was refused has changed nothing
        twin.finish()
    assert np.array_equal(trace.array, expected.array)
    assert coverage.counts()[g.address("here")] == ROUNDS and edges.array.any()


@pytest.mark.parametrize("method, arguments", [
    ("on_execute", (FAR,)), ("on_read", (FAR,)), ("on_write", (FAR,)), ("on_trap", (2,)), ("on_csr", ("satp",)),
    ("on_mmio", (None,)), ("on_ecall", (1,)), ("on_block", (FAR,))])
def test_who_is_refused_is_told_what_was_called(method, arguments, guest):
    """From a condition of a run, which is no hook."""
    g = guest("1: j 1b")

    def ask(machine):
        with pytest.raises(vm.MachineBusy, match=rf"^{method}\(\) was called while"):
            getattr(machine, method)(*arguments, print)
        return True

    assert g.machine.run(until=ask).reason is StopReason.CONDITION


@kinds
def test_a_hook_may_begin_and_end_all_that_records(kind, guest):
    """From round 5 to before round 10."""
    g, recorders = looping(guest, kind), []

    def change(event):
        if hart_of(event)["a3"] == 5:
            recorders.extend((g.machine.trace("instructions"), g.machine.coverage(), g.machine.edge_map()))
        elif hart_of(event)["a3"] == 10:
            for recorder in recorders:
                recorder.stop()

    KINDS[kind].set(g, change)
    g.finish()
    trace, coverage, edges = recorders
    loop = g.address("loop")
    assert np.count_nonzero(trace.array["pc"] == loop) == coverage.counts()[loop] == 5
    assert edges.array.any()


def test_nothing_is_left_of_a_hook_that_raised_when_the_machine_stands(guest):
    """Outside a run everybody may do anything again, and a callback of a device still may not."""
    g = looping(guest, "execute")

    def fail(event):
        raise RuntimeError

    hook = g.machine.on_execute(g.address("here"), fail)
    with pytest.raises(RuntimeError):
        g.run()
    other = threading.Thread(target=hook.remove)
    other.start()
    other.join()
    g.finish()


# --- Beside breakpoints, watchpoints, recordings and histories -------------------------------------------------------

def test_a_breakpoint_at_the_same_place_comes_behind_the_hook(guest):
    g, seen = looping(guest, "execute"), []
    g.machine.breakpoint(g.address("here"))
    g.machine.on_execute(g.address("here"), lambda hart: seen.append("hook"))
    while g.run().reason is StopReason.BREAKPOINT:
        assert g.hart.pc == g.address("here")
        seen.append("stop")
    assert seen == ["hook", "stop"] * ROUNDS


def test_a_hook_can_lead_round_the_breakpoint(guest):
    g = looping(guest, "execute")
    g.machine.breakpoint(g.address("here"))

    def skip(hart):
        hart.pc = g.address("behind")

    g.machine.on_execute(g.address("here"), skip)
    g.finish()


def test_a_breakpoint_set_by_a_hook_stops_there(guest):
    g = looping(guest, "execute")
    g.machine.on_execute(g.address("here"), on_round(5, lambda hart: g.machine.breakpoint(hart.pc), []))
    stop = g.run()
    assert (stop.reason, stop.pc, g["a3"]) == (StopReason.BREAKPOINT, g.address("here"), 5)


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_watchpoint_on_the_same_access_comes_behind_the_hook(kind, guest):
    g, seen = looping(guest, kind), []
    g.machine.watchpoint(FAR, size=8, access=kind)
    KINDS[kind].set(g, lambda access: seen.append("hook"))
    while g.run().reason is StopReason.WATCHPOINT:
        seen.append("stop")
    assert seen == ["hook", "stop"] * ROUNDS


@kinds
def test_a_recording_with_hooks_that_only_look_is_that_without(kind, guest):
    g, twin = looping(guest, kind), looping(guest, kind)
    seen = []
    hook = KINDS[kind].set(g, lambda event: seen.append(g.machine.steps))
    logs = []
    for machine in (g.machine, twin.machine):
        begun = machine.snapshot()
        with machine.record() as recording:
            machine.run(instructions=10_000)
        logs.append(recording.log)
    assert g.machine.steps == twin.machine.steps and len(seen) == ROUNDS
    with begun.machine() as other:
        again = []
        KINDS[kind].set(SimpleNamespace(machine=other, address=g.address), lambda event: again.append(other.steps))
        other.replay(logs[0])
        assert other.run().reason is StopReason.REPLAYED
        assert again == seen and dict(other.harts[0]) == dict(g.hart)
    hook.remove()


@kinds
def test_going_back_calls_nobody(kind, guest):
    g, seen = looping(guest, kind), []
    with g.machine.keep_history():
        KINDS[kind].set(g, lambda event: seen.append(hart_of(event)["a3"]))
        place = g.machine.breakpoint(g.address("behind"))
        while g.run().reason is StopReason.BREAKPOINT:
            pass
        assert seen == list(range(1, ROUNDS + 1))
        steps = g.machine.steps
        stop = g.machine.run_back(place)
        assert (stop.reason, stop.pc, g["a3"]) == (StopReason.BREAKPOINT, g.address("behind"), ROUNDS)
        g.machine.step_back(30)
        assert len(seen) == ROUNDS
        place.remove()
        round_now = g["a3"]
        g.finish()
        assert g.machine.steps == steps
        assert seen[ROUNDS:] in (list(range(first, ROUNDS + 1)) for first in (round_now, round_now + 1))


@kinds
def test_going_back_to_the_place_of_a_hook_calls_nobody(kind, guest):
    """The machine stands before the instruction then; running on, the hook is called again."""
    g, seen = looping(guest, kind), []
    where = KINDS[kind].pc
    with g.machine.keep_history():
        KINDS[kind].set(g, lambda event: seen.append(hart_of(event)["a3"]))
        g.machine.on_execute(g.address(where), lambda hart: seen.append("there"))
        place = g.machine.breakpoint(g.address(where))
        while g.run().reason is StopReason.BREAKPOINT:
            pass
        told = len(seen)
        stop = g.machine.run_back(place)
        assert (stop.reason, stop.pc, g["a3"]) == (StopReason.BREAKPOINT, g.address(where), ROUNDS)
        assert len(seen) == told == 2 * ROUNDS
        place.remove()
        g.finish()
        assert seen[told:] in (["there"], [ROUNDS, "there"], ["there", ROUNDS])


def test_going_back_to_an_interrupt_calls_nobody(guest):
    """That is taken again, so that the machine stands behind it."""
    g, seen = guest("""
        la   t0, handler; csrw mtvec, t0; csrwi mie, 2; csrwi mstatus, 8
        li   s1, 5
    loop:
        csrsi mip, 2
        addi s1, s1, -1
        bnez s1, loop
        wfi
        .balign 4
    handler:
        csrci mip, 2
        mret"""), []
    with g.machine.keep_history():
        g.machine.on_trap(None, seen.append)
        g.machine.on_execute(g.address("handler"), seen.append)
        place = g.machine.breakpoint(g.address("handler"))
        while g.run().reason is StopReason.BREAKPOINT:
            pass
        assert len(seen) == 10
        for left in (1, 2):
            assert g.machine.run_back(place).pc == g.address("handler")
            assert g["s1"] == left
        assert len(seen) == 10


def test_a_history_cannot_be_left_by_a_hook(guest):
    g = looping(guest, "execute")
    start = g.machine.snapshot()
    g.machine.on_execute(g.address("here"), lambda hart: g.machine.restore(start))
    with g.machine.keep_history(), pytest.raises(vm.ConfigurationError, match="restore"):
        g.run()


# --- What other watchers were told of --------------------------------------------------------------------------------

def test_a_snapshot_in_a_hook_of_tohost_has_the_command(guest):
    """It was stored, and the machine serves it behind the hook."""
    g = guest("""
    la   a0, tohost
    li   a1, (7 << 1) | 1
    sd   a1, 0(a0)
    j    .
    .balign 64
    .globl tohost
tohost:
    .dword 0
""")
    snapshots = []
    g.machine.on_write(g.address("tohost"), lambda access: snapshots.append(g.machine.snapshot()))
    assert (stop := g.run(100)).reason is StopReason.EXIT and stop.exit_code == 7 and len(snapshots) == 1
    g.machine.restore(snapshots[0])
    with snapshots[0].machine() as other:
        for machine in (g.machine, other):
            stop = machine.run(instructions=100)
            assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 7)


def test_hits_are_not_of_a_state_that_was_left(guest):
    """A watchpoint met the access, too; its hook then went to another state, in which that has not been."""
    g = guest("""
    beqz a5, 1f
    j    2f
1:  sd   a1, 0(a0)
2:  sd   a1, 8(a0)
    wfi
""")
    g["a0"] = FAR
    start = g.machine.snapshot()

    @g.machine.on_write(FAR)
    def back(access):
        g.machine.restore(start)
        g["a5"] = 1

    g.machine.watchpoint(FAR)
    later = g.machine.watchpoint(FAR + 8)
    stop = g.run()
    assert stop.reason is StopReason.WATCHPOINT and [hit.probe for hit in stop.hits] == [later]


def test_a_closed_machine_is_collected_whatever_its_hooks_know():
    """Arrays are nothing that the collector looks into: not the way from a map of edges to its machine."""
    def closed() -> weakref.ref[vm.Machine]:
        with vm.Machine(memory="2M") as machine:
            edges = machine.edge_map()
            machine.on_execute(0x8000_0000, lambda hart: edges.array.sum())
        return weakref.ref(machine)

    collected = closed()
    gc.collect()
    assert collected() is None
