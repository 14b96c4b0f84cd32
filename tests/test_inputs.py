"""The door by which the host's world enters a machine."""

import os

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
