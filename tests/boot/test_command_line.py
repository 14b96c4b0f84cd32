"""`vm boot` with a kernel, an initrd and a disk of one's own, as a process, in real time."""

import subprocess
import sys
import time

import pytest

from tests.boot.linux import MIB
from vm.images.busybox import READY, debian_kernel, opensbi, userspace_initrd

pytestmark = pytest.mark.network

COMMAND = [sys.executable, "-c", "from vm.cli import main; main()"]
PATTERN = b"on the disk\n"
WRITTEN = b"by the guest\n"
COMMANDS = f"""
head -n 1 /dev/vda
echo '{WRITTEN.decode().strip()}' | dd of=/dev/vda bs=512 seek=1 conv=notrunc 2>/dev/null
sync
date +%s
"""


def vm(*arguments, input=b"", timeout=120):
    """The finished `vm boot`."""
    return subprocess.run([*COMMAND, "boot", *map(str, arguments)], input=input, capture_output=True, timeout=timeout,
                          check=False)


def debian(*arguments, **options):
    return vm("debian", "--timeout", "100", *arguments, **options)


def in_time(run, *too_early):
    """The finished process of `run(seconds)` and what it said, with a --timeout in which this host comes that far."""
    for seconds in (6, 20, 60):
        process, said = run(str(seconds))
        if not any(text in said for text in (b"no shell answered", *too_early)):
            break
    return process, said


@pytest.mark.parametrize("firmware", [None, "fw_dynamic.elf"])
def test_boot_to_userspace_and_power_off(firmware, tmp_path):
    """The guest reads and writes its disk, knows the date, powers off: exit code 0, its console on standard output."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(PATTERN.ljust(MIB, b"\0"))
    command = [*COMMAND, "boot", "--kernel", debian_kernel(), "--initrd", userspace_initrd(COMMANDS),
               "--memory", "512M", "--disk", disk, "--append", "console=ttyS0 quiet"]
    if firmware:
        command += ["--firmware", opensbi()[firmware]]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    now = time.time()
    assert (process.returncode, process.stderr) == (0, b"")
    lines = process.stdout.decode().replace("\r\n", "\n").splitlines()
    at = lines.index(READY)
    assert lines[at + 1] == PATTERN.decode().strip()
    assert abs(now - int(lines[at + 2])) < 300
    expected = bytearray(PATTERN.ljust(MIB, b"\0"))
    expected[512:512 + len(WRITTEN)] = WRITTEN
    assert disk.read_bytes() == expected


def test_command_gives_its_output_and_its_status(tmp_path):
    """On a disk of one's own, with a file system, and with nothing else on standard output."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(8 * MIB))
    commands = ("mke2fs -F /dev/vda >/dev/null; mount -t ext4 /dev/vda /mnt && "
                "printf 'mounted\\n\\035no newline'; (exit 7)")
    process = debian("--disk", disk, "--run", commands)
    assert (process.returncode, process.stdout, process.stderr) == (7, b"mounted\n\x1dno newline", b"")


@pytest.mark.parametrize("command, code", [("exit 3", 3), ("false # comment", 1), ("x='a b'; exit ${#x}", 3), ("(", 2)])
def test_command_that_leaves_its_shell_gives_its_status(command, code):
    assert debian("--run", f"echo one\n{command}").returncode == code


def test_timeout_is_heard_while_nobody_takes_what_the_command_prints():
    def run(seconds):
        command = [*COMMAND, "boot", "debian", "--run", "yes", "--timeout", seconds]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.wait(timeout=120)
            return process, process.stderr.read()

    process, said = in_time(run, b"did not end")
    assert (process.returncode, said) == (124, b"vm: debian: nobody took the command's output within --timeout\n")


def test_command_that_outlives_the_timeout_is_told_from_a_boot_that_does():
    def run(seconds):
        process = vm("debian", "--run", "sleep 1000", "--timeout", seconds)
        return process, process.stderr

    process, said = in_time(run)
    assert (process.returncode, said.count(b"\n")) == (124, 1)
    assert said.startswith(b"vm: debian: the command did not end within --timeout")


def test_command_that_powers_off_ends_the_run_with_what_it_printed():
    process = debian("--clock", "virtual", "--run", "echo last words; poweroff -f")
    assert (process.returncode, process.stderr) == (0, b"")
    assert process.stdout.startswith(b"last words\n")


@pytest.mark.parametrize("arguments, code, message", [
    (["--run", "true", "--timeout", "0.2"], 124, "debian: no shell answered within --timeout; it printed nothing"),
    (["--run", "true", "--append", "rdinit=/nope init=/nope"], 1, "debian: Kernel panic - not syncing: "),
    (["--run", "reboot -f"], 1, "debian: the guest reset the machine before the command ended"),
])
def test_command_that_does_not_end_says_why_in_one_line(arguments, code, message):
    process = vm("debian", *arguments)
    assert process.returncode == code
    assert process.stderr.decode().startswith(f"vm: {message}") and process.stderr.count(b"\n") == 1
    assert b"]---" not in process.stderr        # of the line that ends what the kernel says of its panic


@pytest.mark.parametrize("clock", ["real", "virtual"])
@pytest.mark.parametrize("text", ["cd /tmp\ncat > file <<END\none $((6 * 7))\nEND\ncat file\n", "echo one $((6 * 7))"],
                         ids=["lines", "no newline at the end"])
def test_piped_input_waits_for_the_shell_and_ends_it(text, clock):
    process = debian("--shell", "--clock", clock, input=text.encode())
    assert (process.returncode, process.stderr) == (0, b"")
    assert "one 42" in process.stdout.decode().splitlines()


def test_piped_input_ends_where_the_prompt_has_blanks():
    process = debian("--shell", input=b"mkdir '/tmp/a b  c'; cd /tmp/a*; printf unended\n")
    assert (process.returncode, process.stderr) == (0, b"")


def test_shell_without_input_ends():
    assert debian("--shell").returncode == 0


def test_package_is_there():
    process = debian("--package", "bash", "--run", "bash -c 'echo ${BASH_VERSINFO[0]}'")
    assert (process.returncode, process.stdout) == (0, b"5\n")
