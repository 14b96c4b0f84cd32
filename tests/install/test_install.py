"""A Debian from an empty disk to a login by ssh: half an hour of a slow computer.

    pytest -m slow tests/install
"""

import signal
import subprocess
import sys
import time

import pytest

import vm
from tests import tools
from vm.devices import BlockDevice, Entropy, Network, Vsock
from vm.errors import ConfigurationError
from vm.images import boot_loader
from vm.install import Settings, install_debian
from vm.net import User

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The path of a disk, and of the key that may log in."""
    tools.require("ssh")
    folder = tmp_path_factory.mktemp("install")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    settings = Settings(hostname="box", user="ada", keys=[key.with_suffix(".pub").read_text().strip()])
    done = install_debian(folder / "disk.qcow2", packages=["file"], settings=settings)
    assert done.path == folder / "disk.qcow2"
    assert sorted(path.name for path in folder.iterdir()) == ["disk.qcow2", "key", "key.pub"]
    return done.path, key


def test_login_on_the_console_and_by_ssh(installed):
    disk, key = installed
    with vm.Machine(memory="512M", clock="real") as machine:
        machine.attach(BlockDevice(disk))
        machine.attach(Entropy(1))
        net = User(hostfwd=["tcp:127.0.0.1:0-:22"])
        machine.attach(Network(net))
        machine.attach(Vsock())
        machine.boot(boot_loader())
        shell = machine.shell(seconds=600)
        assert shell.run("id -un; hostname; file -b /etc/os-release").output.split("\n")[:2] == ["ada", "box"]
        assert shell.run("systemctl is-system-running --wait", seconds=600).output.strip() == "running"
        assert machine.agent().run("id -u").stdout == "0\n"
        client = subprocess.Popen(
            ["ssh", "-i", key, "-p", str(net.forwarded[0].port), "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "ada@127.0.0.1", "sudo id -u"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        while client.poll() is None:
            machine.run(seconds=1)
        assert (client.communicate()[0], client.returncode) == ("0\n", 0)
        # Mirrors may be behind with the smaller suites.
        shell.run("sudo sed -i '/^$/,$d; s/ trixie-updates//' /etc/apt/sources.list.d/debian.sources", check=True)
        shell.run("sudo apt-get update", check=True, seconds=600)
        shell.run("sudo apt-get install -y --no-install-recommends hello && hello", check=True, seconds=600)
        machine.console.send("sudo systemctl poweroff\n")
        assert machine.run(seconds=300).reason is vm.StopReason.POWER_OFF


def test_what_is_killed_leaves_no_disk_and_the_next_begins_anew(tmp_path):
    disk = tmp_path / "disk.qcow2"
    command = [sys.executable, "-m", "vm", "install", "debian", "--disk", disk]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in child.stderr:
        if "installing the base" in line:
            break
    time.sleep(5)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not disk.exists() and (tmp_path / "disk.qcow2.part").exists()
    subprocess.run(["qemu-img", "check", tmp_path / "disk.qcow2.part"], check=True)
    subprocess.run(command, check=True)
    assert disk.exists() and not (tmp_path / "disk.qcow2.part").exists()
    with pytest.raises(ConfigurationError, match="is there already"):
        install_debian(disk)
