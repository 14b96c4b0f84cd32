"""Machines that talk to each other: two of this process on a switch, and one with a QEMU process."""

import subprocess
import time
from pathlib import Path

import pytest

import vm
from tests.boot.linux import script
from tests.tools import require
from vm.devices import Network
from vm.images import debian
from vm.images.busybox import CMDLINE, QUICK_CMDLINE, debian_kernel, userspace_initrd
from vm.net import Stream, Switch

pytestmark = pytest.mark.network

DRIVERS = ("virtio_mmio", "failover", "net_failover", "virtio_net")
SERVING = """
busybox ip addr add 10.1.0.1/24 dev eth0; busybox ip link set eth0 up
mkdir /tmp/www; dd if=/dev/urandom of=/tmp/www/data bs=1M count=2 2>/dev/null
sha256sum < /tmp/www/data > /tmp/www/digest
busybox httpd -p 80 -h /tmp/www
busybox nc -l -p 99
"""
ASKING = """busybox ip addr add 10.1.0.2/24 dev eth0; busybox ip link set eth0 up
until busybox wget -q -O /tmp/digest http://10.1.0.1/digest 2>/dev/null; do sleep 1; done
cat /tmp/digest; busybox wget -q -O - http://10.1.0.1/data | sha256sum
busybox ping -c 3 10.1.0.1
echo end | busybox nc 10.1.0.1 99"""


@pytest.mark.parametrize("ours_listens", [True, False])
def test_qemu_at_the_other_end(tmp_path, ours_listens):
    require("qemu-system-riscv64")
    if not ours_listens:                    # over a Unix socket, which QEMU has before it answers
        qemu = qemu_with(f"server=on,addr.type=unix,addr.path={tmp_path}/wire", tmp_path)
        link = connected_once_there(f"{tmp_path}/wire")
    else:
        link, qemu = Stream(listen="127.0.0.1:0"), None
    with vm.Machine(memory="256M", clock="real") as machine:
        machine.attach(Network(link))
        if qemu is None:
            host, _, port = link.address.rpartition(":")
            qemu = qemu_with(f"server=off,addr.type=inet,addr.host={host},addr.port={port}", tmp_path)
        try:
            machine.boot(debian_kernel(), initrd=userspace_initrd(script(talk=ASKING), DRIVERS), cmdline=QUICK_CMDLINE)
            stop = machine.run(timeout=240)
            assert stop.reason is vm.StopReason.POWER_OFF, machine.console.text[-500:]
            assert qemu.wait(timeout=120) == 0
        finally:
            qemu.kill()
    said = machine.console.text.partition("== talk")[2].replace("\r", "").split("\n")
    assert len(said[1]) == 67 and said[1] == said[2]
    assert any("3 packets received" in line for line in said)


def qemu_with(netdev, folder):
    initrd = userspace_initrd(SERVING, DRIVERS)
    return subprocess.Popen(
        ["qemu-system-riscv64", "-M", "virt", "-m", "256M", "-nographic", "-kernel", debian_kernel(), "-initrd", initrd,
         "-append", CMDLINE, "-netdev", f"stream,id=wire,{netdev}", "-device", "virtio-net-device,netdev=wire"],
        stdin=subprocess.DEVNULL, stdout=(folder / "qemu.log").open("wb"))


def connected_once_there(path):
    """QEMU has the socket a moment after it has begun."""
    for _ in range(200):
        if Path(path).exists():
            break
        time.sleep(0.1)
    return Stream(connect=path)


def conversation() -> list[tuple[int, int, bytes]]:
    """Two machines on a switch: one asks the other. Steps, guest time and output of each."""
    switch = Switch()
    with vm.Machine(memory="256M", seed=1) as server, vm.Machine(memory="256M", seed=2) as client:
        for machine in (server, client):
            machine.attach(Network(switch.port()))
            machine.boot(*debian())
        shells = server.shell(), client.shell()
        for number, shell in enumerate(shells, 1):
            shell.run(f"ip addr add 10.1.0.{number}/24 dev eth0", check=True)
        shells[0].run("mkdir /tmp/www; dd if=/dev/urandom of=/tmp/www/data bs=1M count=4 2>/dev/null; "
                      "httpd -p 80 -h /tmp/www", check=True)
        digest = shells[0].run("sha256sum < /tmp/www/data").output
        assert shells[1].run("wget -q -O - http://10.1.0.1/data | sha256sum", seconds=120).output == digest
        assert "3 packets received" in shells[1].run("ping -c 3 -i 0.1 10.1.0.1").output
        return [(machine.steps, machine.clock.now_ns(), machine.console.output) for machine in (server, client)]


def test_a_conversation_repeats_to_the_step():
    assert conversation() == conversation()
