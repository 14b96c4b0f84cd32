"""`vm install`: what is wrong is said before anything is downloaded or made."""

import signal
import socket
import subprocess

import pytest

from tests.cli.conftest import COMMAND, assert_fails_with_one_line
from vm.cli.exit_codes import TERMINATED


@pytest.mark.parametrize("arguments, message", [
    ("--size 1G", "a Debian needs 2G or more"),
    ("--size much", "much"),
    ("--memory 64M", "an installation needs 512M or more"),
    ("--user Ada", "user 'Ada'"),
    ("--hostname a.b", "hostname 'a.b'"),
    ("--ssh-key none.pub", "--ssh-key none.pub: cannot be read"),
    ("--ssh-key KEY", "no public key of ssh"),
    ("--ssh-key /dev/null", "--ssh-key /dev/null: has no key"),
    ("--mirror nowhere", "mirror nowhere: not a URI"),
])
def test_what_is_refused(vm, tmp_path, arguments, message):
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    process = vm("install", "debian", "--disk", tmp_path / "new.qcow2",
                 *arguments.replace("KEY", str(tmp_path / "key")).split())
    assert message in assert_fails_with_one_line(process, code=2 if "--mirror" not in arguments else 1)
    assert not (tmp_path / "new.qcow2").exists()


def test_a_password_that_nobody_gives(tmp_path):
    arguments = ["install", "debian", "--disk", tmp_path / "new.qcow2", "--password"]
    process = subprocess.run([*COMMAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                             start_new_session=True)        # without a terminal
    assert process.returncode == 2 and b"vm: --password: nobody answers here; say --password TEXT" in process.stderr


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, TERMINATED), (signal.SIGHUP, 129)])
def test_a_signal_takes_away_what_was_begun(tmp_path, number, code):
    with socket.create_server(("127.0.0.1", 0)) as mirror:          # never answers
        arguments = ["--disk", tmp_path / "new.qcow2", "--mirror", f"http://127.0.0.1:{mirror.getsockname()[1]}/debian"]
        with subprocess.Popen([*COMMAND, "install", "debian", *arguments], stderr=subprocess.PIPE) as process:
            assert process.stderr.readline() == b"vm: choosing packages\n" and len(list(tmp_path.iterdir())) == 2
            process.send_signal(number)
            assert process.wait(timeout=60) == code and not list(tmp_path.iterdir())


def test_a_file_that_exists_stays(vm, tmp_path):
    (tmp_path / "old.img").write_bytes(b"precious")
    process = vm("install", "debian", "--disk", tmp_path / "old.img")
    assert "old.img: is there already" in assert_fails_with_one_line(process, code=2)
    assert (tmp_path / "old.img").read_bytes() == b"precious"


def test_a_disk_has_its_own_command_line(vm, tmp_path):
    (tmp_path / "disk.img").write_bytes(bytes(512))
    process = vm("boot", tmp_path / "disk.img", "--append", "x")
    assert "has its own command line" in assert_fails_with_one_line(process, code=2)
    process = vm("boot", tmp_path / "none.img")
    assert "none.img: no such disk image; say debian" in assert_fails_with_one_line(process, code=2)
