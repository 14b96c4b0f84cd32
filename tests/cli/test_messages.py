"""Wrong command lines and files: one line on standard error, the right exit code, never a traceback."""

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import COMMAND, assert_fails_with_one_line
from vm.guests.demo.build import ROOT
from vm.machine import Machine

DEMO = ROOT / "demo.elf"
COMMANDS = ("demo", "run", "boot", "info", "disasm", "snapshot")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(vm, command):
    process = vm(command, "--help")
    assert process.returncode == 0 and process.stderr == b""
    assert b"Example" in process.stdout and f"vm {command}".encode() in process.stdout


def test_help_lists_the_commands(vm):
    output = vm("--help").stdout.decode()
    assert all(command in output for command in COMMANDS)


@pytest.mark.parametrize("arguments, help_of", [
    ((), ("--help",)), (("help",), ("--help",)), (("help", "run"), ("run", "--help")),
    (("disk",), ("disk", "--help")), (("snapshot",), ("snapshot", "--help")),
    (("help", "bench", "compare"), ("bench", "compare", "--help")),
])
def test_other_ways_to_the_help(vm, arguments, help_of):
    process, wanted = vm(*arguments), vm(*help_of)
    assert (process.returncode, process.stderr, process.stdout) == (0, b"", wanted.stdout)
    assert process.stdout.startswith(b"Usage: vm")


def test_no_line_of_the_help_is_cut(vm):
    assert b"..." not in vm("--help").stdout.replace(b"[ARGS]...", b"")


@pytest.mark.parametrize("arguments", [("demo",), ("disasm", DEMO), ("run", DEMO), ("info", "--csrs")])
def test_reader_that_goes_away(arguments):
    """As `| head -1` does: nothing on standard error, and one code whichever the command."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=write,
                             stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert (process.returncode, process.stderr) == (141, b"")


def test_help_comes_without_the_heavy_imports():
    script = "import sys, vm.cli; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    heavy = {"numpy", "capstone", "rich", "elftools", "vm.machine", "vm_native.execution.scheduler"}
    assert not heavy & {*process.stdout.split()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(vm, shell):
    """As docs/how-to/completion.md has it: the script for the shell, and what that asks when Tab is pressed."""
    assert b"_VM_COMPLETE" in vm(environment={"_VM_COMPLETE": f"{shell}_source"}).stdout
    words = {"COMP_WORDS": "vm r", "COMP_CWORD": "1" if shell != "fish" else "r", "_VM_COMPLETE": f"{shell}_complete"}
    assert b"run" in vm(environment=words).stdout


def test_version(vm):
    process = vm("--version")
    assert process.returncode == 0 and process.stdout.startswith(b"vm ")


@pytest.mark.parametrize("arguments, message", [
    (("fly",), "no such command 'fly'"),
    (("run",), "missing argument 'FILE'; see `vm run --help`"),
    (("run", "x", "--wrong"), "no such option"),
    (("run", "x", "--address", "here"), "'here' is not an address; write it as 0x80000000"),
    (("run", "x", "--address", "0x10000000000000000"), "is not an address of 64 bits"),
    (("run", "x", "--max-instructions", "0"), "--max-instructions"),
    (("boot",), "say either debian, a disk image, or --kernel FILE; see `vm boot --help`"),
    (("boot", "debian", "--kernel", "Image"), "say either debian, a disk image, or --kernel FILE"),
    (("boot", "--kernel", "Image", "--shell"), "--shell and --package go with debian"),
    (("boot", "debian", "--initrd", "x"), "debian brings its own initrd"),
    (("boot", "debian", "--address", "0x80200000"), "--address goes with --kernel"),
    (("disasm", "x", "--start", "0", "--symbol", "main"), "exclude each other"),
])
def test_wrong_command_line_says_where_help_is(vm, arguments, message):
    assert message in assert_fails_with_one_line(vm(*arguments), code=2)


@pytest.mark.parametrize("options, message", [
    (("--memory", "0"), "memory size '0'"),
    (("--memory", "-1"), "memory size '-1'"),
    (("--memory", "1000"), "not a multiple of 4096"),
    (("--memory", "2T"), "too large"),
    (("--memory", "lots"), "'lots'"),
    (("--harts", "0"), "harts"),
    (("--harts", "9"), "harts"),
    (("--isa", "rv64gq"), "q"),
    (("--isa", "rv32i"), "rv32i"),
    (("--disk", "missing.img"), "missing.img"),
    (("--disk", "missing.img,discard"), "missing.img: "),
    (("--disk", "disk.img,badmode"), "no such file, and 'badmode' is no mode; there is read-only, discard, legacy"),
    (("--disk", "disk.img,badmode,raw"), "no such file, and 'badmode' is no mode"),
    (("--seed", "-1"), "seed=-1"),
])
def test_machine_that_cannot_be_built(vm, guest, options, message):
    process = vm("run", guest("power-off"), *options)
    assert message.lower() in assert_fails_with_one_line(process, code=2).lower()


@pytest.mark.parametrize("command, own", [
    ("gdb", ("--history",)), ("profile", ("--every", "10")), ("coverage", ("--functions",)),
    ("trace", ("--kind", "blocks")),
])
def test_options_of_another_machine_beside_a_snapshot(vm, guest, tmp_path, command, own):
    """Those of the command go with it, and the engine."""
    with Machine(memory="2M") as machine:
        machine.load(guest("power-off"))
        machine.snapshot().save(tmp_path / "saved.vmsnap")
    process = vm(command, tmp_path / "saved.vmsnap", *own, "--engine", "interpreter", "--memory", "1G", "--address", 0)
    line = assert_fails_with_one_line(process, code=2)
    assert "saved.vmsnap: a snapshot has its own --address, --memory; see" in line


def test_missing_file(vm):
    assert "missing.elf: no such file" in assert_fails_with_one_line(vm("run", "missing.elf"))
    assert "missing.elf: no such file" in assert_fails_with_one_line(vm("disasm", "missing.elf"))
    assert "Image: no such file" in assert_fails_with_one_line(vm("boot", "--kernel", "Image"))


def test_truncated_file(vm, guest, tmp_path):
    path = tmp_path / "half.elf"
    path.write_bytes(open(guest("loop"), "rb").read()[:1000])
    for command in ("run", "disasm"):
        assert "truncated" in assert_fails_with_one_line(vm(command, path))


def test_raw_file_without_an_address(vm, tmp_path):
    path = tmp_path / "raw.bin"
    path.write_bytes(b"\x6f\0\0\0")
    assert "at which address" in assert_fails_with_one_line(vm("run", path))


def test_disk_of_a_size_that_is_no_multiple_of_a_sector(vm, guest, tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(513))
    assert "512" in assert_fails_with_one_line(vm("run", guest("power-off"), "--disk", disk), code=2)


def test_mirror_that_does_not_answer(vm, tmp_path):
    process = vm("boot", "debian", "--mirror", f"file://{tmp_path}/none", environment={"VM_CACHE": str(tmp_path)})
    assert "none" in assert_fails_with_one_line(process)


def test_copy_that_the_cpu_does_not_run(vm):
    line = assert_fails_with_one_line(vm("info", environment={"VM_COPY": "mmx"}))
    assert line.startswith("vm: VM_COPY=mmx: this CPU runs ") and line.endswith(", libc\n")


def test_capstone_missing(vm, tmp_path, guest):
    (tmp_path / "capstone.py").write_text("raise ImportError")
    process = vm("disasm", guest("loop"), environment={"PYTHONPATH": str(tmp_path)})
    assert "pip install capstone" in assert_fails_with_one_line(process)
    for options in ((), ("--jit",)):
        process = vm("disasm", "missing.elf", *options, environment={"PYTHONPATH": str(tmp_path)})
        assert "missing.elf: no such file" in assert_fails_with_one_line(process)


def test_the_package_is_the_command():
    """Where no script is on the PATH; it calls itself `vm` all the same."""
    process = subprocess.run([sys.executable, "-m", "vm", "nonsense"], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (2, "vm: no such command 'nonsense'; see `vm --help`\n")
