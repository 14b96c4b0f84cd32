"""`--display web`: what it prints, what it does not go with, how it ends."""

import re
import signal
import socket
import subprocess
import time

import pytest

pytest.importorskip("websockets")

from tests.cli.conftest import COMMAND, assert_fails_with_one_line  # noqa: E402
from tests.web.client import Client  # noqa: E402
from vm.cli.exit_codes import CRASHED, INTERRUPTED, TERMINATED, USAGE  # noqa: E402

ADDRESS = re.compile(r"vm: web console at (http://127\.0\.0\.1:(\d+)/\?token=[\w-]{43})\n")


@pytest.fixture
def started():
    """started(*arguments) -> the process, and the address that it prints"""
    processes = []

    def start(*arguments):
        process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process, ADDRESS.fullmatch(process.stderr.readline())

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def page_of(address) -> Client:
    return Client(address[1], lambda: time.sleep(0.002)).opened()


def test_a_program_in_the_browser(guest, started):
    process, address = started("run", guest("waiting-echo"), "--display", "web")
    page = page_of(address)
    page.type(b"abq")
    page.wait(lambda: page.text == b"abq")
    page.wait(lambda: page.last("state")["mode"] == "ended")
    page.close()
    assert process.communicate(timeout=60) == ("", "") and process.returncode == 0


def test_what_becomes_of_it_is_said_and_returned(guest, started):
    process, _ = started("run", guest("exit-3"), "--display", "web")
    assert process.communicate(timeout=60) == ("", "") and process.returncode == 3
    process, _ = started("run", guest("jump-to-nowhere"), "--display", "web")
    said = process.stderr.read()                # some of it may have come with the address
    assert re.fullmatch(r"vm: .*: (unhandled-trap|trap-loop): .*\n", said)
    assert process.wait(timeout=60) == CRASHED and process.stdout.read() == ""


@pytest.mark.parametrize("number, code, said", [(signal.SIGINT, INTERRUPTED, "\n"), (signal.SIGTERM, TERMINATED, ""),
                                                (signal.SIGHUP, 129, "")])
def test_a_signal_ends_it(guest, started, number, code, said):
    process, address = started("run", guest("loop"), "--display", "web")
    page = page_of(address)
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", said) and process.returncode == code
    page.wait(lambda: page.ended)
    page.close()


def test_a_port_of_ones_own(guest, started, vm):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process, address = started("run", guest("loop"), "--display", f"web:{port}")
    assert int(address[2]) == port
    refused = vm("run", guest("loop"), "--display", f"web:{port}")
    assert "name another port" in assert_fails_with_one_line(refused, USAGE)


def test_it_is_recorded(guest, started, tmp_path):
    """What comes from the page comes again."""
    log = tmp_path / "log"
    process, address = started("run", guest("echo"), "--display", "web", "--record", log)
    page = page_of(address)
    page.wait(lambda: page.text == b"> ")
    page.type(b"abq")
    page.wait(lambda: page.text == b"> abq")
    page.close()
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0
    again = subprocess.run([*COMMAND, "run", guest("echo"), "--replay", log], capture_output=True, timeout=60)
    assert again.stdout == b"> abq"


@pytest.mark.parametrize("arguments, message", [
    (["--display", "gtk"], "'--display': gtk: write web, or web:PORT"),
    (["--display", "web:"], "write web, or web:PORT"),
    (["--display", "web:x"], "write web, or web:PORT"),
    (["--display", "web8000"], "write web, or web:PORT"),
    (["--display", "web:65536"], "up to 65535"),
    (["--display", "web", "--timeout", "1"], "--display goes without --timeout"),
    (["--display", "web", "--max-instructions", "1"], "--display goes without --max-instructions"),
    (["--display", "web", "--gdb", "0"], "--display goes without --gdb"),
    (["--display", "web", "--replay", "log", "--clock", "virtual"], "--display goes without --replay"),
])
def test_what_makes_no_sense_is_refused(guest, vm, arguments, message):
    assert message in assert_fails_with_one_line(vm("run", guest("loop"), *arguments), USAGE)


@pytest.mark.parametrize("arguments", [["boot", "--kernel", "Image", "--display", "web", "--run", "ls"],
                                       ["boot", "--kernel", "Image", "--display", "web", "--snapshot-at", "a", "b"],
                                       ["boot", "--from", "file", "--display", "web", "--timeout", "1"],
                                       ["restore", "file", "--display", "web", "--gdb", "0"]])
def test_so_it_is_of_other_commands(vm, arguments):
    assert "--display goes without" in assert_fails_with_one_line(vm(*arguments), USAGE)
