"""What a system is told: refused where it is wrong, and written where Debian reads it."""

import pytest

from vm.errors import ConfigurationError
from vm.guests.agent import AGENT
from vm.install import Settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ6 somebody@somewhere"
MIRROR = "http://mirror.invalid/debian"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hostname": "two.labels"}, "say one label"),
        ({"hostname": "-x"}, "say one label"),
        ({"hostname": "x" * 64}, "say one label"),
        ({"user": "Ada"}, "begin with a letter"),
        ({"user": "a;reboot"}, "begin with a letter"),
        ({"user": "root"}, "is there in any case"),
        ({"user": "www-data"}, "is there in any case"),
        ({"user": "sudo"}, "a group of that name"),
        ({"password": ""}, "1 to 511 bytes"),
        ({"password": "\u00e4" * 256}, "1 to 511 bytes"),
        ({"password": "a\nb"}, "only what can be typed"),
        ({"keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "no public key"),
        ({"keys": [KEY + "\nssh-rsa AAAA"]}, "no public key"),
        ({"keys": [KEY + "\udc80"]}, "no public key"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        Settings(**wrong)


def test_the_password_is_in_no_file():
    for settings in (Settings(password="secret"), Settings(user="ada", password="secret")):
        assert "secret" not in str(settings.files(MIRROR, None))


def test_who_has_no_password_is_logged_in_on_the_console():
    path = "etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf"
    assert b"--autologin root " in Settings().files(MIRROR, None)[path][1]
    assert b"--autologin ada " in Settings(user="ada").files(MIRROR, None)[path][1]
    assert path not in Settings(password="secret").files(MIRROR, None)


def test_a_console_that_comes_late_is_waited_for():
    """systemd-system.conf(5): without it the console has no login where the kernel and udev take 90 s."""
    text = Settings().files(MIRROR, None)["etc/systemd/system.conf.d/patience.conf"][1].decode()
    assert "[Manager]\nDefaultDeviceTimeoutSec=15min\n" in text


def test_who_may_use_sudo_without_a_password():
    assert Settings(user="ada").files(MIRROR, None)["etc/sudoers.d/ada"] == (0o440, b"ada ALL=(ALL) NOPASSWD: ALL\n")
    assert "etc/sudoers.d/ada" not in Settings(user="ada", password="secret").files(MIRROR, None)


def test_keys_are_for_root_alone_to_write():
    assert Settings(keys=[KEY]).files(MIRROR, None)["root/.ssh/authorized_keys"] == (0o600, f"{KEY}\n".encode())
    assert "root/.ssh/authorized_keys" not in Settings().files(MIRROR, None)


def test_security_updates_where_there_are_any():
    path = "etc/apt/sources.list.d/debian.sources"
    assert b"-security" not in Settings().files(MIRROR, None)[path][1]
    text = Settings().files(MIRROR, f"{MIRROR}-security")[path][1].decode()
    assert f"URIs: {MIRROR}-security\nSuites: trixie-security\n" in text


def test_the_agent_is_there_for_whom_a_socket_is():
    files = Settings().files(MIRROR, None)
    assert files["usr/local/sbin/vm-agent"] == (0o755, AGENT.read_bytes())
    assert b'KERNEL=="vsock"' in files["etc/udev/rules.d/90-vm-agent.rules"][1]
    assert b"\nExecStart=/usr/local/sbin/vm-agent\n" in files["etc/systemd/system/vm-agent.service"][1]
