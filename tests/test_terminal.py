"""Terminal between a machine and descriptors that are no terminal; the raw console is in tests/cli."""

import os
import select
import signal

import pytest

from vm.machine import Machine
from vm.terminal import UNREAD, UNREAD_KEYS, Terminal


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


def test_no_more_is_taken_from_a_pipe_than_the_guest_reads(machine, pipe):
    os.set_blocking(pipe[1], False)
    sent = 0
    with Terminal(machine, stdin=pipe[0]) as terminal:
        for _ in range(100):
            try:
                sent += os.write(pipe[1], bytes(4096))
            except BlockingIOError:
                pass
            machine.inputs.poll(0)
        uart = machine.board.uart
        assert UNREAD <= uart.unread < sent and not terminal.feeding
        os.close(pipe[1])
        received = len(uart.take(UNREAD))
        while machine.inputs.watching:
            machine.inputs.poll(0)
            received += len(uart.take(UNREAD))
        assert received == sent


def test_output_that_nobody_takes_stops_the_machine_and_is_kept(machine, pipe):
    """A pipe takes 64 KiB. Whatever the guest prints in one piece is kept."""
    data = bytes(range(256)) * 1024
    with open("/dev/null") as nothing, Terminal(machine, stdin=nothing.fileno(), stdout=pipe[1]) as terminal:
        machine.console.write(data[:65536])
        assert not terminal.stalled
        machine.console.write(data[65536:])
        assert terminal.stalled and not terminal.flush(lambda: 0)
        terminal.wait_for_reader(0)
        assert terminal.stalled
        received = os.read(pipe[0], 65536)
        while len(received) < len(data):
            terminal.wait_for_reader()
            received += os.read(pipe[0], 65536)
        assert received == data and not terminal.stalled and terminal.flush(lambda: 0)


def test_keys_that_the_guest_does_not_read_are_lost_in_the_end(machine):
    """So that Ctrl-A X is always seen."""
    master, slave = os.openpty()
    with Terminal(machine, stdin=slave, stdout=slave, stderr=slave) as terminal:
        os.read(master, 4096)
        while not select.select([master], [], [], 0)[0]:
            os.write(master, b"k" * 1024)
            machine.inputs.poll()
        assert UNREAD_KEYS - 4096 < machine.board.uart.unread <= UNREAD_KEYS
        assert b"what is typed is lost" in os.read(master, 4096)
        os.write(master, b"\x01x")
        machine.inputs.poll()
        assert terminal.quitting
    os.close(master)
    os.close(slave)
