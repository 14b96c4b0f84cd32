"""What comes and goes under Debian's kernel: virtio devices, the size of a disk, harts.

The kernel passes over a slot that is empty when virtio_mmio is loaded, and looks again when it is bound by hand.
"""

import random

import pytest

import vm
from tests.boot.linux import MIB, closing, load_linux
from vm.devices import BlockDevice, Entropy

pytestmark = pytest.mark.network

DRIVER = "/sys/bus/platform/drivers/virtio-mmio"
READERS, PULLS = 4, 8
# Read the whole disk, past the guest's cache, until that fails or there is nothing left to read.
READ_ON = ("while dd if=/dev/vda of=/dev/null bs=65536 iflag=direct 2>/dev/null; do "
           "test $(cat /sys/block/vda/size) != 0 || break; done")


class Guest:
    """A shell, and what it says to the driver of the first slot."""

    def __init__(self, machine, firmware=None):
        self.machine = machine
        load_linux(machine, "exec sh", firmware)
        self.shell = machine.shell()

    def run(self, command: str, seconds: float = 60) -> str:
        return self.shell.run(command, seconds=seconds).output.removesuffix("\n")

    def tell(self, what: str) -> str:
        return self.run(f"echo 10001000.virtio_mmio >{DRIVER}/{what}")


@pytest.fixture
def guest():
    with closing(vm.Machine()) as machine:
        yield Guest(machine)


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"on the disk\n".ljust(MIB, b"\0"))
    device = BlockDevice(path)
    yield device
    device.close()


def test_disk_comes_and_goes(guest, disk):
    """`bind` finds what was attached; `unbind` lets it go, and another device takes the slot."""
    for _ in range(3):
        guest.machine.attach(disk)
        assert guest.run("ls /dev/vd* 2>/dev/null") == ""
        guest.tell("bind")
        assert guest.run("head -n 1 /dev/vda; cat /sys/block/vda/size") == f"on the disk\n{MIB // 512}"
        with pytest.raises(vm.ConfigurationError, match="unbind it, in Linux by: echo 10001000.virtio_mmio > "):
            guest.machine.detach(disk)
        guest.tell("unbind")
        assert guest.machine.detach("virtio0") is disk
        assert guest.run("ls /dev/vd* 2>/dev/null") == ""
        guest.machine.attach(Entropy())
        guest.tell("bind")
        assert guest.run("head -c 16 /dev/hwrng | wc -c") == "16"
        guest.tell("unbind")
        guest.machine.detach("virtio0")


@pytest.mark.parametrize("harts", [1, 3])
def test_disk_is_pulled_while_it_is_read(harts, disk):
    """At any moment: no reader waits for ever, the driver can be unbound, and the slot filled again."""
    moments = random.Random(harts)
    with closing(vm.Machine(harts=harts)) as machine:
        guest = Guest(machine)
        for _ in range(PULLS):
            machine.attach(disk)
            guest.tell("bind")
            guest.run(f"for i in $(seq {READERS}); do sh -c '{READ_ON}' & done >/dev/null 2>&1")
            machine.run(instructions=moments.randrange(5_000_000))
            machine.detach(disk, force=True)
            assert guest.run("wait; cat /sys/block/vda/size", seconds=20).splitlines()[-1] == "0"
            guest.tell("unbind")


def test_disk_gets_another_size(guest, disk):
    """The kernel hears of it by the interrupt for a change of the configuration, while the disk is in use."""
    guest.machine.attach(disk)
    guest.tell("bind")
    for size in (3 * MIB, 2 * MIB):
        disk.resize(size)
        assert guest.run("sleep 1; busybox blockdev --getsz /dev/vda") == str(size // 512)
        assert f"[vda] new size: {size // 512} 512-byte logical blocks" in guest.run("dmesg | tail -n 2")
    guest.run("echo beyond | dd of=/dev/vda bs=512 seek=4095 conv=notrunc 2>/dev/null; sync")
    assert guest.run("head -n 1 /dev/vda") == "on the disk"
    with open(disk.disk.path, "rb") as image:
        image.seek(4095 * 512)
        assert image.read(7) == b"beyond\n"


@pytest.mark.parametrize("firmware", [None, "fw_dynamic.bin"], ids=["built-in", "fw_dynamic.bin"])
def test_harts_go_and_come_back_many_times(firmware):
    """HSM's hart_stop, hart_get_status and hart_start; each hart works after it has come back."""
    with closing(vm.Machine(harts=3)) as machine:
        guest = Guest(machine, firmware)
        assert guest.run("""
            for turn in $(seq 20); do for hart in 1 2; do
                echo 0 >/sys/devices/system/cpu/cpu$hart/online || echo "turn $turn: $hart stays"
                echo 1 >/sys/devices/system/cpu/cpu$hart/online || echo "turn $turn: $hart does not come back"
                busybox taskset $((1 << hart)) true || echo "turn $turn: $hart does not work"
            done; done; cat /sys/devices/system/cpu/online""") == "0-2"
        guest.run("for hart in 1 2; do echo 0 >/sys/devices/system/cpu/cpu$hart/online; done")
        assert [hart.state for hart in machine.harts[1:]] == (["stopped"] * 2 if firmware is None else ["waiting"] * 2)
