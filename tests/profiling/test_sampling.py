"""When a profile looks at the guest, for how much a sample counts, and that the guest cannot tell."""

import time

import pytest

import vm
from tests.profiling.programs import FRAME_POINTERS, program
from vm.devices import Device
from vm.stop import StopReason

EVERY = 997
# Prints, and waits for a timer in between; other harts count all the time, by numbers of their own. Ends by power-off.
TICKS = """
    csrr s0, mhartid
    bnez s0, count
    la   t0, tick; csrw mtvec, t0
    li   t0, 0x80; csrw mie, t0; csrsi mstatus, 8
    li   s5, 0x2004000; li s6, 0x200bff8; li s2, 0x10000000; li s7, 12
    ld   t1, 0(s6); addi t1, t1, 40; sd t1, 0(s5)
again:
    li   t0, 700
1:  addi t0, t0, -1; bnez t0, 1b
    wfi
    j    again
count:
    addi s1, s1, 1
    andi t0, s1, 63; bnez t0, count
    add  s3, s3, s0
    j    count
    .balign 4
tick:
    ld   t5, 0(s6); addi t5, t5, 60; sd t5, 0(s5)
    li   t6, 'x'; sb t6, 0(s2)
    addi s7, s7, -1; bnez s7, 2f
    li   t0, 0x100000; li t1, 0x5555; sw t1, 0(t0)
2:  mret
"""
FOREVER = "loop: addi a0, a0, 1; j loop"
BY_STEPS, BY_TIME = {"every": EVERY}, {"seconds": 1e-6}


@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("pace, steps", [(BY_STEPS, 500_000), (BY_TIME, 500_000), ({"every": 1}, 25_000)],
                         ids=["steps", "time", "every step"])
def test_guest_runs_as_without(pace, steps, harts, engine, guest):
    plain, seen = (guest(TICKS, harts=harts, engine=engine).machine for _ in range(2))
    expected = plain.run(instructions=steps)
    with seen.profile(**pace) as profile:
        assert seen.run(instructions=steps) == expected
    assert len(profile) > 10 and (steps == 25_000 or expected.reason is StopReason.POWER_OFF)
    assert seen.equals(plain.snapshot()), seen.equals(plain.snapshot())
    assert (seen.clock.now_ns(), seen.console.output) == (plain.clock.now_ns(), plain.console.output)


@pytest.mark.parametrize("pace", [BY_STEPS, BY_TIME], ids=["steps", "time"])
def test_samples_are_the_same_each_time(pace):
    """On both engines, and however the program divides the run."""
    found = []
    for engine, pieces in (("interpreter", None), ("jit", None), ("jit", 1_234), ("interpreter", EVERY)):
        with vm.Machine(memory="2M", harts=2, engine=engine) as machine:
            machine.load(program(FRAME_POINTERS))
            with machine.profile(**pace) as profile:
                while machine.run(instructions=pieces).reason is StopReason.BUDGET:
                    pass
            found.append((profile.array.tolist(), profile.stacks))
    assert len(found[0][0]) > 20
    assert all(one == found[0] for one in found)


def test_samples_are_at_multiples_whenever_it_began(guest):
    machine = guest(FOREVER).machine
    machine.run(instructions=1_500)
    profile = machine.profile(1_000)
    machine.run(instructions=3_000)
    assert profile.array["step"].tolist() == [2_000, 3_000, 4_000]
    assert profile.array["weight"].tolist() == [500, 1_000, 1_000]


@pytest.mark.parametrize("every", [997, 10_000, 30_000])
def test_weights_are_the_steps_of_each_hart(every, guest):
    """Also where the interval is that of the harts' turns."""
    machine = guest(FOREVER, harts=3).machine
    with machine.profile(every) as profile:
        machine.run(instructions=every * 60)
    rows = profile.array
    assert [rows[rows["hart"] == hart.id]["weight"].sum() for hart in machine.harts] == [
        hart.steps for hart in machine.harts]


def test_samples_of_every_step_are_the_steps(guest):
    machine, twin = (guest(TICKS).machine for _ in range(2))
    with machine.profile(1) as profile:
        machine.run(instructions=3_000)
    places = []
    for _ in range(3_000):
        twin.run(instructions=1)
        places.append((twin.steps, twin.clock.now_ns(), twin.harts[0].pc))
    assert [(row["step"], row["time_ns"], row["pc"]) for row in profile.array] == places


def test_time_passes_where_a_guest_waits(guest):
    g = guest(TICKS)
    with g.machine.profile(seconds=1e-6) as profile:
        g.run()
    rows = profile.array
    assert set((rows["time_ns"] % 1_000).tolist()) == {0}
    assert rows["weight"].tolist() == [1_000] * len(rows)
    assert rows["time_ns"][-1] == g.machine.clock.now_ns() // 1_000 * 1_000
    waited = int(rows[rows["waiting"]]["weight"].sum())
    assert abs(waited - (g.machine.clock.now_ns() - g.machine.steps)) < 12 * 1_000      # waits begin within intervals
    assert profile.folded().count(";waiting ") == 1


def test_guest_that_waits_for_nothing_is_idle(guest):
    g = guest("csrw mie, zero; wfi")
    with g.machine.profile(seconds=1e-6):
        assert g.run().reason is StopReason.IDLE
    assert g.machine.clock.now_ns() == g.machine.steps


def test_condition_is_asked_as_often_as_without(guest):
    asked = []
    for every in (None, 333):
        machine = guest(FOREVER).machine
        if every:
            machine.profile(every)
        steps = []
        machine.run(instructions=45_000, until=lambda machine, steps=steps: steps.append(machine.steps))
        asked.append(steps)
    assert asked[0] == asked[1]


def test_restored_machine_gives_the_samples_again(guest):
    machine = guest(TICKS).machine
    machine.run(instructions=1_700)
    snapshot = machine.snapshot()
    with machine.profile(EVERY) as profile:
        machine.run(instructions=5_000)
        count = len(profile)
        machine.restore(snapshot)
        machine.run(instructions=5_000)
    rows = profile.array.tolist()
    assert count > 3 and rows[:count] == rows[count:]


def test_what_is_run_to_look_for_the_past_is_not_sampled(guest):
    machine = guest(TICKS).machine
    machine.keep_history()
    with machine.profile(EVERY) as profile:
        machine.run(instructions=3_000)
        count = len(profile)
        machine.step_back(1_500)
        assert len(profile) == count
        machine.run(instructions=1_500)
    assert profile.array["step"].tolist()[count:] == [1_994, 2_991]


class Trouble(Device):
    size = 0x1000

    def write(self, offset: int, size: int, value: int) -> None:
        raise RuntimeError("trouble")


def test_exception_of_a_device_comes_out_and_samples_go_on(guest):
    g = guest("li t0, 0x30000000; again: addi a0, a0, 1; sw a0, 0(t0); j again", devices=[(Trouble(), 0x3000_0000)])
    with g.machine.profile(1) as profile:
        with pytest.raises(RuntimeError, match="trouble"):
            g.run()
        done = g.machine.steps
        g.hart.pc += 4
        with pytest.raises(RuntimeError, match="trouble"):
            g.run()
    assert done == 2 and profile.array["step"].tolist() == list(range(1, g.machine.steps + 1))


def test_real_clock(guest):
    g = guest(FOREVER, clock="real")
    with g.machine.profile(seconds=0.001) as profile:
        g.run(instructions=1 << 62, seconds=0.05)
    rows = profile.array
    assert len(rows) > 5 and (rows["weight"] >= 1).all() and rows["weight"].sum() <= 60_000_000


def test_what_the_program_does_between_two_runs_is_not_the_guests_time(guest):
    g = guest(FOREVER, clock="real")
    began_ns = g.machine.clock.now_ns()
    with g.machine.profile(seconds=0.001) as profile:
        g.run(instructions=1 << 62, seconds=0.02)
        time.sleep(0.2)
        g.run(instructions=1 << 62, seconds=0.02)
    assert 0 < profile.weight <= g.machine.clock.now_ns() - began_ns - 200_000_000


def test_stopped_profile_takes_no_samples(guest):
    machine = guest(FOREVER).machine
    profile = machine.profile(100)
    machine.run(instructions=1_000)
    profile.stop()
    profile.stop()
    machine.run(instructions=1_000)
    assert len(profile) == 10
    with machine.profile(100) as other:
        profile.stop()
        machine.run(instructions=1_000)
    assert len(other) == 10


def test_stopped_in_the_middle_of_a_run(guest):
    machine = guest(FOREVER).machine
    profile = machine.profile(100)
    machine.run(instructions=30_000, until=lambda machine: machine.steps >= 10_000 and profile.stop())
    assert len(profile) == 100 and machine.steps == 30_000


@pytest.mark.parametrize("arguments, message", [
    ({"every": 0}, "at least one step"), ({"every": "x"}, "whole number"), ({"every": 1, "seconds": 1}, "either"),
    ({"seconds": 0}, "guest seconds"), ({"seconds": float("nan")}, "guest seconds"), ({"depth": 0}, "depth=0"),
    ({"symbols": [3]}, "name_of")])
def test_what_is_no_profile(arguments, message, guest):
    machine = guest(FOREVER).machine
    with pytest.raises(vm.ConfigurationError, match=message):
        machine.profile(**arguments)
    machine.profile()
    with pytest.raises(vm.ConfigurationError, match="stop"):
        machine.profile()
