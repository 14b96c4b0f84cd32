"""Machines that talk to each other: two of this process on a switch, and one with a QEMU process."""

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import vm
from tests.boot.linux import script
from tests.tools import require
from vm.devices import Entropy, Network
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


def on_a_switch(stack, packages=()):
    """Two machines at their prompts, 10.1.0.1 and 10.1.0.2, and their shells."""
    switch = Switch()
    machines = [stack.enter_context(vm.Machine(memory="256M", seed=seed)) for seed in (1, 2)]
    for seed, machine in enumerate(machines, 1):
        machine.attach(Network(switch.port()))
        machine.attach(Entropy(seed))
        machine.boot(*debian(packages))
    shells = [machine.shell() for machine in machines]
    for number, shell in enumerate(shells, 1):
        shell.run(f"ip addr add 10.1.0.{number}/24 dev eth0", check=True)
    return machines, *shells


def course(machines) -> list[tuple[int, int, bytes]]:
    """Of each: steps, guest time and output."""
    return [(machine.steps, machine.clock.now_ns(), machine.console.output) for machine in machines]


def conversation():
    with ExitStack() as stack:
        machines, server, client = on_a_switch(stack)
        server.run("mkdir /tmp/www; dd if=/dev/urandom of=/tmp/www/data bs=1M count=4 2>/dev/null; "
                   "httpd -p 80 -h /tmp/www", check=True)
        digest = server.run("sha256sum < /tmp/www/data").output
        assert client.run("wget -q -O - http://10.1.0.1/data | sha256sum", seconds=120).output == digest
        assert "3 packets received" in client.run("ping -c 3 -i 0.1 10.1.0.1").output
        return course(machines)


def test_a_conversation_repeats_to_the_step():
    assert conversation() == conversation()


def iperf_and_ssh():
    with ExitStack() as stack:
        machines, server, client = on_a_switch(stack, ["iperf3", "dropbear-bin"])
        server.run("iperf3 -s -D", check=True)
        assert "iperf Done." in client.run("iperf3 -c 10.1.0.1 -n 8M", check=True, seconds=120).output
        assert "iperf Done." in client.run("iperf3 -c 10.1.0.1 -n 8M -R", check=True, seconds=120).output
        key = client.run("dropbearkey -t ed25519 -f key | grep ^ssh", check=True).output
        server.run("mkdir -p -m 700 /root /root/.ssh /etc/dropbear; echo /bin/sh > /etc/shells", check=True)
        server.run("dropbear -R", check=True)
        server.run(f"echo '{key.strip()}' > /root/.ssh/authorized_keys", check=True)
        assert "10.1.0.1/24" in client.run("dbclient -y -i key root@10.1.0.1 'ip addr'", check=True).output
        return course(machines)


def test_iperf_and_ssh_repeat_to_the_step():
    assert iperf_and_ssh() == iperf_and_ssh()
