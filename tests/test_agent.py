"""The host's end of the agent's protocol, against an agent played by the test: also one that means harm.

Linux and the agent itself are in tests/boot/test_agent.py.
"""

import errno
import random
import struct

import pytest

import vm
from tests.devices.conftest import Board
from tests.devices.vsock_driver import REQUEST, RESPONSE, RST, RW, SHUTDOWN, Guest
from vm.agent import Agent
from vm.boards.placed import DevicesOfBoard, Placed
from vm.errors import AgentError

HELLO = (b"H", b"vm-agent" + struct.pack("<I", 1))
GONE, CLOSES = object(), object()       # in a script: the connection is reset, or ended


def frames(*parts):
    return b"".join(struct.pack("<II", ord(kind), len(payload)) + payload for kind, payload in parts)


class Machine:
    """A guest whose agent answers each connection with what the script has, and keeps what it is told."""

    def __init__(self):
        self.bench = Board()
        self.clock = self.bench.clock
        self.guest = Guest(self.bench, buffers=16)
        self.board = DevicesOfBoard()
        self.board.devices = {"virtio0": Placed(0, self.guest.device, None, None)}
        self.guest.device.connect_outside(self.guest.device._outside._replace(run=self.run))
        self.script = []
        self.told = bytearray()

    def run(self, seconds=None, timeout=None):
        """The agent does one thing at a time, as it would if the host stopped it in between."""
        for packet in self.guest.packets():
            self.told += packet.data
            if packet.op == REQUEST:
                self.guest.send(RESPONSE, 1024, packet.source_port)
                self.peer = packet.source_port
        if self.guest.stops == 0 and self.script:
            what = self.script.pop(0)
            if isinstance(what, bytes):
                self.guest.send(RW, 1024, self.peer, what)
            else:
                self.guest.send(RST if what is GONE else SHUTDOWN, 1024, self.peer, flags=3)
        stopped, self.guest.stops = self.guest.stops, 0
        if not stopped:
            self.clock.ns += round(seconds * 10**9)
        return vm.Stop(vm.StopReason.REQUESTED if stopped else vm.StopReason.DEADLINE, 0, 0, 0)

    def agent(self, *script):
        """The agent, which says these things when it is asked for something; after the greetings."""
        self.script = [frames(HELLO)]
        agent = Agent(self)
        self.script = [frames(HELLO), *script]
        self.told.clear()
        return agent


@pytest.fixture
def machine():
    return Machine()


def status(code):
    return ("S", struct.pack("<i", code))


def test_a_command_as_the_protocol_has_it(machine):
    agent = machine.agent(frames(("O", b"out"), ("E", b"err")), frames(("O", b"more"), status(-9)))
    result = agent.run(["program", "argument"], input=b"input", env={"NAME": "value"}, cwd="/there")
    assert (result.stdout, result.stderr, result.status, result.signal) == ("outmore", "err", 137, 9)
    machine.run(seconds=1)
    assert bytes(machine.told) == frames(
        ("A", b"program"), ("A", b"argument"), ("V", b"PATH=/usr/sbin:/usr/bin:/sbin:/bin"), ("V", b"HOME=/root"),
        ("V", b"NAME=value"), ("D", b"/there"), ("R", b""), ("I", b"input"), ("I", b""))


@pytest.mark.parametrize("command, cwd, named", [
    (["program"], None, "program"), (["program"], "/there", "program in /there"), ("ls", "/there", "/there"),
    ("ls", None, "/bin/sh"),
])
def test_what_may_be_missing_is_named(machine, command, cwd, named):
    """The guest says ENOENT of a directory as of a program, and not which of the two."""
    agent = machine.agent(frames(("F", struct.pack("<I", errno.ENOENT))))
    with pytest.raises(FileNotFoundError) as raised:
        agent.run(command, cwd=cwd)
    assert raised.value.filename == named


def test_text_is_for_the_shell(machine):
    machine.agent(frames(status(0))).run("echo *")
    assert bytes(machine.told).startswith(frames(("A", b"/bin/sh"), ("A", b"-c"), ("A", b"echo *")))


def test_a_frame_in_pieces(machine):
    answer = frames(("O", b"in pieces"), status(0))
    agent = machine.agent(*(answer[place:place + 1] for place in range(len(answer))))
    assert agent.run("x").stdout == "in pieces"


@pytest.mark.parametrize("said, error", [
    (b"SSH-2.0-OpenSSH\r\n", "a frame of .* bytes, and the largest has 32768"),
    (frames(("H", b"vm-agent")), "is no agent of vm"),
    (frames(("H", b"VM-AGENT" + bytes(4))), "is no agent of vm"),
    (frames(("O", b"vm-agent" + bytes(4))), "is no agent of vm"),
    (frames(("H", b"vm-agent" + struct.pack("<I", 2))), "speaks version 2 of the protocol, and not 1"),
    (CLOSES, "has ended in the middle of a request"),
])
def test_what_is_no_agent(machine, said, error):
    machine.script = [said]
    with pytest.raises(AgentError, match=error):
        Agent(machine)


@pytest.mark.parametrize("said", [
    frames(("S", b"")), frames(("S", bytes(8))), frames(("F", b"no number")), frames(("T", bytes(16))),
    frames(("X", bytes(4))), struct.pack("<II", 0xFFFF_FFFF, 0), struct.pack("<II", ord("O"), 32769), CLOSES,
])
def test_answers_that_no_agent_gives(machine, said):
    for ask in (lambda agent: agent.run("x"), lambda agent: agent.read_file("/x"),
                lambda agent: agent.write_file("/x", b"data")):
        with pytest.raises(AgentError):
            ask(machine.agent(said))


@pytest.mark.parametrize("said", [frames(("T", bytes(15))), frames(status(0)), CLOSES])
def test_what_is_no_time(machine, said):
    with pytest.raises(AgentError):
        machine.agent(said).time()


def test_an_error_of_the_guest(machine):
    with pytest.raises(PermissionError, match=r"Permission denied: '/x'"):
        machine.agent(frames(("F", struct.pack("<i", 13)))).read_file("/x")
    with pytest.raises(OSError, match="Unknown error"):
        machine.agent(frames(("F", struct.pack("<i", 1 << 30)))).read_file("/x")


def test_an_agent_that_is_killed(machine):
    with pytest.raises(ConnectionResetError):
        machine.agent(frames(("O", b"half")), GONE).run("x")


def test_an_answer_before_all_was_sent_is_heard(machine):
    """The agent ends when the command has, whatever input is left."""
    result = machine.agent(frames(("O", b"enough"), status(1)), CLOSES).run("head", input=bytes(1 << 20))
    assert (result.stdout, result.status) == ("enough", 1)


def test_limits_are_for_all_of_a_request(machine):
    """Not for each thing that is waited for."""
    agent = machine.agent(*(frames(("O", b"x")) for _ in range(100)))

    def slow(seconds=None, timeout=None):
        if not seconds:
            return vm.Stop(vm.StopReason.DEADLINE, 0, 0, 0)
        machine.clock.ns += 10**9
        return machine.run(seconds, timeout)

    machine.guest.device.connect_outside(machine.guest.device._outside._replace(run=slow))
    with pytest.raises(vm.ExpectTimeout, match="'x' did not end in 10 seconds of the guest's time, and was given up"):
        agent.run("x", seconds=10)
    assert len(machine.script) > 85


# --- How much a guest may say -----------------------------------------------------------------------------------------

def test_more_output_than_the_limit(machine):
    said = frames(("O", b"12345"), ("E", b"67890"), status(0))
    assert machine.agent(said).run("x", limit=10).stdout == "12345"
    shown = []
    with pytest.raises(AgentError, match=r"'x' printed more than 9 bytes, and was killed: .*copy_out.*limit="):
        machine.agent(said).run("x", limit=9, show=shown.append)
    assert shown == [b"12345"] and machine.guest.device.connections == []


def test_a_larger_file_than_the_limit(machine):
    said = frames(("O", b"12345"), ("O", b"67890"), status(0))
    assert machine.agent(said).read_file("/x", limit=10) == b"1234567890"
    with pytest.raises(AgentError, match=r"'/x' of the guest has more than 9 bytes: give a higher limit="):
        machine.agent(said).read_file("/x", limit=9)


@pytest.mark.parametrize("said, options, error", [
    ([frames(("O", b"12345"), ("O", b"67890"), status(0))], {"limit": 9}, AgentError),
    ([frames(("O", b"half")), GONE], {}, ConnectionResetError), ([frames(("F", struct.pack("<i", 2)))], {}, OSError),
])
def test_a_copy_that_fails_leaves_what_was_there(machine, tmp_path, said, options, error):
    target = tmp_path / "copy"
    target.write_bytes(b"old")
    with pytest.raises(error):
        machine.agent(*said).copy_out("/x", target, **options)
    assert target.read_bytes() == b"old" and [*tmp_path.iterdir()] == [target]


def test_a_copy_is_written_as_it_comes(machine, tmp_path):
    """Into a file beside the one that it becomes."""
    seen = []
    answers = [frames(("O", b"\1" * 30_000)) for _ in range(9)]
    agent = machine.agent(*answers, frames(status(0)))
    run = machine.run

    def watched(seconds=None, timeout=None):
        seen.append({path.name: path.stat().st_size for path in tmp_path.iterdir()})
        return run(seconds, timeout)

    machine.guest.device.connect_outside(machine.guest.device._outside._replace(run=watched))
    agent.copy_out("/x", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"\1" * 270_000
    assert all("copy" not in files for files in seen)
    assert any(0 < size < 270_000 for files in seen for size in files.values())


@pytest.mark.parametrize("stop, error, message", [
    (vm.StopReason.IDLE, vm.ExpectTimeout, "on port 1024: it waits, and only input can wake it"),
    (vm.StopReason.BREAKPOINT, vm.ExpectStopped, r"stopped with breakpoint \(at main\) before one answered"),
])
def test_why_no_agent_answers(machine, stop, error, message):
    """Nobody listens, and the machine does not go on."""
    device = machine.guest.device

    def refuse(seconds=None, timeout=None):
        packet, = machine.guest.packets()
        machine.guest.send(RST, 1024, packet.source_port)
        machine.guest.stops = 0
        return vm.Stop(vm.StopReason.REQUESTED, 0, 0, 0)

    device.connect_outside(device._outside._replace(run=refuse))
    machine.run = lambda seconds, timeout: vm.Stop(stop, 0, 0, 0, message="at main")
    with pytest.raises(error, match=message):
        Agent(machine)


@pytest.mark.parametrize("seed", range(20))
def test_a_hostile_agent(machine, seed):
    """Whatever it says, the answer is a result or an error that is ours to raise."""
    chance = random.Random(seed)
    kinds = "OESFTHX"
    for _ in range(10):
        answers = [frames((kind, chance.randbytes(size))) for kind in kinds for size in (0, 4, 16, 100)]
        said = [chance.choice(answers) if chance.random() < 0.9 else
                chance.choice([GONE, CLOSES, chance.randbytes(30)]) for _ in range(8)]
        agent = machine.agent(*said, CLOSES)
        ask = chance.choice([lambda a: a.run("x", input=b"data"), lambda a: a.read_file("/x"), lambda a: a.time(),
                             lambda a: a.write_file("/x", b"data")])
        try:
            ask(agent)
        except (vm.VmError, OSError):
            pass
        machine.script = []
        machine.run(seconds=1)
