"""Linux goes on in another process, from a file; and in forks, from the middle of a boot and of a disk request."""

import hashlib
import shutil
import subprocess
import sys

import pytest

import vm
from tests.boot.linux import MIB, closing, load_linux, run_to_end

pytestmark = pytest.mark.network

COMMANDS = """
seq 40000 | dd of=/dev/vda bs=512 conv=notrunc 2>/dev/null
sync
echo 3 >/proc/sys/vm/drop_caches
sha256sum /dev/vda
dd if=/dev/hwrng bs=16 count=1 2>/dev/null | od -An -tx1
cat /sys/class/rtc/rtc0/since_epoch
"""


def looks(machine):
    """Steps, registers, RAM and console: all that tells two machines apart from outside."""
    ram = machine.board.ram
    return (machine.steps, [native.save() for native in machine._natives],
            hashlib.blake2b(machine.memory.view(ram.base, ram.size)).digest(), machine.console.output)


# --- At a prompt ------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module", params=[1, 3], ids="{} harts".format)
def booted(request):
    """A Debian with a shell, and its snapshot at the prompt."""
    linux = vm.images.debian()
    with vm.Machine(memory="512M", harts=request.param) as machine:
        machine.boot(linux.kernel, initrd=linux.initrd, cmdline=linux.cmdline)
        machine.shell()
        yield machine.snapshot()


def test_another_process_goes_on_from_a_file(booted, tmp_path):
    path = tmp_path / "booted.vmsnap"
    booted.save(path)
    touched = sum(sum(content.touched()) for content in booted.state.memory) * 4096
    assert path.stat().st_size < touched / 3
    script = (
        "import sys, vm\nfrom tests.boot.test_state import looks\n"
        "with vm.Snapshot.load(sys.argv[1]).machine(engine='interpreter') as machine:\n"
        "    machine.console.send('echo $((6*7))x\\n'); machine.run(instructions=20_000_000)\n"
        "    print(looks(machine))\n")
    there = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True,
                           timeout=120)
    with booted.machine() as machine:
        machine.console.send("echo $((6*7))x\n")
        machine.run(instructions=20_000_000)
        assert there.stdout.strip() == str(looks(machine))
        assert b"42x" in machine.console.output


# --- In the middle of a boot ------------------------------------------------------------------------------------------

@pytest.fixture
def halfway(tmp_path):
    """A guest whose disk is busy."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(MIB))
    block = vm.devices.BlockDevice(image)
    with closing(vm.Machine(memory="256M")) as machine:
        for device in (block, vm.devices.Entropy(), vm.devices.VirtioConsole()):
            machine.attach(device)
        load_linux(machine, COMMANDS)
        machine.console.expect("guest: ready")
        stop = machine.run(until=lambda _: block.busy, seconds=10)
        assert stop.reason is vm.StopReason.CONDITION
        yield machine, image


def test_boot_goes_on_in_a_fork(halfway):
    """Steps, output and time are the same. The fork's disk is its own, and the image the parent's."""
    machine, image = halfway
    fork = machine.fork()
    there = run_to_end(fork)
    assert image.read_bytes() == bytes(MIB)
    assert run_to_end(machine) == there
    written = image.read_bytes()
    assert written != bytes(MIB)
    data = bytearray(MIB)
    fork.board.devices["virtio0"].device.disk.read(0, memoryview(data))
    assert bytes(data) == written
    fork.close()


def test_going_back_takes_the_disk_back(halfway):
    machine, image = halfway
    snapshot = machine.snapshot()
    first = run_to_end(machine)
    written = image.read_bytes()
    machine.restore(snapshot)
    assert image.read_bytes() == bytes(MIB)
    again = run_to_end(machine)
    assert (again.stop, again.output, again.now_ns) == (first.stop, first.output, first.now_ns)
    assert image.read_bytes() == written


def test_boot_goes_on_from_a_file(halfway, tmp_path):
    machine, image = halfway
    machine.snapshot().save(tmp_path / "halfway.vmsnap")
    copy = tmp_path / "copy.img"
    shutil.copy(image, copy)
    there = vm.Snapshot.load(tmp_path / "halfway.vmsnap").machine(devices={"virtio0": vm.devices.BlockDevice(copy)})
    with there:
        assert run_to_end(there) == run_to_end(machine)
    assert copy.read_bytes() == image.read_bytes() != bytes(MIB)
