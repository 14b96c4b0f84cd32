"""The console on a terminal: raw keys, Ctrl-A, and the terminal's modes put back on every way out."""

import os
import signal
import termios

import pexpect
import pytest

from .conftest import COMMAND


@pytest.fixture
def session(guest):
    """session(guest name, *options) -> `vm run` on a terminal, as pexpect has it"""
    children = []

    def start(name, *options):
        child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "run", guest(name), *options], timeout=60)
        child.delaybeforesend = None
        child.before_modes = termios.tcgetattr(child.child_fd)
        children.append(child)
        child.expect_exact("vm: Ctrl-A X quits, Ctrl-A H helps\r\n")
        return child

    yield start
    for child in children:
        child.close(force=True)


def finish(child):
    """Wait for the end; the exit code, or minus the signal. Checks that the terminal is as it was."""
    child.expect(pexpect.EOF)
    child.wait()
    return child.exitstatus if child.signalstatus is None else -child.signalstatus


def modes_are_back(child):
    return termios.tcgetattr(child.child_fd) == child.before_modes


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("name", ["echo", "waiting-echo"])
def test_every_key_but_the_escape_goes_to_the_guest(session, name, clock):
    child = session(name, "--clock", clock)
    keys = bytes(byte for byte in range(256) if byte not in (1, 10, ord("q")))     # 10: output shows it as CR LF
    child.send(keys)
    child.expect_exact(keys)
    child.send("q")
    assert finish(child) == 0


def test_enter_is_a_carriage_return(session):
    child = session("echo")
    child.send("a\rb")
    child.expect_exact("a\rb")


def test_newline_of_the_guest_begins_a_line(session):
    child = session("echo")
    child.send("a\nb")
    child.expect_exact("a\r\nb")


@pytest.mark.parametrize("key", ["x", "X"])
@pytest.mark.parametrize("name, clock", [("loop", "virtual"), ("idle", "virtual"), ("idle", "real")])
def test_ctrl_a_x_quits(session, name, key, clock):
    child = session(name, "--clock", clock)
    child.send("\x01" + key)
    assert finish(child) == 0


def test_ctrl_a_h_helps(session):
    child = session("echo")
    child.expect_exact("> ")
    child.send("\x01h")
    child.expect_exact("\r\nvm: Ctrl-A X        quit")
    child.send("abc")
    child.expect_exact("abc")


def test_ctrl_a_twice_types_it_once(session):
    child = session("echo")
    child.expect_exact("> ")
    child.send("\x01\x01q")
    child.expect_exact("\x01q")


def test_ctrl_a_and_its_key_may_come_apart(session):
    child = session("echo")
    child.expect_exact("> ")
    child.send("a\x01")
    child.expect_exact("a")
    child.send("xb")
    assert finish(child) == 0
    assert b"b" not in child.before


def test_unknown_key_after_ctrl_a_is_reported_and_not_typed(session):
    child = session("echo")
    child.expect_exact("> ")
    child.send("\x01k\x01\x02a")
    child.expect_exact("vm: Ctrl-A k means nothing; Ctrl-A H helps\r\n")
    child.expect_exact("vm: Ctrl-A 0x02 means nothing; Ctrl-A H helps\r\na")


def test_terminal_is_raw_and_then_as_it_was(session, guest):
    # Raw modes show in the master's attributes, which are the terminal's. After the end they are those of before; a
    # shell holds the terminal meanwhile, since it vanishes with its last process.
    child = pexpect.spawn("/bin/sh", ["-c", "stty -a; \"$@\"; stty -a; echo code $?", "sh", *COMMAND, "run",
                                      guest("echo")], timeout=60)
    child.expect_exact("> ")
    before = child.before.split(b"vm: ")[0]
    raw = termios.tcgetattr(child.child_fd)
    assert not raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG) and not raw[0] & termios.ICRNL
    child.send("q")
    child.expect_exact("q\r\n")
    child.expect_exact("code 0")
    assert child.before == before
    child.close()


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
@pytest.mark.parametrize("name, clock", [("loop", "virtual"), ("waiting-echo", "virtual"), ("waiting-echo", "real")])
def test_modes_are_put_back_after_a_signal(guest, name, clock, number, code):
    """As above, with a shell that lets the signal reach the machine alone."""
    script = 'trap "" $2; sh -c \'trap - $2; exec "$@"\' sh "$@"'
    assert script
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    child = pexpect.popen_spawn.PopenSpawn if False else None
    assert child is None
    import subprocess

    process = subprocess.Popen([*COMMAND, "run", guest(name), "--clock", clock], stdin=slave, stdout=slave,
                               stderr=subprocess.PIPE)
    assert process.stderr.readline().startswith(b"vm: Ctrl-A X")
    wait_for_raw(slave)
    process.send_signal(number)
    assert process.wait(timeout=60) == code
    assert termios.tcgetattr(slave) == before
    process.stderr.close()
    os.close(master)
    os.close(slave)


def wait_for_raw(terminal):
    while termios.tcgetattr(terminal)[3] & termios.ICANON:
        pass
