"""`vm profile`: what is listed, what is written, and that the guest is that of `vm run`."""

import json
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import vm
from tests.cli.conftest import COMMAND, assert_fails_with_one_line
from tests.profiling.programs import FRAME_POINTERS, program

USAGE = 2


def run(*arguments, text=True) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=text, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


def test_functions_are_listed_at_the_end():
    result = run("profile", program(FRAME_POINTERS), "--every", 97, "--memory", "2M", "--top", 3)
    total, headings, *rows = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (0, "")
    assert total.endswith("one every 97 steps") and headings.split() == ["own", "with", "calls", "function"]
    assert [row.split()[-1] for row in rows] == ["leaf", "spin", "warm"]


def test_files(tmp_path):
    options = [word for name in ("folded", "svg", "perfetto", "firefox") for word in (f"--{name}", tmp_path / name)]
    file = program(FRAME_POINTERS)
    result = run("profile", file, "--every", 97, "--memory", "2M", "--by", "hart", "--quiet", *options)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    with vm.Machine(memory="2M") as machine:
        machine.load(file)
        with machine.profile(97) as profile:
            machine.run()
    assert (tmp_path / "folded").read_text() == profile.folded("hart")
    assert ElementTree.parse(tmp_path / "svg").getroot().tag.endswith("svg")
    assert json.loads((tmp_path / "perfetto").read_text()) == json.loads(profile.perfetto())
    assert json.loads((tmp_path / "firefox").read_text()) == json.loads(profile.firefox())


def test_console_and_exit_code_are_the_guests(guest):
    plain, profiled = (run(*command, guest("exit-3")) for command in (("run",), ("profile", "--every", 1)))
    assert (profiled.returncode, profiled.stdout) == (plain.returncode, plain.stdout) and plain.returncode == 3


def test_a_kernel(guest, tmp_path):
    """Raw code in supervisor mode, whose symbols are those of a file that is named."""
    result = run("profile", "--kernel", guest("loop"), "--every", 10, "--max-instructions", 1_000, "--folded",
                 tmp_path / "folded", "--by", "privilege", "--symbols", guest("loop"))
    assert result.returncode == 124, result.stderr
    assert "not done within" in result.stderr
    assert (tmp_path / "folded").read_text().startswith("supervisor;_start")


def test_a_snapshot(guest, tmp_path):
    with vm.Machine(memory="2M") as machine:
        machine.load(guest("loop"))
        machine.run(instructions=500)
        machine.snapshot().save(tmp_path / "saved.vmsnap")
    result = run("profile", tmp_path / "saved.vmsnap", "--every", 10, "--max-instructions", 1_000, "--folded",
                 tmp_path / "folded", "--symbols", guest("loop"))
    assert result.returncode == 124, result.stderr
    assert (tmp_path / "folded").read_text() == "_start 1000\n"


@pytest.mark.parametrize("arguments, named", [
    ((), "FILE"), (("a.elf", "--kernel", "b"), "either"), (("a.elf", "--initrd", "b"), "--initrd"),
    (("a.elf", "--every", "1", "--seconds", "1"), "either"), (("a.elf", "--svg", "/no/where/at.svg"), "/no/where"),
    (("a.elf", "--symbols", "b+0xq"), "b+0xq")])
def test_what_makes_no_sense(arguments, named):
    assert named in assert_fails_with_one_line(run("profile", *arguments, text=False), USAGE)


def test_a_full_disk_is_named_and_takes_nothing_else_along(tmp_path):
    result = run("profile", program(FRAME_POINTERS), "--svg", "/dev/full", "--folded", tmp_path / "folded", "--memory",
                 "2M", "--top", 1, "--every", 97)
    assert result.returncode == 1 and result.stderr.splitlines()[-1] == "vm: /dev/full: No space left on device"
    assert "leaf" in result.stderr and (tmp_path / "folded").stat().st_size


def test_a_kind_of_picture_that_there_is_not_is_refused_before_the_run(tmp_path):
    pytest.importorskip("matplotlib")
    result = run("profile", program(FRAME_POINTERS), "--png", tmp_path / "x.xyz", "--memory", "2M")
    assert result.returncode == USAGE and "x.xyz: its name says what kind of picture" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["folded", "svg", "png", "perfetto", "firefox"])
def test_dash_is_standard_output(option, tmp_path):
    options = "profile", program(FRAME_POINTERS), "--every", 97, "--memory", "2M", "--quiet"
    assert run(*options, f"--{option}", tmp_path / "file.png").returncode == 0
    result = run(*options, f"--{option}", "-", text=False)
    assert result.stdout == (tmp_path / "file.png").read_bytes() and result.stderr == b""


@pytest.mark.parametrize("command", ["profile", "coverage", "trace"])
def test_the_demo_is_a_guest(command, tmp_path):
    result = run(command, "demo", "--max-instructions", 1000, "--quiet")
    assert result.returncode == 124, result.stderr


def test_a_file_called_demo_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_bytes(b"\x7fELF")
    assert_fails_with_one_line(run("profile", "demo", text=False))
