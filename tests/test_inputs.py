"""The door by which the host's world enters a machine."""

import os
import resource
import threading
import time

import pytest

import vm
from vm.devices import VirtioConsole
from vm.inputs import Inputs


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def seen(monkeypatch):
    """All that enters any machine."""
    entered = []
    enter = Inputs.enter

    def note(self, source, data):
        entered.append((source, bytes(data)))
        enter(self, source, data)

    monkeypatch.setattr(Inputs, "enter", note)
    return entered


def test_what_is_typed_comes_by_the_door(seen):
    with vm.Machine(memory="1M") as machine:
        machine.console.send("ls\n")
        machine.board.uart.receive(b"x")
        assert seen == [("uart", b"ls\n"), ("uart", b"x")]
        assert machine.board.uart.take(10) == b"ls\nx"


def test_input_of_an_attached_console_has_the_name_of_its_place(seen):
    console = VirtioConsole()
    with vm.Machine(memory="1M") as machine:
        assert machine.attach(console) == "virtio0"
        console.receive(b"hello")
        assert seen == [("virtio0", b"hello")] and console.input == b"hello"


def test_descriptor_is_looked_at_until_it_is_forgotten(pipe):
    inputs, calls = Inputs(), []
    inputs.watch(pipe[0], lambda: calls.append(os.read(pipe[0], 10)))
    inputs.poll(0)
    assert inputs.watching and inputs.watches(pipe[0]) and calls == []
    os.write(pipe[1], b"a")
    inputs.poll()
    os.write(pipe[1], b"b")
    inputs.forget(pipe[0])
    inputs.forget(pipe[0])
    inputs.poll(0)
    assert not inputs.watching and not inputs.watches(pipe[0]) and calls == [b"a"]


def test_guest_that_runs_gets_what_comes_in(guest, pipe):
    """Between slices, also of a guest that never waits."""
    g = guest("li t0, 0x10000000; 1: lb a0, 5(t0); andi a0, a0, 1; beqz a0, 1b; lb a0, (t0); wfi")
    g.machine.inputs.watch(pipe[0], lambda: g.machine.console.send(os.read(pipe[0], 10)))
    os.write(pipe[1], b"k")
    assert g.machine.run(timeout=60).reason is vm.StopReason.IDLE
    assert g["a0"] == ord("k")


# Guests that leave the core all the time: S-mode polls the firmware for a key, M-mode prints through `tohost` while it
# polls the UART.
POLLING_FIRMWARE = "1: li a7, 2; ecall; bltz a0, 1b; wfi; 2: j 2b"
PRINTING_BY_TOHOST = """
    la s0, tohost; li s1, 0x0101000000000000 + '.'; li s2, 0x10000000
1:  sd s1, 0(s0)
2:  ld t0, 0(s0); bnez t0, 2b
    lb a0, 5(s2); andi a0, a0, 1; beqz a0, 1b
    lb a0, 0(s2); wfi
    .balign 8; tohost: .dword 0
"""


@pytest.mark.parametrize("source", [POLLING_FIRMWARE, PRINTING_BY_TOHOST], ids=["firmware", "tohost"])
def test_guest_that_keeps_python_busy_gets_what_comes_in(guest, pipe, dispatch, source):
    """The next look is at a point in time that other work does not put off."""
    g = guest(source)
    if source is POLLING_FIRMWARE:
        g.native.sbi = True
        g.hart.privilege = 1
        g.open_pmp()
    g.machine.run(timeout=0.05)
    g.machine.inputs.watch(pipe[0], lambda: g.machine.console.send(os.read(pipe[0], 10)))
    os.write(pipe[1], b"k")
    assert g.machine.run(timeout=60).reason is vm.StopReason.IDLE
    assert g["a0"] == ord("k")


def test_host_keeps_what_is_not_wanted(pipe):
    inputs, wanted = Inputs(), []
    inputs.watch(pipe[0], lambda: os.read(pipe[0], 10), lambda: bool(wanted))
    os.write(pipe[1], b"a")
    assert inputs.wait(0) == []
    wanted.append(True)
    assert inputs.wait(0) == [pipe[0]]


# Waits for M-mode's timer, at the mtime in a1, and for a key; s1 counts wake-ups. Then waits for ever.
TICKING = """
    li t0, 0xc000028; li t1, 1; sw t1, 0(t0)
    li t0, 0xc002000; li t1, 1 << 10; sw t1, 0(t0)
    li s0, 0x10000000; li t0, 1; sb t0, 1(s0)
    li t0, 0x2004000; sd a1, 0(t0)
    li t0, 1 << 11 | 1 << 7; csrw mie, t0
    wfi; addi s1, s1, 1
    lb s2, 5(s0); csrr s3, time; csrw mie, zero; wfi
"""


def test_time_of_an_interactive_guest_that_waits_is_the_host_s(guest):
    """And it takes the same steps at the same guest times as without anybody at the terminal."""
    found = []
    for interactive in (False, True):
        g = guest(TICKING)
        g["a1"] = 1_500_000                             # 150 ms
        g.machine.inputs.interactive = interactive
        began = time.monotonic()
        g.finish()
        if interactive:
            assert time.monotonic() - began >= 0.14
        found.append((g.machine.steps, g["s1"], g["s3"], g["time"], g.machine.clock.now_ns()))
    assert found[0] == found[1] and found[0][1] == 1


def test_key_wakes_an_interactive_guest_before_its_timer(guest, pipe):
    g = guest(TICKING)
    g["a1"] = 1 << 40                                   # a day
    g.machine.inputs.interactive = True
    g.machine.inputs.watch(pipe[0], lambda: g.machine.console.send(os.read(pipe[0], 10)))
    assert g.machine.run(timeout=0.05).reason is vm.StopReason.TIMEOUT
    os.write(pipe[1], b"k")
    assert g.machine.run(timeout=60).reason is vm.StopReason.IDLE
    assert g["s2"] & 1 and g["s1"] == 1


def test_key_comes_when_the_wait_for_it_is_over(guest, pipe):
    """Not at the guest time when the wait began: what a device schedules then would be due in the past."""
    came = []
    g = guest(TICKING)
    g["a1"] = 1 << 40

    def take():
        os.read(pipe[0], 10)
        came.append(g.machine.clock.now_ns())
        g.machine.request_stop()

    g.machine.inputs.interactive = True
    g.machine.inputs.watch(pipe[0], take)
    typing = threading.Timer(0.05, os.write, (pipe[1], b"k"))
    typing.start()
    assert g.machine.run(timeout=60).reason is vm.StopReason.REQUESTED
    typing.join()
    assert came[0] >= 20_000_000 and g.machine.clock.now_ns() == came[0]


def test_alarms_go_off_in_order_and_not_when_they_are_cancelled():
    inputs, calls = Inputs(), []
    inputs.call_in(0.02, lambda: calls.append("second"))
    inputs.call_in(0.01, lambda: calls.append("first"))
    inputs.call_in(0.01, lambda: calls.append("never")).cancel()
    inputs.poll(0)
    assert calls == [] and inputs.watching
    while inputs.watching:
        inputs.poll()
    assert calls == ["first", "second"]


def test_an_alarm_goes_off_while_every_hart_waits(guest):
    """At its own time, not when the machine looks next."""
    g = guest(TICKING)
    g["a1"] = 600_000_000                           # a minute
    g.machine.inputs.interactive = True
    g.machine.inputs.call_in(0.03, lambda: g.machine.console.send("k"))
    began = time.monotonic()
    g.finish()
    assert g["s1"] == 1 and chr(g["s2"] & 1) == "\1" and time.monotonic() - began < 30


def test_a_guest_waits_in_the_host_s_time_while_an_answer_is_expected(guest):
    g = guest(TICKING)
    g["a1"] = 1_500_000                             # 150 ms
    due = time.monotonic() + 0.05
    g.machine.inputs.expect(lambda: time.monotonic() < due)
    began = time.monotonic()
    g.finish()
    assert 0.05 <= time.monotonic() - began < 30 and g["s1"] == 1


def test_descriptors_of_any_number_are_watched(pipe):
    """select(2) takes those below 1,024 only."""
    high = os.dup2(pipe[0], 1500, inheritable=False) if resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1500 else None
    if high is None:
        pytest.skip("this process may have no file of so high a number")
    inputs, calls = Inputs(), []
    inputs.watch(high, lambda: calls.append(os.read(high, 10)))
    os.write(pipe[1], b"a")
    inputs.poll()
    os.close(high)
    assert calls == [b"a"]
