"""`vm run`, `vm demo` and `vm info` with pipes: output, exit codes, input that comes by itself."""

import os
import re
import signal
import subprocess
import time

import pytest
from PIL import Image

from tests.assembler import assemble
from tests.cli.conftest import COMMAND, assert_fails_with_one_line

NOT_DONE = 124
CRASHED = 139


@pytest.mark.parametrize("name, code", [("power-off", 0), ("exit-3", 3), ("exit-256", 1)])
def test_exit_code_is_the_guests(vm, guest, name, code):
    process = vm("run", guest(name))
    assert (process.returncode, process.stderr) == (code, b"")


def test_reset_starts_the_guest_anew(vm, guest):
    process = vm("run", guest("reset-once"))
    assert (process.returncode, process.stdout, process.stderr) == (0, b"ab", b"")


def test_output_device_full(guest):
    with open("/dev/full", "wb") as full:
        process = subprocess.run([*COMMAND, "run", guest("print-for-ever")], check=False, stdout=full,
                                 stderr=subprocess.PIPE, timeout=60)
    assert "no space left" in assert_fails_with_one_line(process).lower()


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("name, prompt", [("echo", b"> "), ("waiting-echo", b"")])
def test_piped_input_reaches_the_guest_unchanged(vm, guest, name, prompt, clock):
    data = bytes(byte for byte in range(256) if byte != ord("q")) + b"\r\n\x01xq"
    process = vm("run", guest(name), "--clock", clock, input=data)
    assert (process.returncode, process.stdout, process.stderr) == (0, prompt + data, b"")


def test_input_longer_than_any_buffer_arrives_whole(vm, guest):
    data = bytes(range(97, 113)) * 10_000 + b"q"
    assert vm("run", guest("waiting-echo"), input=data).stdout == data


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_guest_waits_for_a_slow_writer(guest, clock):
    """The guest has answered, and waits, before the next byte is written."""
    command = [*COMMAND, "run", guest("waiting-echo"), "--clock", clock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for byte in (b"a", b"b", b"q"):
            process.stdin.write(byte)
            process.stdin.flush()
            assert process.stdout.read(1) == byte
        assert process.wait(timeout=60) == 0


def test_raw_bytes_at_an_address(vm, tmp_path):
    path = tmp_path / "raw.bin"
    # lui t1, 0x100; lui t0, 0x5; addi t0, t0, 0x555; sw t0, 0(t1): power-off
    path.write_bytes(b"".join(word.to_bytes(4, "little") for word in (0x00100337, 0x000052B7, 0x55528293, 0x00532023)))
    assert vm("run", path, "--address", "0x80200000").returncode == 0


def test_budget_used_up(vm, guest):
    process = vm("run", guest("loop"), "--max-instructions", 1000)
    assert "loop.elf: not done within --max-instructions" in assert_fails_with_one_line(process, NOT_DONE)


def test_quiet_leaves_it_to_the_exit_code(vm, guest):
    process = vm("run", guest("loop"), "--max-instructions", 1000, "--quiet")
    assert (process.returncode, process.stderr) == (NOT_DONE, b"")


def test_host_time_used_up(vm, guest):
    process = vm("run", guest("loop"), "--timeout", 0.2)
    assert "loop.elf: not done within --timeout" in assert_fails_with_one_line(process, NOT_DONE)


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_host_time_used_up_while_the_guest_waits_for_input(guest, clock):
    command = [*COMMAND, "run", guest("waiting-echo"), "--timeout", "0.2", "--clock", clock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == NOT_DONE
        assert b"not done within --timeout" in process.stderr.read()


def test_guest_that_waits_for_nothing(vm, guest):
    assert "every hart waits" in assert_fails_with_one_line(vm("run", guest("idle")), NOT_DONE)


def test_jump_to_nowhere_is_reported_with_pc_cause_and_tval(vm, guest):
    line = assert_fails_with_one_line(vm("run", guest("jump-to-nowhere")), CRASHED)
    assert re.search(r"instruction access fault .*pc 0x40, tval 0x40", line)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_it_with_a_shells_code(guest, number, code):
    with subprocess.Popen([*COMMAND, "run", guest("print-for-ever")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as process:
        process.stdout.read(1)
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(timeout=60) == code
        assert b"Traceback" not in process.stderr.read()


def test_nobody_reads_the_output(guest):
    with subprocess.Popen([*COMMAND, "run", guest("print-for-ever")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""


def test_program_from_standard_input(vm, guest, tmp_path):
    """Also through a reset: what was read is kept."""
    for name, output in (("power-off", b""), ("reset-once", b"ab")):
        process = vm("run", "-", input=open(guest(name), "rb").read())
        assert (process.returncode, process.stdout, process.stderr) == (0, output, b"")
    assert "<stdin>: the file is empty" in assert_fails_with_one_line(vm("run", "-", "--address", "0x80000000"))


def test_program_from_standard_input_that_is_closed():
    process = subprocess.run(f"{COMMAND[0]} -c '{COMMAND[2]}' run - <&-", shell=True, check=False,
                             capture_output=True, timeout=60)
    assert "<stdin>: the file is empty" in assert_fails_with_one_line(process)


def test_where_no_signature_will_be_is_said_before_the_run(vm, guest, tmp_path):
    process = vm("run", guest("print-for-ever"), "--signature", tmp_path / "signature")
    assert "no symbol begin_signature, which --signature needs" in assert_fails_with_one_line(process)
    missing = tmp_path / "missing" / "signature"
    process = vm("run", guest("print-for-ever"), "--signature", missing)
    assert f"no folder that can be written: {missing.parent}" in assert_fails_with_one_line(process, code=2)


def test_a_program_has_a_screen_if_it_is_asked_for(vm, guest, tmp_path):
    """As `vm boot` gives one; a picture is taken at the end."""
    path = tmp_path / "screen.png"
    process = vm("run", guest("power-off"), "--screen", "320x200", "--screenshot", path)
    assert (process.returncode, process.stderr) == (0, b"")
    assert Image.open(path).size == (320, 200)
    process = vm("run", guest("power-off"), "--screenshot", path)
    assert "--screenshot goes with --screen" in assert_fails_with_one_line(process, code=2)


def test_command_line_of_a_kernel_is_the_bytes_of_the_shell(vm, tmp_path):
    """Also what is no text; the kernel prints the first KiB of its device tree."""
    path = tmp_path / "kernel.bin"
    path.write_bytes(assemble("addi s0, a1, 1024; 1: lbu a0, (a1); addi a1, a1, 1; li a7, 1; ecall\n"
                              "bne a1, s0, 1b; li a7, 8; ecall"))
    line = b"motd=gr\xc3\xbc\xfe\xff"
    process = vm("boot", "--kernel", path, "--address", "0x80200000", "--append", os.fsdecode(line))
    assert (process.returncode, process.stderr) == (0, b"")
    assert line + b"\0" in process.stdout
def test_timeout_holds_where_nobody_takes_the_output(guest):
    """A pipe that is full, and open."""
    with subprocess.Popen([*COMMAND, "run", guest("print-for-ever"), "--timeout", "1"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.wait(timeout=60) == 124
        assert process.stderr.read().endswith(b": not done within --timeout\n")


def test_output_waits_for_a_slow_reader(guest):
    """More than a pipe takes, and none of it is lost."""
    with subprocess.Popen([*COMMAND, "run", guest("print-much")], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as process:
        received = process.stdout.read(1)
        time.sleep(0.5)
        received += process.stdout.read()
        assert process.wait(timeout=60) == 0 and received == b"x" * 300_000


def test_standard_input_closed(guest):
    process = subprocess.run(f"{COMMAND[0]} -c '{COMMAND[2]}' run {guest('power-off')} <&-", shell=True, check=False,
                             capture_output=True, timeout=60)
    assert (process.returncode, process.stderr) == (0, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["run {guest} --disk {disk}", "info"])
def test_standard_descriptors_closed(closed, command, guest, tmp_path):
    """Like /dev/null: the guest prints into nothing, is typed nothing, and its RAM and disk are its own."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(4096))
    line = f"{COMMAND[0]} -c '{COMMAND[2]}' {command.format(guest=guest('whole'), disk=disk)} {closed}"
    process = subprocess.run(line, shell=True, check=False, capture_output=True, timeout=60, input=b"")
    assert process.returncode == 0 and b"Traceback" not in process.stderr
    assert disk.read_bytes() == bytes(4096)


def test_disk_with_discard_leaves_the_image_to_others(vm, guest, tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(4096))
    for mode in ("", ",read-only", ",legacy", ",discard", ",raw", ",raw,discard"):
        assert vm("run", guest("power-off"), "--disk", f"{disk}{mode}").returncode == 0


def test_demo_runs_to_its_end(vm):
    process = vm("demo", environment={"http_proxy": "http://127.0.0.1:9"})
    assert process.returncode == 0 and process.stderr == b""
    assert b"12 checks passed" in process.stdout
    assert re.search(r"\n[\d,]+ instructions retired in [\d.]+ s: [\d,]+ MIPS\n$", process.stdout.decode())


def test_info_in_a_pipe_is_plain_text(vm):
    process = vm("info")
    assert process.returncode == 0
    output = process.stdout.decode()
    assert output.isascii() and "\x1b" not in output
    assert re.search(r"^ISA +rv64", output, re.MULTILINE)
    assert re.search(r"^0x10000000 +0x100 +10 +uart \(ns16550a\)$", output, re.MULTILINE)
    assert re.search(r"^0x80000000 +0x\w+ +RAM$", output, re.MULTILINE)
