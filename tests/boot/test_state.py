"""Linux goes on in another process, from a file; and in forks, from the middle of a boot and of a disk request."""

import hashlib
import shutil
import subprocess
import sys

import pytest

import vm
from tests.boot.linux import MIB, closing, load_linux, run_to_end
from tests.state import fixed, left_over, of_the_package, save, stateful_parts, uncovered
from vm.state import Stateful

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


def test_going_back_takes_all_of_the_machine_back(halfway):
    """Each attribute of plain data, of whatever the machine is made of."""
    machine, _ = halfway
    changed, not_back = left_over(machine, lambda: run_to_end(machine))
    assert changed >= {("Console", "_output"), ("Entropy", "requests"), ("BlockDevice", "busy"), ("Queue", "used")}
    assert not_back == set()


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


# --- All through a boot -----------------------------------------------------------------------------------------------

STRETCH = 5_000_011                     # steps


@pytest.mark.slow
@pytest.mark.parametrize("harts", [1, 3])
def test_what_a_boot_changes_is_declared(tmp_path, harts):
    """From one moment of Debian's boot to the next nothing changes that is no state, nor said to be none.

    A restore there brings back all of it, what is said to follow from the state as well.
    """
    linux = vm.images.debian()
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(MIB))
    devices = vm.devices.BlockDevice(image), vm.devices.Entropy(), vm.devices.VirtioConsole()
    with closing(vm.Machine(memory="512M", harts=harts), *devices) as machine:
        machine.boot(linux.kernel, initrd=linux.initrd, cmdline=linux.cmdline)
        settings = {name: fixed(part) for name, part in stateful_parts(machine).items()}
        changed_state, changed_data = set(), set()
        state = save(machine)
        while b"# " not in machine.console.output:
            changed, not_back = left_over(machine, lambda: machine.run(instructions=STRETCH))
            assert not_back == set()
            changed_data |= changed
            parts = stateful_parts(machine)
            assert {name: missing for name, part in parts.items() if (missing := uncovered(part))} == {}
            assert {name: fixed(part) for name, part in parts.items()} == settings
            assert {id(one) for one in of_the_package(machine) if isinstance(one, Stateful)} == {
                id(part) for part in parts.values()}
            before, state = state, save(machine)
            changed_state |= {name for name in state if state[name] != before[name]}
    assert changed_state >= {"clock", "console", "events", "plic", "uart", "virtio0", "virtio1", "virtio2"}
    assert changed_data >= {("Console", "_output"), ("Queue", "used"), ("PLIC", "enables")}
