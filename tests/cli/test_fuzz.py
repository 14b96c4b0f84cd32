"""`vm fuzz`: how an input gets in, what is reported and left, and exit codes."""

import subprocess

import pytest

from tests.cli.conftest import COMMAND
from tests.fleet.targets import at_parse, firmware

CRASHED, USAGE = 139, 2
CALL = ("--call", "parse(data, size)", "--buffer", "packet", "--steps", "20000", "--memory", "1M", "--at", "main")


def run(*arguments, timeout=120) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, "fuzz", *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, check=False)


def test_a_crash_is_reported_saved_and_the_exit_code(tmp_path):
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "one").write_bytes(b"MAGx")
    result = run(firmware(), *CALL, "-i", tmp_path / "seeds", "-o", tmp_path / "found", "--crashes", 1, "--runs", 9000)
    assert result.returncode == CRASHED and result.stdout == ""
    crash, = (tmp_path / "found" / "crashes").iterdir()
    assert (crash / "input").read_bytes()[:3] == b"MAG"
    assert "vm: crash: store access fault at " in result.stderr and f"vm replay {crash}" in result.stderr
    assert "1 crashes" in result.stderr
    again = subprocess.run([*COMMAND, "replay", str(crash)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                           check=False)
    assert again.returncode == 64 + 7           # its handler's: a store access fault


def test_a_snapshot_with_a_buffer_and_a_dictionary(tmp_path):
    at_parse().save(tmp_path / "parse.vmsnap")
    (tmp_path / "words").write_text('magic="MAGx\\xef\\xbe"\n')
    result = run(tmp_path / "parse.vmsnap", "--symbols", firmware(), "--data", "packet", "--size", "a1", "--done", "ra",
                 "--dict", tmp_path / "words", "--runs", 9000, "--crashes", 1, "--steps", 20000, "--quiet",
                 "--seed", 2)
    assert result.returncode == CRASHED, result.stderr
    lines = [line.partition(" at ")[0] for line in result.stderr.splitlines()]
    assert "vm: crash: store access fault" in lines
    assert all(line.startswith(("vm: crash: ", "vm: hang: ")) for line in lines)


def test_nothing_found_is_0():
    result = run(firmware(), *CALL, "--runs", 20, "--seed", 3)
    assert result.returncode == 0 and "0 crashes, 0 hangs" in result.stderr


@pytest.mark.parametrize("arguments, message", [
    ((), "say how an input gets into the guest"),
    (("--call", "parse(data, size)"), "goes with --buffer"),
    (("--call", "parse", "--buffer", "packet"), "'parse(data, size)'"),
    (("--data", "packet", "--buffer", "packet"), "--buffer goes with --call"),
    (("--data", "a0"), "say how many bytes"),
    (("--data", "nothing", "--capacity", "10"), "nothing"),
    (("--data", "packet", "--at", "main", "--until", "x"), "either --at or --until"),
    (("--data", "packet", "--at", "trap"), "the guest ends before"),
    (("--data", "packet", "--mutator", "no_such_module", "--at", "main"), "no_such_module"),
])
def test_what_cannot_be_is_one_line_and_2(arguments, message):
    result = run(firmware(), "--memory", "1M", "--runs", 10, *arguments)
    assert result.returncode == USAGE and message in result.stderr and len(result.stderr.splitlines()) == 1
