"""`vm trace`: what is written in which format, and that a commit log is Spike's."""

import io
import subprocess

import numpy as np
import pytest

import vm
from tests.cli.conftest import COMMAND
from tests.conformance import spike
from tests.conformance.test_directed import WHOLE, directed
from tests.conformance.test_programs import HARTS, compiled

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
    assert lines[-1].endswith("the trace is full")


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
