"""Devices under Debian's drivers, from a shell that one machine keeps open for all of these tests."""

import hashlib
import os

import pytest

import vm
from tests.boot.linux import MIB, closing, load_linux

pytestmark = pytest.mark.network

PATTERN = bytes(range(256)) * (MIB // 256)
PATTERN_SUM = hashlib.sha256(PATTERN).hexdigest()
SERIAL = "disk of the tests"


class Guest:
    """The shell and what is attached: /dev/vda writable, /dev/vdb read-only, /dev/vdc forgotten on exit, /dev/hvc0."""

    def __init__(self, machine, folder):
        self.machine = machine
        self.images = [folder / f"{name}.img" for name in ("vda", "vdb", "vdc")]
        for image in self.images:
            image.write_bytes(PATTERN)
        self.hvc_output = bytearray()
        self.hvc = vm.devices.VirtioConsole(columns=132, rows=43)
        devices = [
            vm.devices.BlockDevice(self.images[0], serial=SERIAL),
            vm.devices.BlockDevice(self.images[1], read_only=True),
            vm.devices.BlockDevice(self.images[2], discard=True),
            self.hvc,
        ]
        for device in devices:
            machine.attach(device)
        self.hvc.output = self.hvc_output.extend
        load_linux(machine, "exec sh")
        self.shell = machine.shell()

    def run(self, command: str) -> str:
        return self.shell.run(command).output.removesuffix("\n")


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    with closing(vm.Machine()) as machine:
        yield Guest(machine, tmp_path_factory.mktemp("disks"))


def test_expect_and_send_run_a_command(guest):
    """The example of the README: a prompt, a command, its answer."""
    system, _, release, *_, machine = guest.run("uname -a").removesuffix(" GNU/Linux").split()
    assert (system, machine) == ("Linux", "riscv64")
    assert guest.run("cat /proc/sys/kernel/osrelease") == release


def test_disk_has_its_serial(guest):
    assert guest.run("cat /sys/block/vda/serial") == SERIAL


def test_read_only_disk_refuses_writes(guest):
    """VIRTIO_BLK_F_RO: the kernel knows, and `dd` gets an error."""
    assert guest.run("cat /sys/block/vdb/ro") == "1"
    assert guest.run("sha256sum < /dev/vdb") == f"{PATTERN_SUM}  -"
    assert "Operation not permitted" in guest.run("echo no | dd of=/dev/vdb conv=notrunc")
    assert guest.images[1].read_bytes() == PATTERN


def test_discard_gives_space_back(guest):
    """VIRTIO_BLK_F_DISCARD: the middle half of the disk reads as zeros and takes no room in the host's file system."""
    image = guest.images[0]
    before = os.stat(image).st_blocks
    quarter = MIB // 4
    assert guest.run(f"busybox blkdiscard -o {quarter} -l {2 * quarter} /dev/vda && echo done") == "done"
    expected = PATTERN[:quarter] + bytes(2 * quarter) + PATTERN[-quarter:]
    assert image.read_bytes() == expected
    assert os.stat(image).st_blocks < before
    assert guest.run("sha256sum < /dev/vda") == f"{hashlib.sha256(expected).hexdigest()}  -"


def test_writes_to_a_discarding_disk_stay_in_the_machine(guest):
    """The guest reads back what it wrote, past its own cache; the image keeps its bytes."""
    guest.run("echo changed | dd of=/dev/vdc conv=notrunc 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run("head -n 1 /dev/vdc") == "changed"
    assert guest.images[2].read_bytes() == PATTERN


def test_virtio_console_prints(guest):
    guest.run("stty raw </dev/hvc0; echo one and two >/dev/hvc0")
    assert bytes(guest.hvc_output).replace(b"\r\n", b"\n") == b"one and two\n"


def test_virtio_console_is_typed_to(guest):
    guest.run("head -n 1 </dev/hvc0 >/tmp/typed & sleep 1")
    guest.hvc.receive(b"typed\n")
    assert guest.run("wait; cat /tmp/typed").splitlines()[-1] == "typed"


def test_virtio_console_tells_its_size(guest):
    """VIRTIO_CONSOLE_F_SIZE, and again after the window changed."""
    assert guest.run("stty size </dev/hvc0") == "43 132"
    guest.hvc.resize(columns=80, rows=25)
    assert guest.run("sleep 1; stty size </dev/hvc0") == "25 80"


def test_clock_can_be_set(guest):
    """`hwclock --systohc` writes the goldfish clock; the host's date stays as it is."""
    guest.run("date -s '2031-05-06 07:08:09' >/dev/null; busybox hwclock -u -w")
    assert guest.run("cut -d: -f1,2 /sys/class/rtc/rtc0/time; cat /sys/class/rtc/rtc0/date") == "07:08\n2031-05-06"
