"""The state of every device in the middle of a boot, while a disk request is under way.

There are no snapshots yet; what they will be made of is here: state of devices, pending events, registers and RAM.
"""

import shutil

import pytest

import vm
from tests.boot.linux import MIB, closing, load_linux, run_to_end
from vm_native.riscv.registers import CSR_NUMBERS

pytestmark = pytest.mark.network

COMMANDS = """
seq 40000 | dd of=/dev/vda bs=512 conv=notrunc 2>/dev/null
sync
echo 3 >/proc/sys/vm/drop_caches
sha256sum /dev/vda
dd if=/dev/hwrng bs=16 count=1 2>/dev/null | od -An -tx1
cat /sys/class/rtc/rtc0/since_epoch
"""


class Guest:
    """A machine with a disk and more, ready to boot. The same for the same seed, whatever the image is called."""

    def __init__(self, machine, image):
        self.machine = machine
        self.image = image
        self.block = vm.devices.BlockDevice(image)
        for device in (self.block, vm.devices.Entropy(), vm.devices.VirtioConsole()):
            machine.attach(device)
        load_linux(machine, COMMANDS)

    def devices(self):
        return {name: placed.device for name, placed in self.machine.board.devices.items()}

    def save(self):
        return {name: device.save() for name, device in self.devices().items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("disks")


@pytest.fixture(scope="module")
def halfway(folder):
    """A guest whose disk is busy; nothing that a test does with it may run it."""
    image = folder / "disk.img"
    image.write_bytes(bytes(MIB))
    with closing(vm.Machine(memory="256M")) as machine:
        guest = Guest(machine, image)
        machine.console.expect("guest: ready")
        stop = machine.run(until=lambda _: guest.block.busy, seconds=10)
        assert stop.reason is vm.StopReason.CONDITION
        yield guest


@pytest.fixture
def fresh(halfway, folder):
    """Another guest with the same devices, not yet run; its disk is a copy."""
    image = folder / "copy.img"
    shutil.copy(halfway.image, image)
    with closing(vm.Machine(memory="256M")) as machine:
        yield Guest(machine, image)


def test_loaded_state_is_equal(halfway, fresh):
    """What a fresh machine's devices save after loading is what was loaded."""
    at_power_on = fresh.save()
    saved = halfway.save()
    assert saved.keys() == at_power_on.keys()
    for name, device in fresh.devices().items():
        device.load(saved[name])
    assert fresh.save() == saved
    assert {name for name in saved if saved[name] != at_power_on[name]} >= {"plic", "uart", "virtio0", "virtio1"}


def test_boot_goes_on_in_another_machine(halfway, fresh):
    """From saved state, registers and RAM alone, the rest of the boot is the same: steps, output and disk."""
    move(halfway, fresh)
    before, output_before = halfway.machine.steps, len(halfway.machine.console.output)
    here = run_to_end(halfway.machine)
    there = run_to_end(fresh.machine)
    assert there.stop == here.stop
    assert there.now_ns == here.now_ns
    assert there.steps == here.steps - before
    assert there.output == here.output[output_before:]
    assert fresh.image.read_bytes() == halfway.image.read_bytes() != bytes(MIB)


def move(source: Guest, target: Guest) -> None:
    """Make the target what the source is. The harts of the target have not run yet."""
    old, new = source.machine, target.machine
    for hart in new._natives:
        hart.stop()
    new.run(seconds=old.clock.now_ns() / 10**9)             # nothing runs: only time passes
    assert new.clock.now_ns() == old.clock.now_ns()
    new.memory.write(old.board.ram.base, old.memory.view(old.board.ram.base, old.board.ram.size))
    for name, device in target.devices().items():
        device.load(source.devices()[name].save())
    names = {placed.device: name for name, placed in old.board.devices.items()}
    for event in old.events.pending():
        device = target.devices()[names[event.device]]
        new.events.schedule(event.due_ns - old.clock.now_ns(), device, event.event, event.data)
    for hart, other, native, other_native in zip(old.harts, new.harts, old._natives, new._natives, strict=True):
        assert hart.state == "started"
        other_native.start(hart.pc, 0)
        move_hart(hart, other, native)
        other_native.mtimecmp = native.mtimecmp


def move_hart(hart, other, native) -> None:
    other.privilege = hart.privilege
    for number in range(32):
        other.x[number] = hart.x[number]
        other.f_bits[number] = hart.f_bits[number]
    # mstatus last: writing floating-point state changes it.
    for name in sorted(CSR_NUMBERS, key=lambda name: name == "mstatus"):
        number = CSR_NUMBERS[name]
        if number >> 10 != 3 and native.read_csr(number) is not None:
            other.csr[name] = hart.csr[name]
