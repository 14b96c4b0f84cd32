"""`vm trace`: what is written in which format, and that a commit log is Spike's."""

import io
import signal
import subprocess
import time

import click
import numpy as np
import pytest

import vm
from tests.assembler import assemble_elf
from tests.cli.conftest import COMMAND
from tests.conformance import spike
from tests.conformance.test_directed import WHOLE, directed
from tests.conformance.test_programs import HARTS, compiled
from vm.cli.exit_codes import INTERRUPTED
from vm.cli.places import refuse_unwritable
from vm.cli.trace_formats import CHUNK

USAGE = 2
ATOMIC, STORE_CONDITIONAL = 0x2F, 3


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, "trace", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize("kind", ["instructions", "blocks", "memory"])
def test_numpy_file_is_the_array(guest, tmp_path, kind):
    result = run(guest("loop"), "--kind", kind, "-o", tmp_path / "t.npy", "--max-instructions", 5_000,
                 "--memory", "2M")
    assert result.returncode == 124, result.stderr
    with vm.Machine(memory="2M") as machine:
        machine.load(guest("loop"))
        with machine.trace(kind) as trace:
            machine.run(instructions=5_000)
    assert np.array_equal(np.load(tmp_path / "t.npy"), trace.array)


@pytest.mark.parametrize("limit", [1, 100, 5_000])
def test_limit_ends_the_run(guest, limit):
    result = run(guest("loop"), "--limit", limit)
    lines = result.stderr.splitlines()
    assert result.returncode == 0 and len(lines) == limit + 1
    assert lines[0].startswith("pc=0x80000000 step=0 ") and f"step={limit - 1} " in lines[-2]
    assert lines[-1].endswith("the trace has as many records as --limit says")


@pytest.mark.parametrize(("kind", "limit"), [("traps", 1), ("mmio", 3)])
def test_limit_ends_a_run_that_goes_on_for_ever(kind, limit):
    """It traps once, has printed a letter by then, prints two more, and spins."""
    elf = assemble_elf("""
    la   t0, handler
    csrw mtvec, t0
    li   a0, 0x10000000
    li   a1, 'A'
    sb   a1, 0(a0)
    ecall
handler:
    sb   a1, 0(a0)
    sb   a1, 0(a0)
1:  sb   a1, 0(a0)
    j    1b
""")
    result = run(elf, "--kind", kind, "--limit", limit)
    assert result.returncode == 0
    assert sum(line.startswith("pc=") for line in result.stderr.splitlines()) == limit
    assert result.stdout == "A" * limit


def test_dash_is_standard_output(guest, tmp_path):
    options = guest("loop"), "--max-instructions", 10, "--memory", "2M", "--quiet"
    errors = run(*options).stderr
    assert errors.count("pc=") == 10
    result = subprocess.run([*COMMAND, "trace", *map(str, options), "-o", "-"], capture_output=True, text=True,
                            timeout=60, stdin=subprocess.DEVNULL, check=False, cwd=tmp_path)
    assert (result.stdout, result.stderr, list(tmp_path.iterdir())) == (errors, "", [])
    result = run(*options, "-o", "-", "--format", "npy")
    assert result.returncode == USAGE and "needs --output FILE" in result.stderr


def test_function_alone(guest):
    result = run(guest("loop"), "--limit", 3, "--where", "0x80000000-0x80000002", "--max-instructions", 1000)
    lines = [line for line in result.stderr.splitlines() if line.startswith("pc=")]
    assert lines and all(line.startswith("pc=0x80000000 ") for line in lines)


@pytest.mark.parametrize(("image", "isa"), [
    (lambda: compiled("machine", "whole")[0], HARTS["whole"][0]),
    (lambda: directed("cache_blocks"), WHOLE),
], ids=["machine", "cache_blocks"])
def test_commit_log_is_that_of_spike(tmp_path, image, isa):
    """But for control and status registers, and what atomics write to memory."""
    image = image()
    (tmp_path / "program.elf").write_bytes(image.elf())
    expected = spike.run(image, isa, 20_000)
    result = run(tmp_path / "program.elf", "--format", "spike", "-o", tmp_path / "log", "--max-instructions",
                 len(expected), "--memory", spike.RAM_SIZE, "--isa", isa)
    assert result.returncode == 124, result.stderr
    ours = list(spike.parse(io.BytesIO((tmp_path / "log").read_bytes())))
    assert ours == [comparable(record) for record in expected if record.trap is None]


def comparable(record: spike.Record) -> spike.Record:
    left_out = record.word & 0x7F == ATOMIC and record.word >> 27 != STORE_CONDITIONAL
    return record._replace(csrs=(), interrupt=None, stores=() if left_out else record.stores)


@pytest.mark.parametrize(("options", "expected"), [
    (("--format", "npy"), "--format npy needs --output FILE"),
    (("--format", "spike", "--kind", "memory"), "--format spike is a log of instructions, not of memory"),
    (("--where", "5-x"), "--where 5-x: is no function"),
    (("-o", "/no/such/folder/x"), "--output /no/such/folder/x: no folder that can be written"),
])
def test_what_is_wrong_is_said_in_one_line(guest, options, expected):
    result = run(guest("loop"), *options)
    assert result.returncode == USAGE and expected in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("form", ["npy", "text", "spike"])
def test_a_full_disk_is_named(form, guest):
    result = run(guest("loop"), "--format", form, "-o", "/dev/full", "--max-instructions", 1000, "--memory", "2M")
    assert result.returncode == 1 and result.stderr.splitlines()[-1] == "vm: /dev/full: No space left on device"
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("place", ["5-5", "9-5", f"0-{2**64 + 1}"])
def test_no_addresses_are_refused_before_a_file_is_touched(place, guest, tmp_path):
    (tmp_path / "kept").write_text("kept")
    result = run(guest("loop"), "--where", place, "-o", tmp_path / "kept", "--memory", "2M")
    assert result.returncode == USAGE and f"--where {place}" in result.stderr
    assert (tmp_path / "kept").read_text() == "kept"


def test_a_numpy_file_is_not_written_to_a_pipe(guest):
    result = run(guest("loop"), "--format", "npy", "-o", "/dev/stdout", "--memory", "2M")
    assert result.returncode == USAGE and "regular file" in result.stderr and result.stdout == ""


def test_a_device_in_a_folder_that_cannot_be_written(monkeypatch):
    """Like /dev/null, for who is not root."""
    monkeypatch.setattr("os.access", lambda path, mode: path != "/dev")
    refuse_unwritable("--output", "/dev/null")
    monkeypatch.setattr("os.access", lambda path, mode: path != "/dev/null")
    with click.Context(click.Command("trace")), pytest.raises(click.UsageError, match="/dev/null: cannot be written"):
        refuse_unwritable("--output", "/dev/null")


@pytest.mark.parametrize("form", ["npy", "text"])
def test_ctrl_c_leaves_a_whole_file(form, guest, tmp_path):
    """Each record is there once, and no line is cut."""
    path = tmp_path / "t"
    command = [*COMMAND, "trace", guest("loop"), "--memory", "2M", "--format", form, "-o", path]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (not path.exists() or path.stat().st_size < 4 << 20):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    assert process.returncode == INTERRUPTED
    if form == "npy":
        steps = np.load(path)["step"]
    else:
        text = path.read_text()
        assert text.endswith("\n")
        steps = np.array([line.split()[1].removeprefix("step=") for line in text.splitlines()], dtype=int)
    assert (steps == np.arange(len(steps))).all() and len(steps) > 10_000


def test_a_log_longer_than_the_buffer_is_whole(guest, tmp_path):
    """Of which memory's has to be emptied in the middle of the run, too."""
    steps = CHUNK + 1000
    result = run(guest("loop"), "--format", "spike", "-o", tmp_path / "log", "--max-instructions", steps, "--memory",
                 "2M")
    assert result.returncode == 124, result.stderr
    assert (tmp_path / "log").read_text().count("\n") == steps
