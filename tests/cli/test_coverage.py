"""`vm coverage`: what is listed, what is written, and that the guest is that of `vm run`."""

import subprocess

import pytest

import vm
from tests.cli.conftest import COMMAND
from tests.coverage.programs import program

USAGE = 2


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, "coverage", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


def test_functions_and_opcodes_are_listed(guest):
    result = run(guest("exit-3"), "--functions", "--opcodes", "--memory", "2M")
    assert result.returncode == 3 and result.stdout == ""
    summary, headings, *rows = result.stderr.splitlines()
    assert "blocks" in summary and headings.split() == ["calls", "instructions", "function"]
    with vm.Machine(memory="2M") as machine:
        machine.load(guest("exit-3"))
        with machine.coverage() as coverage:
            machine.run()
    functions = [f"{line.calls:>14,}  {line.instructions:>16,}  {line.name}" for line in coverage.functions()]
    assert rows[:len(functions)] == functions
    assert sum(int(row.split()[0].replace(",", "")) for row in rows[len(functions):]) == 2 * machine.steps


def test_files_are_those_of_the_machine(tmp_path):
    result = run(program(), "--drcov", tmp_path / "drcov", "--lcov", tmp_path / "lcov", "--quiet", "--memory", "2M")
    assert (result.stdout, result.stderr) == ("", "")
    with vm.Machine(memory="2M") as machine:
        machine.load(program())
        with machine.coverage() as coverage:
            machine.run()
    coverage.write_drcov(tmp_path / "expected")
    assert (tmp_path / "drcov").read_bytes() == (tmp_path / "expected").read_bytes()
    coverage.write_lcov(tmp_path / "expected")
    assert (tmp_path / "lcov").read_text() == (tmp_path / "expected").read_text()


@pytest.mark.parametrize(("options", "expected"), [
    (("--where", "nowhere"), "--where nowhere: is no function"),
    (("--lcov", "/no/such/folder/x"), "--lcov /no/such/folder/x: no folder that can be written"),
    (("--append", "x"), "--append: goes with --kernel"),
])
def test_what_is_wrong_is_said_in_one_line(guest, options, expected):
    result = run(guest("loop"), *options)
    assert result.returncode == USAGE and expected in result.stderr and result.stderr.count("\n") == 1


def test_file_without_lines_is_named(guest, tmp_path):
    result = run(guest("exit-3"), "--lcov", tmp_path / "lcov", "--quiet")
    assert result.returncode == 1 and "has no lines of sources; compile it with -g" in result.stderr


def test_lines_that_cannot_be_written_are_refused_before_the_run(guest, tmp_path):
    """At the end all that was covered would be lost."""
    result = run(guest("loop"), "--lcov", tmp_path / "lcov", "--memory", "2M")     # which never ends
    assert result.returncode == 1 and "no lines of sources" in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1 and not (tmp_path / "lcov").exists()


@pytest.mark.parametrize("option", ["--lcov", "--drcov"])
def test_files_are_of_a_program(option, guest, tmp_path):
    result = run("--kernel", guest("loop"), option, tmp_path / "file", "--memory", "64M")
    assert result.returncode == USAGE and f"{option} goes with a program" in result.stderr


def test_a_full_disk_is_named_and_takes_nothing_else_along(tmp_path):
    result = run(program(), "--drcov", "/dev/full", "--lcov", tmp_path / "lcov", "--memory", "2M")
    assert result.returncode == 1 and result.stderr.splitlines()[-1] == "vm: /dev/full: No space left on device"
    assert "17 blocks" in result.stderr and (tmp_path / "lcov").stat().st_size


@pytest.mark.parametrize("option", ["--drcov", "--lcov"])
def test_dash_is_standard_output(option, tmp_path):
    options = program(), "--quiet", "--memory", "2M"
    assert run(*options, option, tmp_path / "file").returncode == 0
    result = subprocess.run([*COMMAND, "coverage", *map(str, options), option, "-"], capture_output=True, timeout=60,
                            stdin=subprocess.DEVNULL, check=False, cwd=tmp_path)
    assert result.stdout == (tmp_path / "file").read_bytes() and not (tmp_path / "-").exists()


def test_two_files_are_not_standard_output():
    result = run(program(), "--drcov", "-", "--lcov", "-")
    assert result.returncode == USAGE and "--drcov and --lcov: one of them can be standard output" in result.stderr


@pytest.mark.parametrize("command", [("coverage", "--functions"), ("profile", "--every=97")])
def test_no_linux_to_find(command):
    """What was counted is there all the same."""
    result = subprocess.run([*COMMAND, *command, program(), "--linux", "--memory", "2M"], capture_output=True,
                            timeout=60, text=True, stdin=subprocess.DEVNULL, check=False)
    assert result.returncode == 1 and "main" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("vm: ") and "Linux" in result.stderr.splitlines()[-1]
