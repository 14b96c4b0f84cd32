"""Going back in a machine that hooks have changed: each step is as it was, and hooks do the same again behind it."""

import pytest

import vm
from tests.hooks.kinds import FAR, KINDS, hart_of, looping
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
STEPS = 70
WORD = FAR + 0x800


def add_to_register(g, event):
    hart_of(event)["s5"] += 100


def add_to_memory(g, event):
    g.memory.write(WORD, bytes([g.memory.read(WORD, 1)[0] + 1]))


def skip(g, event):
    hart_of(event).pc = g.address("behind")


def set_the_time(g, event):
    g.machine.clock.set_ticks(g.machine.clock.ticks() + 1000)


CHANGES = [add_to_register, add_to_memory, skip, set_the_time]
of_each_kind = pytest.mark.parametrize("kind", KINDS)
each_change = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)


def hooked(guest, kind, change, **options):
    g = looping(guest, kind, rounds=20, **options)
    KINDS[kind].set(g, lambda event: change(g, event))
    return g


def state(g) -> tuple:
    return (g.machine.steps, [dict(hart) for hart in g.machine.harts], g.memory.read(WORD, 8),
            g.machine.clock.ticks())


@of_each_kind
@each_change
def test_each_step_is_as_it_was(kind, change, guest):
    """What a twin says that runs up to that step, and no further."""
    g, twin = hooked(guest, kind, change), hooked(guest, kind, change)
    states = [state(twin)]
    for _ in range(STEPS):
        twin.run(1)
        states.append(state(twin))
    with g.machine.keep_history(snapshots=500):
        g.run(STEPS)
        for step in (STEPS - 1, STEPS - 2, 45, 44, 43, 42, 41, 40, 39, 38, 37, 0):
            g.machine.step_back(g.machine.steps - step)
            assert state(g) == states[step]
        g.run(STEPS)
        assert state(g) == states[STEPS]
        for step in range(STEPS - 1, 20, -7):
            g.machine.step_back(g.machine.steps - step)
            assert state(g) == states[step]
            g.run(9)
            if step + 9 <= STEPS:
                assert state(g) == states[step + 9]


@of_each_kind
def test_each_step_is_as_it_was_of_several_harts(kind, guest):
    g, twin = (hooked(guest, kind, add_to_register, harts=2) for _ in range(2))
    states = [state(twin)]
    for _ in range(STEPS):
        twin.run(1)
        states.append(state(twin))
    with g.machine.keep_history(snapshots=500):
        g.run(STEPS)
        for step in range(STEPS - 1, -1, -9):
            g.machine.step_back(g.machine.steps - step)
            assert state(g) == states[step]


def test_runs_back_to_where_a_hook_sent_the_hart(guest):
    g = hooked(guest, "execute", skip)
    with g.machine.keep_history():
        g.run(STEPS)
        steps, behind = g.machine.steps, g.machine.breakpoint(g.address("behind"))
        stop = g.machine.run_back(behind)
        assert stop.reason is StopReason.BREAKPOINT and g.hart.pc == g.address("behind")
        behind.remove()
        g.run(steps - g.machine.steps)
        assert g["a2"] == 0


def test_a_hook_that_stops_the_run_does_so_again(guest):
    g, calls = looping(guest, "execute"), []

    def stop_once(hart):
        calls.append(hart["a3"])
        hart["s5"] += 100
        if hart["a3"] == 5:
            g.machine.request_stop()

    with g.machine.keep_history(snapshots=500):
        g.machine.on_execute(g.address("here"), stop_once)
        assert g.run().reason is StopReason.REQUESTED
        g["s6"] = 7
        there = g.machine.steps
        g.run(10)
        for back in (10, 15):
            g.machine.step_back(back + g.machine.steps - there - 10)
            assert g["s6"] == 0
            calls.clear()
            assert g.run().reason is StopReason.REQUESTED
            assert (g.machine.steps, g["s5"], calls[-1]) == (there, 500, 5)
            g.run(10)


def test_an_exception_of_a_hook_keeps_what_it_did(guest):
    g = looping(guest, "execute")

    def fail(hart):
        hart["s5"] += 100
        if hart["a3"] == 5:
            raise RuntimeError

    with g.machine.keep_history(snapshots=500):
        hook = g.machine.on_execute(g.address("here"), fail)
        with pytest.raises(RuntimeError):
            g.run()
        hook.remove()
        g.run(30)
        g.machine.step_back(29)
        assert g["s5"] == 500
        g.machine.step_back(2)
        assert g["s5"] == 400


def test_a_hook_that_looks_costs_no_snapshot(guest):
    g, calls = looping(guest, "execute"), []
    with g.machine.keep_history() as history:
        g.machine.on_execute(g.address("here"), lambda hart: calls.append(hart["a3"]))
        g.run(60)
        assert len(calls) > 5 and history.snapshots == 1
        g.machine.step_back(30)
        assert g.machine.steps == 30


def test_more_hooks_than_snapshots_move_the_beginning(guest):
    g = hooked(guest, "execute", add_to_register)
    with g.machine.keep_history(snapshots=4) as history:
        g.run(STEPS)
        beginning = history.beginning
        assert 0 < beginning < STEPS
        g.machine.step_back(0)
        with pytest.raises(vm.ConfigurationError, match="where the history begins"):
            g.machine.step_back(STEPS - beginning + 1)
        g.machine.step_back(STEPS - beginning)
        twin = hooked(guest, "execute", add_to_register)
        twin.run(beginning)
        assert state(g) == state(twin)


def test_a_history_does_not_end_in_a_hook(guest):
    g = looping(guest, "execute")
    history = g.machine.keep_history()
    with g.machine.on_execute(g.address("here"), lambda hart: history.stop()), pytest.raises(vm.MachineBusy):
        g.run()
    g.run(10)
    g.machine.step_back(5)


def test_goes_back_while_a_trace_is_full(guest):
    """Which ends every run forwards."""
    g = looping(guest, "execute")
    with g.machine.keep_history():
        trace = g.machine.trace("instructions", capacity=128)
        assert g.run(100).reason is StopReason.TRACE_FULL
        full = g.machine.steps
        g.machine.step_back(20)
        assert g.machine.steps == full - 20 and g.run(1).reason is StopReason.TRACE_FULL
        trace.clear()
        assert g.run(20).reason is StopReason.BUDGET and g.machine.steps == full


def test_a_consumer_is_not_called_for_the_past(guest):
    g, told = looping(guest, "execute"), []
    with g.machine.keep_history(), g.machine.trace("blocks", capacity=128, consumer=told.append):
        g.run(60)
        g.machine.step_back(30)
        assert not told
