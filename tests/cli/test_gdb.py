"""`vm gdb` and `--gdb`: where a debugger comes, what the terminal shows, how it ends."""

import subprocess
import time

import pytest

from tests.cli.conftest import COMMAND, assert_fails_with_one_line
from tests.cli.test_replay import recorded
from tests.gdb.conftest import Client
from vm.gdb.packets import framed

USAGE = 2


class Started:
    """A command that serves at a path, and its debugger."""

    def __init__(self, path, *arguments):
        self.process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.client = self._connected(str(path))

    def _connected(self, path: str) -> Client:
        """The path is there a moment before anybody listens."""
        while True:
            try:
                return Client(path)
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None:
                    raise
                time.sleep(0.01)

    def end(self) -> tuple[int, bytes, bytes]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def test_it_waits_and_the_guest_ends(guest, tmp_path):
    path = tmp_path / "gdb"
    started = Started(path, "gdb", guest("exit-3"), "--at", path)
    assert started.client.ask("?").startswith("T05")
    assert started.client.ask("c") == "W03"
    code, out, err = started.end()
    assert (code, out) == (3, b"")
    assert err.decode() == f"vm: waiting for gdb: target remote {path}\n"
    assert not path.exists()


def test_console_is_the_terminal(guest, tmp_path):
    path = tmp_path / "gdb"
    started = Started(path, "run", guest("echo"), "--gdb", path, "--quiet")
    assert started.client.ask("?").startswith("T05")
    started.process.stdin.write(b"hello")
    started.process.stdin.flush()
    started.client.send("c")
    assert started.process.stdout.read(7) == b"> hello"
    started.client.raw(b"\x03")
    assert started.client.reply().startswith("T02")
    assert started.client.ask("D") == "OK"
    started.process.stdin.write(b"q")
    assert started.end() == (0, b"q", b"")


def test_killed(guest, tmp_path):
    path = tmp_path / "gdb"
    started = Started(path, "gdb", guest("loop"), "--at", path)
    started.client.send("c")
    started.client.raw(b"\x03")
    assert started.client.reply().startswith("T02")
    started.client.send("k")
    assert started.end()[0] == 0


@pytest.mark.parametrize("command", [("gdb", "--at"), ("run", "--gdb")])
def test_by_stdio_the_console_is_the_debuggers(vm, guest, command):
    """The machine does not run before it says so, and nothing but packets is on standard output."""
    done = vm(command[0], guest("reset-once"), command[1], "stdio",
              input=framed(b"QStartNoAckMode") + framed(b"?") + framed(b"vCont;c"))
    packets = done.stdout.replace(b"+", b"").split(b"$")[1:]
    assert packets[0] == b"OK#9a"
    assert packets[1].startswith(b"T05thread:1;")
    assert (done.returncode, done.stderr) == (0, b"")


def test_debugger_by_stdio_that_goes_ends_it(vm, guest):
    done = vm("gdb", guest("loop"), "--at", "stdio", input=framed(b"?"))
    assert (done.returncode, done.stderr) == (0, b"")


def test_snapshot(guest, tmp_path):
    import vm as package

    with package.Machine(memory="16M") as machine:
        machine.load(guest("loop"))
        machine.run(instructions=1234)
        machine.snapshot().save(tmp_path / "looping.vmsnap")
    path = tmp_path / "gdb"
    started = Started(path, "gdb", tmp_path / "looping.vmsnap", "--at", path, "--history")
    assert started.client.monitor("py machine.steps") == "1234\n"
    assert "history since step 1,234" in started.client.monitor("history")
    started.client.send("k")
    assert started.end()[0] == 0


@pytest.mark.parametrize("command", [("restore",), ("boot", "--from")])
def test_restored(guest, tmp_path, command):
    """It runs at once, with its console on the terminal."""
    import vm as package

    with package.Machine(memory="16M") as machine:
        machine.load(guest("echo"))
        machine.console.expect("> ")
        machine.snapshot().save(tmp_path / "echoing.vmsnap")
    path = tmp_path / "gdb"
    started = Started(path, *command, tmp_path / "echoing.vmsnap", "--gdb", path)
    assert started.client.ask("?").startswith("T05")
    started.process.stdin.write(b"hello")
    started.process.stdin.flush()
    started.client.send("c")
    assert started.process.stdout.read(5) == b"hello"
    started.client.raw(b"\x03")
    assert started.client.reply().startswith("T02")
    assert started.client.ask("D") == "OK"
    started.process.stdin.write(b"q")
    code, out, err = started.end()
    assert (code, out) == (0, b"q")
    assert err.decode() == f"vm: ready for gdb: target remote {path}\n"


def test_replayed(tmp_path):
    """It waits; a breakpoint in it is met, what was typed comes again, and the end of the log is told as one."""
    folder = recorded(tmp_path / "run", "abc")
    path = tmp_path / "gdb"
    started = Started(path, "replay", folder, "--gdb", path)
    client = started.client
    symbols = {"read": 0x8000_0018}
    assert client.ask("?").startswith("T05")
    assert client.ask(f"Z0,{symbols['read']:x},2") == "OK"
    for letter in "abc":
        assert "swbreak" in client.ask("c")
        client.ask("s")
        assert client.ask("p5")[:2] == f"{ord(letter):02x}"
    reply = client.ask("c")
    assert reply.startswith("T05") and "replaylog:end" in reply
    client.send("k")
    code, out, err = started.end()
    assert (code, out) == (0, b"abc")
    assert err.decode() == f"vm: waiting for gdb: target remote {path}\n"


def test_what_is_typed_behind_the_end_of_a_log_comes_in_and_comes_again(tmp_path):
    path = tmp_path / "gdb"
    started = Started(path, "replay", recorded(tmp_path / "run", "ab"), "--gdb", path)
    client = started.client

    def reads(letter: str) -> None:
        assert "swbreak" in client.ask("c")
        client.ask("s")
        assert client.ask("p5")[:2] == f"{ord(letter):02x}"

    assert "replaylog:end" in client.ask("c")
    assert client.ask("Z0,80000018,2") == "OK"
    started.process.stdin.write(b"z")
    started.process.stdin.flush()
    reads("z")
    while "replaylog:begin" not in client.ask("bc"):
        pass
    reads("a")
    reads("b")
    assert "replaylog:end" in client.ask("c")
    reads("z")
    client.send("k")
    code, _, err = started.end()
    assert code == 0 and err.decode() == f"vm: waiting for gdb: target remote {path}\n"


def test_kernel(guest, tmp_path):
    """It begins in supervisor mode, with the firmware built in."""
    path = tmp_path / "gdb"
    started = Started(path, "gdb", "--kernel", guest("loop"), "--at", path)
    assert started.client.ask("qThreadExtraInfo,1") == b"hart 0: started, S".hex()
    started.client.send("k")
    assert started.end()[0] == 0


@pytest.mark.parametrize("arguments", [
    ("gdb",), ("gdb", "x", "--kernel", "y"), ("gdb", "x", "--initrd", "y"), ("gdb", "-", "--at", "stdio"),
    ("run", "x", "--gdb", "1", "--timeout", "1"), ("run", "x", "--gdb", "1", "--max-instructions", "5"),
    ("run", "-", "--gdb", "stdio"), ("boot", "debian", "--gdb", "1", "--run", "true"),
    ("boot", "--kernel", "x", "--gdb", "1", "--snapshot-at", "a", "b"), ("restore", "x", "--gdb", "1", "--run", "y"),
    ("boot", "--from", "x", "--gdb", "1", "--timeout", "1"), ("replay", "x", "--gdb", "1", "--timeout", "1"),
])
def test_options_that_do_not_go_together(vm, arguments):
    assert_fails_with_one_line(vm(*arguments), USAGE)


def test_place_that_there_is_not(vm, guest):
    line = assert_fails_with_one_line(vm("gdb", guest("loop"), "--at", "/no/such/folder/gdb"), USAGE)
    assert "/no/such/folder/gdb" in line
