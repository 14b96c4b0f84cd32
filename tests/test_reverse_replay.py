"""Running backwards in a replay: each moment of the recorded run can be gone back to, and on from."""

import random
from functools import cache, partial

import pytest

import vm
from tests.guest import Guest
from tests.recorded import ENGINES, ISA, asking, busy, changed, key_number, seen, session_log
from tests.test_recording import recorded
from vm.stop import StopReason

# What is typed is printed; and stored, with a sum.
ECHO = """
    li   s2, 0x10000000
    la   s1, place
wait:
    addi s3, s3, 1
    lbu  t0, 5(s2); andi t0, t0, 1; beqz t0, wait
    lbu  t0, 0(s2)
    sb   t0, 0(s2)
    add  s4, s4, t0
.globl store
store:
    sd   s4, 0(s1)
    j    wait
    .balign 8
place: .dword 0
"""
KEYS = b"abcdefgh"


def echo() -> vm.Machine:
    return Guest(ECHO, isa=ISA).machine


@cache
def typed() -> vm.Log:
    """A key every 100,000 steps."""
    with echo() as machine, machine.record() as recording:
        for key in KEYS:
            machine.run(instructions=100_000)
            machine.console.send(bytes([key]))
        machine.run(instructions=100_000)
    return recording.log


def moments(machine: vm.Machine, log: vm.Log, draw: random.Random, count: int) -> dict[int, object]:
    """What a guest could notice at some steps of a replay, its end among them."""
    machine.replay(log)
    at = {}
    for step in sorted(draw.sample(range(machine.steps, log.end.steps), count)):
        while machine.steps < step:
            machine.run(instructions=step - machine.steps)
        at[step] = seen(machine)
    assert machine.run().reason is StopReason.REPLAYED
    return at | {machine.steps: seen(machine)}


def stand_at(machine: vm.Machine, step: int) -> None:
    if step < machine.steps:
        machine.step_back(machine.steps - step)
    while machine.steps < step:
        machine.run(instructions=step - machine.steps)


@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(3))
def test_every_moment_can_be_gone_back_to_and_on_from(seed, engine, harts):
    """At random steps, in random order; compared with a replay that never goes back."""
    draw = random.Random(seed)
    with busy(harts, engine) as original:
        log = recorded(original, seed)
    with busy(harts, engine) as plain:
        wanted = moments(plain, log, draw, 8)
    with busy(harts, engine) as machine:
        machine.replay(log)
        machine.keep_history(spacing=20_000, snapshots=8)
        begins = machine.steps
        for step in (*draw.sample(sorted(wanted), len(wanted)), *reversed(wanted), *wanted):
            stand_at(machine, step)
            if step < log.end.steps:            # at the last one things may have come, or not yet
                assert seen(machine) == wanted[step], step
        machine.step_back(machine.steps - begins)
        assert machine.run().reason is StopReason.REPLAYED
        assert seen(machine) == wanted[log.end.steps]


@pytest.mark.parametrize("engine", ENGINES)
def test_device_that_is_not_deterministic_is_not_asked(engine):
    machine, _ = asking(engine)
    with machine, machine.record() as recording:
        for number in range(1, 5):
            machine.run(instructions=number * 20_000)
    log, draw = recording.log, random.Random(4)
    machine, _ = asking(engine)
    with machine:
        wanted = moments(machine, log, draw, 10)
    machine, dice = asking(engine)
    with machine:
        machine.replay(log)
        machine.keep_history(spacing=5_000)
        for step in draw.sample(sorted(wanted)[:-1], 10):
            stand_at(machine, step)
            assert seen(machine) == wanted[step]
        assert dice.told == 0


def test_what_happened_last_is_found_from_the_end_of_the_log():
    """The moment of a text, and the store that comes with it."""
    log = typed()
    with echo() as machine:
        place = machine.program.symbols["place"].address
        machine.replay(log)
        machine.keep_history(spacing=30_000)
        assert machine.run().reason is StopReason.REPLAYED
        for count in range(len(KEYS), 0, -1):
            stop = machine.run_back(("write", place, 8))
            assert stop.reason is StopReason.WATCHPOINT
            assert machine.memory.read(place, 8) == sum(KEYS[:count - 1]).to_bytes(8, "little")
            assert machine.console.output == KEYS[:count]
            assert machine.run_back(KEYS[:count]).reason is StopReason.CONDITION
            assert machine.console.output == KEYS[:count - 1]
            came = log.entries[key_number(log, chr(KEYS[count - 1]))].stamp.steps
            assert came <= machine.steps < came + 20
        assert machine.run_back(("write", place, 8)).reason is StopReason.BEGINNING
        assert machine.run().reason is StopReason.REPLAYED
        assert (machine.steps, machine.console.output) == (log.end.steps, KEYS)


def test_nothing_else_comes_from_outside_until_the_log_ends_and_then_it_comes_again():
    log = typed()
    with echo() as machine:
        machine.replay(log)
        past = machine.keep_history(spacing=30_000)
        machine.run(instructions=700_000)
        machine.step_back(300_000)
        with pytest.raises(vm.MachineBusy, match="input of 'uart'"):
            machine.console.send("x")
        kept = machine.harts[0]["s9"]
        machine.harts[0]["s9"] = 1
        for go in (machine.run, machine.step_back, partial(machine.run_back, "a")):
            with pytest.raises(vm.MachineBusy, match="replays a log"):
                go()
        machine.harts[0]["s9"] = kept
        assert machine.run().reason is StopReason.REPLAYED
        machine.console.send("x")                       # where the log ends
        machine.run(instructions=50_000)
        machine.console.send("y")
        machine.run(instructions=50_000)
        end = seen(machine)
        assert end.printed == KEYS + b"xy"
        machine.step_back(450_000)                      # into the log
        assert machine.console.output == KEYS[:5]
        with pytest.raises(vm.MachineBusy):
            machine.console.send("z")
        assert machine.run().reason is StopReason.REPLAYED
        assert machine.steps == log.end.steps
        machine.run(instructions=end.steps - machine.steps)
        assert seen(machine) == end
        machine.step_back(60_000)                       # to between the two keys
        assert machine.console.output == KEYS + b"x"
        past.stop()
        with pytest.raises(vm.ConfigurationError, match="no history is kept"):
            machine.step_back()


def test_history_that_ends_leaves_the_replay():
    log = typed()
    with echo() as machine:
        machine.replay(log)
        with machine.keep_history():
            machine.run(instructions=700_000)
            machine.step_back(100_000)
            with pytest.raises(vm.ConfigurationError, match="keeps a history"):
                machine.keep_history()
        with pytest.raises(vm.ConfigurationError, match="no history is kept"):
            machine.step_back()
        assert machine.run().reason is StopReason.REPLAYED
        assert (machine.steps, machine.console.output) == (log.end.steps, KEYS)
        machine.console.send("z")
        machine.run(instructions=10_000)
        assert machine.console.output == KEYS + b"z"


def test_divergence_is_found_again_behind_a_step_back():
    log = session_log()
    number = key_number(log, "c")
    with busy() as machine:
        machine.replay(changed(log, number, data=b"x"))
        machine.keep_history()
        for _ in range(2):
            with pytest.raises(vm.ReplayDiverged) as caught:
                machine.run()
            assert caught.value.fitted == log.entries[number].stamp.steps
            machine.step_back(machine.steps - log.entries[number].stamp.steps + 1000)
