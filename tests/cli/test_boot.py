"""`vm boot`: what of its command line does not fit together."""

import signal
import subprocess

import pytest

from tests.cli.conftest import COMMAND, assert_fails_with_one_line
from vm.cli.boot import boot
from vm.cli.exit_codes import TERMINATED
from vm.cli.install import install


@pytest.mark.parametrize("arguments, message", [
    ([], "say either debian, a disk image, or --kernel FILE"),
    (["debian", "--kernel", "Image"], "say either debian, a disk image, or --kernel FILE"),
    (["--kernel", "Image", "--shell"], "go with debian"),
    (["--kernel", "Image", "--package", "bash"], "go with debian"),
    (["debian", "--package", "bash"], "--package goes with --shell or --run"),
    (["debian", "--initrd", "initrd.gz"], "debian brings its own initrd"),
    (["debian", "--timeout", "0"], "--timeout"),
    (["debain"], "debain: no such disk image; say debian for Debian's installer, or make a disk"),
    (["debian", "--run", "ls", "--replay", "a.vmlog", "--clock", "virtual"], "say --shell instead"),
    (["debian", "--screenshot", "screen.png"], "--screenshot goes with --screen"),
    (["debian", "--screen", "--screenshot", "/nowhere/screen.png"], "screen.png: no folder that can be written"),
    (["debian", "--screen", "--screenshot", "/"], "--screenshot /: is a folder; name a file"),
    (["debian", "--shell", "--record", "/dev/null", "--clock", "virtual"], "--record /dev/null: is no file"),
    (["--kernel", "Image", "--screen", "--snapshot-at", "login", "x", "--screenshot", "a.png"], "--screenshot"),
    (["--from", "a.vmsnap", "--screen"], "has its own --screen"),
    (["--from", "a.vmsnap", "--package", "bash,less", "--memory", "1G"], "has its own --memory, --package"),
])
def test_options_that_do_not_fit_are_refused(vm, arguments, message):
    assert message in assert_fails_with_one_line(vm("boot", *arguments), code=2)


@pytest.mark.network
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, TERMINATED), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_with_a_shells_code(number, code):
    arguments = ["boot", "debian", "--net", "none", "--run", "echo ready; sleep 1000"]
    with subprocess.Popen([*COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout.read(1) == b"r"
        process.send_signal(number)
        assert process.wait(timeout=60) == code


@pytest.mark.parametrize("size, message", [
    ("debian", "'--screen': debian: write a size as 1280x800, or none where another option follows"),
    ("10x10", "width=10: a screen has 64 to 4095 pixels"), ("640x480x2", "write a size as"),
])
def test_sizes_that_no_screen_has_are_refused(vm, size, message):
    assert message in assert_fails_with_one_line(vm("boot", "--kernel", "Image", "--screen", size), code=2)


@pytest.mark.parametrize("command", [boot, install])
def test_packages_are_named_one_by_one_or_with_commas(command):
    context = command.make_context("vm", ["debian", "--package", "a,b", "--packages", "c,", "--disk", "disk.img"])
    assert context.params["packages"] == ("a", "b", "c")
