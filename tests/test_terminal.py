"""Terminal between a machine and descriptors that are no terminal; the raw console is in tests/cli."""

import os
import signal

import pytest

from vm.machine import Machine
from vm.terminal import Terminal, write_all


@pytest.fixture
def machine():
    with Machine(memory="1M") as machine:
        yield machine


@pytest.fixture
def pipe():
    """(read end, write end); closed at the end unless closed before"""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


def test_input_is_fed_until_its_end(machine, pipe):
    with Terminal(machine, stdin=pipe[0]) as terminal:
        assert machine.inputs.watching and terminal.feeding
        os.write(pipe[1], b"a\x01xb")
        machine.inputs.poll(0)
        assert machine.board.uart.fifo + machine.board.uart.queue == b"a\x01xb"
        os.close(pipe[1])
        machine.inputs.poll(0)
        assert not machine.inputs.watching and not terminal.feeding and not terminal.quitting


def test_output_goes_out_unchanged(machine, pipe):
    with open("/dev/null") as nothing, Terminal(machine, stdin=nothing.fileno(), stdout=pipe[1]):
        machine.console.write(b"\xff\x00\r\n")
        assert os.read(pipe[0], 100) == b"\xff\x00\r\n"


def test_machine_and_signals_are_left_as_they_were(machine, pipe):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(RuntimeError), Terminal(machine, stdin=pipe[0], stdout=pipe[1]):
        assert signal.getsignal(signal.SIGTERM) not in handlers
        raise RuntimeError
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == handlers
    assert (machine.inputs.watching, machine.console.mirror) == (False, None)


def test_ignored_signal_stays_ignored(machine, pipe):
    """As nohup(1) wants it."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Terminal(machine, stdin=pipe[0], stdout=pipe[1]):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_descriptor_that_is_non_blocking_still_gets_everything(pipe):
    """A pipe takes 64 KiB; a reader in another process takes the rest as it comes."""
    os.set_blocking(pipe[1], False)
    data = bytes(range(256)) * 4096
    child = os.fork()
    if child == 0:
        os.close(pipe[1])
        with open(pipe[0], "rb") as reader:
            os._exit(reader.read() != data)
    os.close(pipe[0])
    write_all(pipe[1], data)
    os.close(pipe[1])
    assert os.waitpid(child, 0)[1] == 0
