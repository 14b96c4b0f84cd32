"""The console on a terminal: raw keys, Ctrl-A, and the terminal's modes put back on every way out."""

import os
import select
import signal
import subprocess
import termios

import pytest
from pexpect.fdpexpect import fdspawn

from tests.cli.conftest import COMMAND


class Session(fdspawn):
    """`vm run` on a terminal of its own, of which pexpect has the other end."""

    def __init__(self, *arguments):
        master, self.slave = os.openpty()
        super().__init__(master, timeout=60)
        self.delaybeforesend = None
        self.modes_before = self.modes()
        # A job of its own: SIGTSTP does not stop what no shell could continue, as is where the tests run in background.
        self.process = subprocess.Popen([*COMMAND, "run", *arguments], stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, process_group=0)
        self.expect_exact("vm: Ctrl-A X quits, Ctrl-A H helps\r\n")

    def modes(self):
        return termios.tcgetattr(self.slave)

    def wait_for_raw(self):
        while self.modes() == self.modes_before:
            assert self.process.poll() is None

    def stalled(self):
        """Whether the terminal takes no more output."""
        return not select.select([], [self.slave], [], 0.1)[1]

    def finish(self):
        """The exit code. However it ended, the terminal is as it was."""
        code = self.process.wait(timeout=60)
        assert self.modes() == self.modes_before
        return code

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        self.close()


@pytest.fixture
def session(guest):
    """session(guest name, *options) -> Session"""
    sessions = []

    def start(name, *options):
        sessions.append(Session(guest(name), *options))
        return sessions[-1]

    yield start
    for started in sessions:
        started.end()


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("name", ["echo", "waiting-echo"])
def test_every_key_but_the_escape_goes_to_the_guest(session, name, clock):
    child = session(name, "--clock", clock)
    keys = bytes(byte for byte in range(256) if byte not in (1, 10, ord("q")))     # 10: output shows it as CR LF
    child.wait_for_raw()
    child.send(keys)
    child.expect_exact(keys)
    child.send("q")
    assert child.finish() == 0


def test_enter_is_a_carriage_return(session):
    child = session("echo")
    child.wait_for_raw()
    child.send("a\rb")
    child.expect_exact("a\rb")


def test_newline_of_the_guest_begins_a_line(session):
    child = session("echo")
    child.wait_for_raw()
    child.send("a\nb")
    child.expect_exact("a\r\nb")


@pytest.mark.parametrize("key", ["x", "X"])
@pytest.mark.parametrize("name, clock", [("loop", "virtual"), ("idle", "virtual"), ("idle", "real")])
def test_ctrl_a_x_quits(session, name, key, clock):
    child = session(name, "--clock", clock)
    child.send("\x01" + key)
    assert child.finish() == 0


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
    assert child.finish() == 0
    assert b"b" not in child.before


def test_unknown_key_after_ctrl_a_is_reported_and_not_typed(session):
    child = session("echo")
    child.expect_exact("> ")
    child.send("\x01k\x01\x02a")
    child.expect_exact("vm: Ctrl-A k means nothing; Ctrl-A H helps\r\n")
    child.expect_exact("vm: Ctrl-A 0x02 means nothing; Ctrl-A H helps\r\na")


def test_terminal_is_raw_but_for_its_output(session):
    child = session("echo")
    child.expect_exact("> ")
    raw = child.modes()
    assert not raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert not raw[0] & (termios.ICRNL | termios.IXON)
    assert raw[1] & termios.OPOST
    child.send("q")
    assert child.finish() == 0


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
@pytest.mark.parametrize("name, clock", [("loop", "virtual"), ("waiting-echo", "virtual"), ("waiting-echo", "real")])
def test_modes_are_put_back_after_a_signal(session, name, clock, number, code):
    child = session(name, "--clock", clock)
    child.wait_for_raw()
    child.process.send_signal(number)
    assert child.finish() == code


@pytest.mark.parametrize("name", ["print-for-ever", "print-by-tohost"])
@pytest.mark.parametrize("read", [True, False], ids=["read", "nobody reads"])
def test_ctrl_a_x_quits_a_guest_that_prints_all_the_time(session, name, read):
    child = session(name)
    child.wait_for_raw()
    while not read and not child.stalled():
        assert child.process.poll() is None
    if read:
        child.expect_exact("xxx")
    child.send("\x01x")
    while child.process.poll() is None:
        if read and select.select([child.child_fd], [], [], 0.1)[0]:
            os.read(child.child_fd, 65536)
    assert child.finish() == 0


def test_terminal_is_raw_again_after_a_shell_has_had_it(session):
    """kill -STOP, then fg: the shell takes the terminal's modes for itself, and says nothing but SIGCONT."""
    child = session("loop")
    child.wait_for_raw()
    child.process.send_signal(signal.SIGSTOP)
    os.waitpid(child.process.pid, os.WUNTRACED)
    termios.tcsetattr(child.slave, termios.TCSANOW, child.modes_before)
    child.process.send_signal(signal.SIGCONT)
    child.wait_for_raw()
    child.send("\x01x")
    assert child.finish() == 0


def test_terminal_is_the_shell_s_while_the_machine_is_suspended(session):
    """SIGTSTP from outside: Ctrl-Z is the guest's. Each as soon as the terminal is raw again."""
    child = session("loop")
    for _ in range(200):
        child.wait_for_raw()
        child.process.send_signal(signal.SIGTSTP)
        _, status = os.waitpid(child.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status) and child.modes() == child.modes_before
        child.process.send_signal(signal.SIGCONT)
    child.wait_for_raw()
    child.send("\x01x")
    assert child.finish() == 0


def test_modes_are_put_back_after_a_crash_of_the_guest(session):
    child = session("jump-to-nowhere")
    assert child.finish() == 139


def test_hung_up_terminal_ends_the_session(guest):
    session = Session(guest("idle"))
    session.wait_for_raw()
    os.close(session.slave)
    session.close()
    assert session.process.wait(timeout=60) == 0
