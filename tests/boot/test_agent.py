"""Virtio sockets under Debian's driver, and the agent behind one: commands, files, the clock; in forks and replays."""

import hashlib
import threading

import pytest

import vm
from vm.agent import Request
from vm.devices import Vsock
from vm.guests.agent.build import ROOT
from vm.guests.compiler import compile_guest
from vm.images import debian
from vm.waiting import Deadline

pytestmark = pytest.mark.network

DATA = hashlib.shake_256(b"what goes through").digest(2 << 20)
DIGEST = hashlib.sha256(DATA).hexdigest()
HOST_PORT = 5000
HEARD = "while pidof caller >/dev/null; do sleep 0.01; done; cat /tmp/heard"


class Guest:
    def __init__(self, machine):
        self.machine = machine
        self.vsock = Vsock(cid=42)
        machine.attach(self.vsock)
        machine.boot(*debian())
        self.agent = machine.agent()


@pytest.fixture(scope="module")
def guest():
    with vm.Machine(memory="256M") as machine:
        yield Guest(machine)


@pytest.fixture(scope="module")
def caller(guest, tmp_path_factory):
    """A program of the guest that connects to the host."""
    guest.agent.write_file("/tmp/caller", built(tmp_path_factory.mktemp("caller")), 0o755)


def built(folder):
    source = f"{__file__.rpartition('/')[0]}/vsock_guest/caller.c"
    sources = ["entry.S", source, "../common/memory.c"]
    return compile_guest(ROOT, sources, "link.ld", folder / "caller", includes=["."]).read_bytes()


# --- Commands ---------------------------------------------------------------------------------------------------------

def test_a_command_has_outputs_and_a_status(guest):
    result = guest.agent.run("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.status, result.signal) == ("out\n", "err\n", 3, None)


def test_arguments_are_no_shell_s(guest):
    assert guest.agent.run(["echo", "$HOME  *", ""]).stdout == "$HOME  * \n"


def test_input_goes_through_and_comes_back(guest):
    """More than all buffers on the way hold, in both directions at once."""
    assert guest.agent.run(["cat"], input=DATA).stdout_bytes == DATA
    assert guest.agent.run("sha256sum", input=DATA).stdout.split()[0] == DIGEST


def test_input_that_nobody_reads(guest):
    assert guest.agent.run("exec <&-; echo done", input=DATA).stdout == "done\n"
    assert guest.agent.run("true", input=DATA).status == 0
    assert guest.agent.run("head -c 5", input=b"12345" + DATA).stdout == "12345"


def test_without_input_it_ends_at_once(guest):
    assert guest.agent.run("cat; echo $?").stdout == "0\n"


def test_variables_and_the_directory(guest):
    result = guest.agent.run("pwd; echo $X $HOME", env={"X": "a b"}, cwd="/proc")
    assert result.stdout == "/proc\na b /root\n"
    assert guest.agent.run("echo [$X]; pwd").stdout == "[]\n/\n"          # nothing stays


def test_a_program_is_found_by_the_path(guest):
    guest.agent.write_file("/tmp/bin-there", "#!/bin/sh\necho found\n", 0o755)
    assert guest.agent.run(["bin-there"], env={"PATH": "/nowhere:/tmp"}).stdout == "found\n"


@pytest.mark.parametrize("command, options, error", [
    (["no-such-program"], {}, FileNotFoundError), (["/etc/passwd"], {}, PermissionError),
    (["true"], {"cwd": "/nowhere"}, FileNotFoundError), (["/proc"], {}, PermissionError),
])
def test_what_cannot_be_run_is_the_error_that_the_guest_says(guest, command, options, error):
    with pytest.raises(error) as raised:
        guest.agent.run(command, **options)
    assert raised.value.filename.startswith(command[0])


def test_a_signal_ends_it(guest):
    result = guest.agent.run("kill -TERM $$")
    assert (result.status, result.signal) == (143, 15)


def test_check_raises_with_what_was_printed(guest):
    with pytest.raises(vm.CommandFailed, match="status 3(.|\n)*reason") as error:
        guest.agent.run("echo reason >&2; exit 3", check=True)
    assert error.value.status == 3


def test_output_is_shown_as_it_comes(guest):
    shown = []
    guest.agent.run("echo one; sleep 1; echo two >&2", show=shown.append)
    assert shown == [b"one\n", b"two\n"]


def test_what_is_no_text_is_bytes(guest):
    result = guest.agent.run("printf '\\377\\001'")
    assert (result.stdout_bytes, result.stdout) == (b"\xff\x01", "\udcff\x01")


def test_a_command_that_does_not_end_is_killed(guest):
    with pytest.raises(vm.ExpectTimeout, match="'sleep 1000 & sleep 1001' did not end in 0.5 seconds of the guest's"):
        guest.agent.run("sleep 1000 & sleep 1001", seconds=0.5)
    assert "sleep 100" not in guest.agent.run("ps").stdout


def test_what_it_leaves_behind_goes_on(guest):
    assert guest.agent.run("sleep 2000 & echo started").stdout == "started\n"
    assert guest.agent.run("pidof sleep > /dev/null && killall sleep").status == 0


@pytest.mark.parametrize("command", ["", []])
def test_no_command_is_refused(guest, command):
    if command == "":
        assert guest.agent.run("").status == 0          # an empty script, as of a shell
    else:
        with pytest.raises(vm.ConfigurationError, match="begins with a program"):
            guest.agent.run(command)


def test_strings_that_no_guest_takes_are_refused(guest):
    for text in ("a\0b", "x" * 40_000):
        with pytest.raises(vm.ConfigurationError, match="a string for the guest"):
            guest.agent.run(["echo", text])
    with pytest.raises(OSError, match="too long"):
        guest.agent.run(["echo", *["x" * 30_000] * 20])


# --- Files and the clock ----------------------------------------------------------------------------------------------

def test_files_go_both_ways(guest, tmp_path):
    guest.agent.write_file("/tmp/file", DATA, 0o600)
    mode, size, digest, _ = guest.agent.run("stat -c '%a %s' /tmp/file; sha256sum < /tmp/file").stdout.split()
    assert (mode, int(size), digest) == ("600", len(DATA), DIGEST)
    assert guest.agent.read_file("/tmp/file") == DATA
    (tmp_path / "script").write_text("#!/bin/sh\necho run\n")
    (tmp_path / "script").chmod(0o751)
    guest.agent.copy_in(tmp_path / "script", "/tmp/script")
    assert guest.agent.run("stat -c %a /tmp/script; /tmp/script").stdout == "751\nrun\n"
    guest.agent.copy_out("/tmp/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == DATA


def test_a_file_that_is_there_keeps_its_mode(guest):
    guest.agent.write_file("/tmp/kept", "old and long", 0o751)
    guest.agent.write_file("/tmp/kept", "new")
    assert guest.agent.run("stat -c %a /tmp/kept; cat /tmp/kept").stdout == "751\nnew"
    guest.agent.write_file("/tmp/made", "")
    assert guest.agent.run("stat -c '%a %s' /tmp/made").stdout == "644 0\n"


@pytest.mark.parametrize("use, error", [
    (lambda agent: agent.read_file("/nothing"), FileNotFoundError),
    (lambda agent: agent.read_file("/proc"), IsADirectoryError),
    (lambda agent: agent.write_file("/nowhere/file", DATA), FileNotFoundError),
    (lambda agent: agent.write_file("/proc", b""), IsADirectoryError),
])
def test_what_is_no_file_is_the_error_that_the_guest_says(guest, use, error):
    with pytest.raises(error, match="'/"):
        use(guest.agent)


def test_a_full_disk(guest):
    with pytest.raises(OSError, match="No space left"):
        guest.agent.write_file("/dev/full", DATA)


def test_the_clock(guest):
    assert abs(guest.agent.time() - guest.machine.clock.epoch_ns() / 1e9) < 1
    guest.agent.set_time(1_900_000_000.25)
    assert 1_900_000_000.25 <= guest.agent.time() < 1_900_000_001
    assert guest.agent.run("date -u +%Y-%m-%d").stdout == "2030-03-17\n"


# --- Sockets ----------------------------------------------------------------------------------------------------------

def test_the_guest_has_its_address_and_nobody_listens_elsewhere(guest):
    with pytest.raises(ConnectionRefusedError):
        guest.vsock.connect_to(1025)


def test_a_program_of_the_guest_connects(guest, caller):
    with guest.vsock.listen(HOST_PORT) as listener:
        guest.agent.run(f"/tmp/caller {HOST_PORT} 'from the guest' > /tmp/heard 2>&1 &")
        with listener.accept() as connection:
            assert connection.recv_exactly(14) == b"from the guest"
            connection.sendall(DATA)
            connection.shutdown()
            assert connection.recv(1) == b""            # it closes when all has come
    assert guest.agent.run(f"({HEARD}) | sha256sum").stdout.split()[0] == DIGEST


def test_where_the_host_does_not_listen(guest, caller):
    """ECONNRESET, which Linux makes of the refusal of a virtio socket."""
    assert guest.agent.run(f"/tmp/caller {HOST_PORT} x").status == 104


def test_nobody_but_the_host_is_served(tmp_path):
    """Any program of the guest could become root by asking, over the loopback address 1."""
    with vm.Machine(memory="256M") as machine:
        machine.attach(Vsock())
        machine.boot(*debian(modules=["vsock_loopback"]))
        agent = machine.agent()
        agent.run("modprobe vsock_loopback", check=True)
        agent.write_file("/tmp/caller", built(tmp_path), 0o755)
        called = agent.run("/tmp/caller 1024 x 1")
        assert called.stdout == "" and called.signal == 13      # SIGPIPE: it came to the agent, who hung up
        assert agent.run("echo still there").stdout == "still there\n"


def test_without_a_device_or_an_agent():
    with vm.Machine(memory="256M") as machine:
        machine.boot(*debian())
        with pytest.raises(vm.ConfigurationError, match="no virtio socket"):
            machine.agent()
        machine.shell()
        assert machine.shell().run("pidof vm-agent; lsmod | grep vsock").output == ""


def test_a_guest_that_has_no_agent_is_not_waited_for_longer(guest):
    with pytest.raises(vm.ExpectTimeout, match="no agent of the guest answered on port 1025 in 2 seconds of its time"):
        guest.machine.agent(1025, seconds=2)


def test_another_program_than_an_agent_is_told(guest, caller):
    with guest.vsock.listen(HOST_PORT) as listener:
        guest.agent.run(f"/tmp/caller {HOST_PORT} xxxxxxxxxxxxxxxxxxxxxxxx >/dev/null 2>&1 &")
        with listener.accept() as connection, pytest.raises(vm.errors.AgentError, match="frame of 2021161080 bytes"):
            Request(connection, Deadline(guest.machine.clock.now_ns, 10, None)).greet()


def test_callbacks_are_refused(guest):
    machine = guest.machine
    with guest.vsock.connect_to(1024) as connection:
        caught = []

        def ask(_):
            for use in (lambda: guest.vsock.connect_to(1024), lambda: connection.recv(1), lambda: connection.send(b"x"),
                        connection.close):
                with pytest.raises(vm.MachineBusy):
                    use()
                caught.append(use)
            return True

        machine.run(until=ask)
        assert len(caught) == 4


# --- States -----------------------------------------------------------------------------------------------------------

def test_a_fork_has_the_connections(guest, caller):
    """Both go on from the same moment, with other data."""
    with guest.vsock.listen(HOST_PORT) as listener:
        guest.agent.run(f"/tmp/caller {HOST_PORT} hello > /tmp/heard 2>&1 &")
        connection = listener.accept()
        connection.sendall(b"before ")
        with guest.machine.fork() as fork:
            device = next(placed.device for placed in fork.board.devices.values() if isinstance(placed.device, Vsock))
            assert device.listening == [HOST_PORT]
            again, = device.connections
            again.sendall(b"the fork")
            again.shutdown()
            assert again.recv(100) == b"hello" and again.recv(100) == b""
            assert fork.agent().run(HEARD).stdout == "before the fork"
        connection.sendall(b"the first")
        assert connection.recv_exactly(5) == b"hello"
        connection.close()
        assert guest.agent.run(HEARD).stdout == "before the first"


def test_a_restored_machine_has_the_connections_of_then(guest, caller):
    with guest.vsock.listen(HOST_PORT) as listener:
        guest.agent.run(f"/tmp/caller {HOST_PORT} hello > /tmp/heard 2>&1 &")
        old = listener.accept()
        saved = guest.machine.snapshot()
        for turn in ("one", "two"):
            old.sendall(b"lost")
            guest.machine.restore(saved)
            with pytest.raises(ConnectionResetError, match="gone to another state"):
                old.recv(1)
            again, = guest.vsock.connections
            again.sendall(turn.encode())
            assert again.recv_exactly(5) == b"hello"
            again.close()
            assert guest.agent.run(HEARD).stdout == turn
            guest.machine.restore(saved)
            old, = guest.vsock.connections
        assert old.recv_exactly(5) == b"hello"
        old.close()
        assert guest.agent.run(HEARD).stdout == ""


def test_a_session_is_replayed(guest, caller):
    """Commands, data in both directions, a listener: to the step, without the host's program."""
    machine = guest.machine
    start = machine.snapshot()
    with machine.record() as recording:
        assert guest.agent.run("sha256sum", input=DATA).stdout.split()[0] == DIGEST
        with guest.vsock.listen(HOST_PORT) as listener:
            guest.agent.run(f"/tmp/caller {HOST_PORT} hello > /tmp/heard 2>&1 &")
            with listener.accept() as connection:
                connection.sendall(DATA)
        guest.agent.run("sha256sum /tmp/heard > /dev/ttyS0; date > /dev/ttyS0")
        log = recording.stop()
    steps, output = machine.steps, machine.console.output
    assert DIGEST.encode() in output
    with vm.replay(start, log) as again:
        with pytest.raises(vm.MachineBusy):
            again.agent()
        assert again.run().reason is vm.StopReason.REPLAYED
        assert (again.steps, again.console.output) == (steps, output)
        assert again.agent().run("cat /tmp/heard | sha256sum").stdout.split()[0] == DIGEST


def test_a_file_of_a_snapshot_has_them(guest, tmp_path):
    connection = guest.vsock.connect_to(1024)
    guest.machine.snapshot().save(tmp_path / "connected.vmsnap")
    connection.close()
    with vm.Snapshot.load(tmp_path / "connected.vmsnap").machine() as machine:
        device = machine.board.devices["virtio0"].device
        assert device.connections[0].recv_exactly(20)[8:16] == b"vm-agent"
        assert machine.agent().run("echo here").stdout == "here\n"


def test_the_past_has_its_connections(guest):
    with guest.machine.keep_history():
        guest.agent.write_file("/tmp/when", "then")
        step = guest.machine.steps
        guest.agent.write_file("/tmp/when", "now")
        guest.machine.step_back(guest.machine.steps - step)
        assert guest.machine.steps == step
    assert guest.agent.read_file("/tmp/when") == b"then"


def test_in_real_time():
    with vm.Machine(memory="256M", clock="real") as machine:
        machine.attach(Vsock())
        machine.boot(*debian())
        agent = machine.agent(seconds=600)
        assert agent.run("cat", input=DATA, seconds=600).stdout_bytes == DATA
        stopper = threading.Timer(0.5, machine.request_stop)
        stopper.start()
        with pytest.raises(vm.ExpectStopped, match="stopped with requested"):
            agent.run("sleep 1000", seconds=2000)
        stopper.join()
