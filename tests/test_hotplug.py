"""Devices that come and go between two runs: by the registers of a driver that these tests are, without a guest.

tests/boot/test_hotplug.py does it to Debian's drivers.
"""

import pytest

import vm
from docs.examples.counter import Counter
from tests.devices.virtio_driver import (
    ACKNOWLEDGE,
    CONFIG,
    DEVICE_ID,
    DRIVER,
    DRIVER_OK,
    FAILED,
    INTERRUPT_ACK,
    INTERRUPT_STATUS,
    NEEDS_RESET,
    QUEUE_NOTIFY,
    STATUS,
    WRITE,
    Driver,
)
from tests.guest import Guest
from vm.devices import BlockDevice, Entropy, Keyboard, Screen, VirtioConsole
from vm.devices.virtio import EmptySlot, VirtioDevice

SLOT, STRIDE = 0x1000_1000, 0x1000
PLIC_PENDING = 0xC00_1000
READ_SECTOR_0 = bytes(16)                   # the header of a request: IN, sector 0
IOERR = 1
PROGRAM = 0x8010_0000                       # the queues of a `Driver` are below
LOOP = bytes.fromhex("6f000000")            # j .


class Slot:
    """One slot as its guest reaches it, over the bus: what `Driver` asks of a bench."""

    def __init__(self, machine, number=0):
        self.machine = machine
        self.memory = machine.memory
        self.base = SLOT + number * STRIDE

    def connect(self, device):
        return self

    def read(self, offset, size):
        return self.machine._bus.read_device(self.base + offset, size)

    def write(self, offset, size, value):
        assert self.machine._bus.write_device(self.base + offset, size, value)


@pytest.fixture
def machine():
    """That has run, with nothing in its slots."""
    with vm.Machine(memory="2M") as machine:
        machine.load(LOOP, PROGRAM)
        machine.run(instructions=1)
        yield machine


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"first sector".ljust(512, b"\0") + bytes(7 * 512))
    return path


def requested(machine) -> list[int]:
    """The sources that are pending at the PLIC."""
    pending = machine._bus.read_device(PLIC_PENDING, 4)
    return [source for source in range(32) if pending >> source & 1]


def ids(machine) -> list[int]:
    return [Slot(machine, number).read(DEVICE_ID, 4) for number in range(8)]


def test_device_is_reached_in_the_slot_that_was_empty(machine):
    assert ids(machine) == [0] * 8
    assert machine.attach(Entropy()) == "virtio0"
    assert machine.attach(VirtioConsole(), 0x1000_4000) == "virtio3"
    assert ids(machine) == [4, 0, 0, 3, 0, 0, 0, 0]


def test_device_works_and_interrupts_as_one_that_was_there_before(machine, image):
    machine.attach(BlockDevice(image))
    driver = Driver(Slot(machine), None).start()
    status, data = driver.place(1), driver.place(512)
    driver.queues[0].offer([(*driver.place(READ_SECTOR_0), 0), (*data, WRITE), (*status, WRITE)])
    driver.notify()
    machine.run(seconds=0.001)
    assert machine.memory.read(data[0], 12) == b"first sector"
    assert requested(machine) == [1]


def test_guest_reaches_what_was_attached_after_it_had_looked():
    """A running guest's own loads: neither a translation nor a compiled block holds on to what stood there."""
    guest = Guest("""
        li   t0, 0x10001000
    look:
        lw   a0, 8(t0)
        addi a1, a1, 1
        beqz a0, look
        wfi
    """)
    guest.run(instructions=10_000)
    assert guest["a0"] == 0 and guest["a1"] > 1000
    guest.machine.attach(Entropy())
    guest.finish()
    assert guest["a0"] == 4


def test_a_keyboard_and_a_screen_go_from_one_machine_to_another(machine):
    """What is typed comes by the inputs of the one that has it."""
    keyboard, screen = Keyboard(), Screen()
    for device in (keyboard, screen):
        machine.attach(device)
    with machine.record() as recording:
        keyboard.press("KEY_A")
        screen.resize(800, 600)
    assert [(entry.source, len(entry.data)) for entry in recording.log.entries[1:-1]] == [
        ("virtio0", 16), ("virtio1", 4)]
    for device in (keyboard, screen):
        machine.detach(device)
    keyboard.press("KEY_A")
    assert keyboard.dropped == 2
    with vm.Machine(memory="2M") as other:
        assert other.attach(keyboard) == "virtio0"
        with other.record() as recording:
            keyboard.press("KEY_A")
        assert len(recording.log.entries) == 3          # START, the key, END
        other.detach(keyboard)
    assert machine.attach(keyboard) == "virtio0"


def test_detached_device_leaves_an_empty_slot_and_is_the_callers(machine, image):
    disk = BlockDevice(image)
    machine.attach(disk)
    assert machine.detach("virtio0") is disk
    assert ids(machine) == [0] * 8
    assert isinstance(machine.board.devices["virtio0"].device, EmptySlot)
    assert repr(disk) == "<BlockDevice>"
    machine.close()
    with vm.Machine(memory="2M") as other:      # the image is still open and locked, and the device of use
        other.attach(disk)
        other.load(LOOP, PROGRAM)
        assert Slot(other).read(CONFIG, 8) == 8


def test_device_is_detached_before_the_first_run_as_well():
    with vm.Machine(memory="2M") as machine:
        entropy = Entropy()
        machine.attach(entropy)
        machine.detach(entropy)
        machine.load(LOOP, PROGRAM)
        assert ids(machine) == [0] * 8


def test_detached_device_is_as_after_power_on(machine, image):
    """Nothing of the guest that had it goes to the next: no negotiation, no queue, no event, no line."""
    disk = BlockDevice(image)
    fresh = disk.save()
    machine.attach(disk)
    driver = Driver(Slot(machine), None).start()
    driver.queues[0].offer([(*driver.place(READ_SECTOR_0), 0), (*driver.place(513), WRITE)])
    driver.notify()
    disk.irq.raise_()
    assert [entry.device for entry in machine.events.pending()] == [disk]
    driver.set(STATUS, 0)
    assert machine.detach(disk).save() == fresh
    assert machine.events.pending() == []
    assert not machine.board.plic.levels
    machine.attach(disk)
    assert Slot(machine).read(STATUS, 4) == 0


def test_no_event_of_a_detached_device_comes(machine):
    """Whatever it has scheduled, its `reset` cancels or not."""
    class Late(Entropy):
        def on_event(self, event, data):
            raise AssertionError("it is gone")

    late = Late()
    machine.attach(late)
    for event in (1, 2):
        machine.events.schedule(1000, late, event)
    machine.events.schedule(1000, machine.board.rtc, 0)
    machine.detach(late)
    assert [entry.device for entry in machine.events.pending()] == [machine.board.rtc]


def test_console_that_is_detached_is_unplugged(machine):
    console = VirtioConsole()
    machine.attach(console)
    machine.detach(console)
    console.output(b"lost")
    console.receive(b"typed")
    assert machine.console.output == b"" and console.unread == 5
    machine.attach(console)
    console.output(b"heard")
    assert machine.console.output == b"heard"


@pytest.mark.parametrize("status", [DRIVER, DRIVER | DRIVER_OK, DRIVER | DRIVER_OK | NEEDS_RESET])
def test_device_that_a_driver_uses_stays(machine, status):
    """The refusal names the slot, the device, and what to do in the guest."""
    entropy = Entropy()
    machine.attach(entropy)
    entropy.status = ACKNOWLEDGE | status
    with pytest.raises(vm.ConfigurationError, match=(
            r"virtio0: the guest's driver uses <Entropy at 0x10001000, irq 1>; unbind it, in Linux by: "
            r"echo 10001000.virtio_mmio > /sys/bus/platform/drivers/virtio-mmio/unbind or pull it out "
            "with force=True")):
        machine.detach("virtio0")
    assert (ids(machine)[0], entropy.status) == (4, ACKNOWLEDGE | status)


@pytest.mark.parametrize("status", [0, ACKNOWLEDGE, ACKNOWLEDGE | DRIVER | FAILED])
def test_device_that_no_driver_uses_goes(machine, status):
    """Reset, noticed only, or given up (virtio 1.2, 2.1)."""
    entropy = Entropy()
    machine.attach(entropy)
    entropy.status = status
    machine.detach(entropy)
    assert (ids(machine)[0], Slot(machine).read(STATUS, 4)) == (0, 0)


def test_driver_of_a_pulled_device_hears_that_it_needs_a_reset(machine):
    """Virtio 1.2, 2.1.2: DEVICE_NEEDS_RESET, and an interrupt for a change of the configuration, which is zeros."""
    machine.attach(VirtioConsole(columns=132))
    driver = Driver(Slot(machine), None).start(queues=2)
    machine.detach("virtio0", force=True)
    assert driver.get(STATUS) & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK | NEEDS_RESET
    assert driver.get(INTERRUPT_STATUS) == 2 and requested(machine) == [1]
    assert driver.get(CONFIG, 2) == 0
    driver.notify()                             # is heard by nobody
    driver.set(INTERRUPT_ACK, 2)
    assert not machine.board.plic.levels
    driver.set(STATUS, 0)
    assert (driver.get(STATUS), driver.get(DEVICE_ID)) == (0, 0)


def test_requests_to_a_pulled_disk_fail(machine, image):
    """One that was under way, and one that comes later: each is answered, so that no guest waits for ever."""
    disk = BlockDevice(image)
    machine.attach(disk)
    driver = Driver(Slot(machine), None).start()
    answers = [driver.place(b"\xff"), driver.place(b"\xff")]
    driver.queues[0].offer([(*driver.place(READ_SECTOR_0), 0), (*driver.place(512), WRITE), (*answers[0], WRITE)])
    driver.notify()
    machine.detach(disk, force=True)
    assert machine.memory.read(answers[0][0], 1) == bytes((IOERR,))
    assert (driver.get(INTERRUPT_STATUS), driver.get(CONFIG, 8)) == (3, 0)      # used buffers, and no sectors left
    driver.queues[0].offer([(*driver.place(READ_SECTOR_0), 0), (*driver.place(512), WRITE), (*answers[1], WRITE)])
    driver.set(QUEUE_NOTIFY, 0)
    assert machine.memory.read(answers[1][0], 1) == bytes((IOERR,))
    assert machine.events.pending() == []


def test_slot_of_a_pulled_device_is_filled_when_its_driver_has_let_go(machine):
    entropy = Entropy()
    machine.attach(entropy)
    driver = Driver(Slot(machine), None).start()
    machine.detach(entropy, force=True)
    with pytest.raises(vm.ConfigurationError, match="virtio0: the guest's driver has not given up what was pulled"):
        machine.attach(entropy, SLOT)
    with pytest.raises(vm.ConfigurationError, match="virtio0 is an empty slot"):
        machine.detach("virtio0", force=True)
    others = [Entropy() for _ in range(7)]
    assert [machine.attach(other) for other in others] == [f"virtio{number}" for number in range(1, 8)]
    with pytest.raises(vm.ConfigurationError, match="all 8 slots are taken; free virtio0: unbind it, in Linux by"):
        machine.attach(entropy)
    driver.set(STATUS, 0)
    assert machine.attach(entropy) == "virtio0"


def test_reset_of_the_machine_frees_the_slot_of_a_pulled_device(machine):
    machine.attach(Entropy())
    Driver(Slot(machine), None).start()
    machine.detach("virtio0", force=True)
    machine.reset()
    assert machine.attach(Entropy()) == "virtio0"


def test_attached_device_outlives_a_reset_of_the_machine(machine):
    machine.attach(Entropy())
    machine.reset()
    assert ids(machine)[0] == 4


def test_machine_closes_what_is_attached_and_nothing_else(machine, image):
    disk, kept = BlockDevice(image, read_only=True), BlockDevice(image, read_only=True)
    machine.attach(disk)
    machine.attach(kept)
    machine.detach(kept)
    machine.close()
    with pytest.raises(vm.ConfigurationError, match="in use"):
        BlockDevice(image)
    kept.close()
    BlockDevice(image).close()


# --- Refused, and nothing has changed --------------------------------------------------------------------------------

def shape(machine):
    return dict(machine.board.devices), ids(machine)


@pytest.mark.parametrize("attach, said", [
    (lambda machine: machine.attach(Counter(), 0x1001_0000), "Counter at an address of its own is attached before"),
    (lambda machine: machine.attach(Entropy(), 0x1001_0000), "Entropy at an address of its own is attached before"),
    (lambda machine: machine.attach(Entropy(), SLOT, 2), "Entropy at an address of its own is attached before"),
    (lambda machine: machine.attach(Entropy(), irq=1), "Entropy at an address of its own is attached before"),
    (lambda machine: machine.attach(machine.board.devices["virtio1"].device), "attached already"),
    (lambda machine: machine.attach(machine.board.devices["virtio1"].device, SLOT), "attached already"),
    (lambda machine: machine.detach("virtio0"), "virtio0 is an empty slot: there is nothing to detach"),
    (lambda machine: machine.detach("virtio9"), "no device is called 'virtio9': there are rom, test, "),
    (lambda machine: machine.detach("uart"), "uart stands at an address of its own, and stays there"),
    (lambda machine: machine.detach(machine.board.plic, force=True), "plic stands at an address of its own"),
    (lambda machine: machine.detach(Entropy()), "<Entropy> is not attached to this machine"),
    (lambda machine: machine.detach(7), "7 is not attached to this machine"),
])
def test_what_cannot_be(machine, attach, said):
    machine.attach(Entropy(), SLOT + STRIDE)
    before = shape(machine)
    with pytest.raises(vm.ConfigurationError, match=said):
        attach(machine)
    assert shape(machine) == before


def test_ninth_device(machine):
    for _ in range(8):
        machine.attach(Entropy())
    before = shape(machine)
    ninth = Entropy()
    with pytest.raises(vm.ConfigurationError, match="taken; there is room for more before a guest is loaded$"):
        machine.attach(ninth)
    assert shape(machine) == before
    machine.detach("virtio5")
    assert machine.attach(ninth) == "virtio5"


def test_nothing_is_attached_to_a_bare_board_that_has_run():
    with vm.Machine(board="bare") as machine:
        machine.map(0x8000_0000, "64K")
        machine.load(LOOP, 0x8000_0000)
        for place in ((), (0x1000_0000,)):
            with pytest.raises(vm.ConfigurationError, match="Entropy at an address of its own is attached before"):
                machine.attach(Entropy(), *place)
        assert machine.board.devices == {}


def test_not_while_it_runs():
    """A callback asks for the end of the run, and who called `run` does it then."""
    with vm.Machine(memory="2M") as machine:
        entropy = Entropy()

        class Hook(Counter):
            def read_count(self):
                for change in (lambda: machine.attach(Entropy()), lambda: machine.detach(entropy)):
                    with pytest.raises(vm.MachineBusy):
                        change()
                machine.request_stop()
                return 0

        machine.attach(entropy)
        machine.attach(Hook(), 0x1001_0000)
        machine.load(bytes.fromhex("b7020110" "03a54200" "6f000000"), PROGRAM)    # lui, lw a0, 4(t0), j .
        before = shape(machine)
        assert machine.run(instructions=100).reason is vm.StopReason.REQUESTED
        assert shape(machine) == before
        machine.detach(entropy)


def test_device_whose_reset_fails_stays(machine):
    class Stuck(Entropy):
        stuck = False

        def reset(self):
            if self.stuck:
                raise OSError("stuck")
            super().reset()

    device = Stuck()
    machine.attach(device)
    device.stuck = True
    before = shape(machine)
    with pytest.raises(OSError, match="stuck"):
        machine.detach(device)
    assert shape(machine) == before
    device.stuck = False
    machine.detach(device)


def test_every_virtio_device_can_be_pulled(machine, image):
    """Under a driver that has just started it; what is left answers every register."""
    for device in (BlockDevice(image), Entropy(), VirtioConsole()):
        assert isinstance(device, VirtioDevice)
        name = machine.attach(device)
        driver = Driver(Slot(machine), None).start(queues=device.queue_count)
        machine.detach(device, force=True)
        for offset in range(0, 0x200, 4):
            driver.get(offset)
        driver.set(STATUS, 0)
        assert name == "virtio0" and driver.get(DEVICE_ID) == 0


def test_state_from_before_a_detach_is_refused_by_the_name_of_the_device(machine):
    machine.attach(Entropy())
    snapshot = machine.snapshot()
    machine.detach("virtio0")
    with pytest.raises(vm.SnapshotError, match=r"another shape: its devices: .*'virtio0'.*Entropy.*, here: \(\)"):
        machine.restore(snapshot)


def test_device_is_attached_to_one_of_two_forks_alone(machine):
    with machine.fork() as other:
        assert other.attach(Entropy()) == "virtio0"
        assert (ids(other), ids(machine)) == ([4] + [0] * 7, [0] * 8)
        assert machine.attach(VirtioConsole()) == "virtio0"
        assert (ids(other), ids(machine)) == ([4] + [0] * 7, [3] + [0] * 7)
