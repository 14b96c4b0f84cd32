"""State is declared once: every attribute of what a machine is made of is named by its class, and a run shows it."""

import pytest

import vm
from tests.assembler import assemble_elf
from tests.state import fixed, left_over, of_the_package, save, stateful_parts, uncovered
from vm.devices import (
    APLIC,
    IMSIC,
    PLIC,
    Balloon,
    BlockDevice,
    ComputeDevice,
    Device,
    Entropy,
    GenerationId,
    InterruptLine,
    Keyboard,
    Network,
    Screen,
    SharedFolder,
    Tablet,
    VirtioConsole,
    Vsock,
    reads,
    writes,
)
from vm.devices.virtio import EmptySlot, VirtioDevice
from vm.devices.virtio.block import PulledDisk
from vm.devices.virtio.input import InputDevice
from vm.disks.state import DiskState
from vm.errors import ConfigurationError, SnapshotError
from vm.state import Stateful

# Behind stores to every device. Entropy is virtio0, with one buffer to fill.
END = """
    la   t0, tohost             # a key is wanted: device 1, command 0
    li   a0, 1 << 56
    sd   a0, 0(t0)
1:  j    1b

    .data
    .balign 4096
descriptors:
    .dword buffer
    .word  16
    .half  2, 0
    .zero  240
available:
    .half  0, 1, 0
    .zero  64
    .balign 4
used:
    .zero  256
buffer:
    .zero  16
    .global tohost, fromhost
    .balign 8
tohost:
    .dword 0
fromhost:
    .dword 0
"""
STORES = (
    (0x0C00_0028, 3), (0x0C00_002C, 1), (0x0C00_2000, 0xC06), (0x0C20_0000, 1),         # PLIC
    (0x1000_0002, 0x41), (0x1000_0003, 0x1B), (0x1000_0001, 0x0F), (0x1000_0007, 5),    # UART: FIFOs, format, ...
    (0x1000_0000, ord("x")), (0x1000_0004, 0x10), (0x1000_0000, ord("y")),              # prints, then to itself
    (0x0010_1010, 1), (0x0010_100C, 0x7FFF_FFFF), (0x0010_1008, 5),                     # RTC: an alarm, far away
    (0x0200_0000, 1), (0x0200_4000, 0xFFFF_FFFF), (0x0200_4004, 0x7FFF_FFFF), (0x0200_BFF8, 1),     # CLINT
    (0x1000_1070, 3), (0x1000_1024, 1), (0x1000_1020, 1), (0x1000_1070, 0xB),           # virtio0: version 1
    (0x1000_1038, 8), (0x1000_1080, "descriptors"), (0x1000_1090, "available"), (0x1000_10A0, "used"),
    (0x1000_1044, 1), (0x1000_1070, 0xF), (0x1000_1050, 0),
    (0x1000_2070, 1), (0x1000_2030, 1),                                                 # virtio1: a console
    (0x1000_3070, 1), (0x1000_3030, 1),                                                 # virtio2: a disk
    (0x1000_5070, 1), (0x1000_5070, 3), (0x1000_5104, 1),                               # virtio4: a screen
    (0x1000_6070, 1), (0x1000_6100, 0x0211),                                            # virtio5: a keyboard
    (0x1000_7070, 1), (0x1000_7100, 0x11),                                              # virtio6: a tablet
    (0x1000_8070, 1), (0x1000_8030, 7),                                                 # nobody's slot
)


def store(address: int, value: int | str) -> str:
    """Instructions; the UART has registers of a byte, all others one of four."""
    return (f"li a0, {address}; {'la' if isinstance(value, str) else 'li'} a1, {value}; "
            f"{'sb' if address >> 12 == 0x1_0000 else 'sw'} a1, (a0)")


def build(tmp_path) -> vm.Machine:
    """A machine with every device there is, and the guest that writes to each."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4096))
    machine = vm.Machine(memory="2M", harts=2)
    for device in (Entropy(seed=7), VirtioConsole(columns=100), BlockDevice(image, read_only=True), Network(),
                   Vsock(), Balloon(), Screen(), Keyboard(), Tablet(), SharedFolder(tmp_path), ComputeDevice()):
        machine.attach(device)
    machine.load(assemble_elf("\n".join(store(*one) for one in STORES) + END))
    return machine


@pytest.fixture
def machine(tmp_path):
    with build(tmp_path) as one:
        yield one


@pytest.fixture
def fresh(tmp_path):
    with build(tmp_path) as another:
        yield another


def run(machine: vm.Machine) -> None:
    machine.console.send("typed")
    assert machine.run(instructions=20_000).reason is vm.StopReason.BUDGET


def kinds(base: type) -> set[type]:
    """Those of the package, whatever tests have made."""
    return {kind for child in base.__subclasses__() for kind in (child, *kinds(child))
            if kind.__module__.startswith("vm.")}


def test_every_class_with_state_is_here(machine):
    """What is walked below is all there is."""
    machine._runner.watch(machine._runner._htif)
    # Bases, what is there where nothing is or after a disk was pulled out, and what has a test of its own
    elsewhere = {Device, VirtioDevice, InputDevice, EmptySlot, PulledDisk, GenerationId, APLIC, IMSIC}
    assert {type(part) for part in stateful_parts(machine).values()} == kinds(Stateful) - elsewhere


def test_every_object_with_state_is_here(machine):
    run(machine)
    found = {id(one) for one in of_the_package(machine) if isinstance(one, Stateful)}
    assert found == {id(part) for part in stateful_parts(machine).values()}


def test_going_back_brings_back_what_follows_from_the_state(machine):
    """And all else that is plain data, wherever the machine keeps it."""
    changed, not_back = left_over(machine, lambda: run(machine))
    assert changed >= {("InterruptLine", "level"), ("PLIC", "_at"), ("UART", "fifo"), ("Queue", "used")}
    assert not_back == set()


def test_every_attribute_is_named(machine):
    """Before and behind a run, which adds none that nobody has named."""
    for _ in range(2):
        assert {name: missing for name, part in stateful_parts(machine).items() if (missing := uncovered(part))} == {}
        run(machine)


@pytest.mark.parametrize("aia", ["aplic", "aplic-imsic"])
def test_every_attribute_of_advanced_controllers_is_named(aia):
    with vm.Machine(memory="1M", aia=aia) as machine:
        kinds_here = {type(part) for part in stateful_parts(machine).values()}
        assert kinds_here & {APLIC, IMSIC, PLIC} == ({APLIC, IMSIC} if aia == "aplic-imsic" else {APLIC})
        assert {name: missing for name, part in stateful_parts(machine).items() if (missing := uncovered(part))} == {}


def test_a_run_changes_state_alone(machine):
    before = {name: fixed(part) for name, part in stateful_parts(machine).items()}
    at_start = save(machine)
    run(machine)
    assert {name: fixed(part) for name, part in stateful_parts(machine).items()} == before
    now = save(machine)
    changed = {name for name in now if now[name] != at_start[name]}
    assert changed >= {"clock", "events", "console", "htif", "uart", "rtc", "clint", "plic", "virtio0",
                       "virtio0.queues[0]", "virtio1", "virtio2", "virtio4", "virtio5", "virtio6", "virtio7"}


class Forgetful(Device):
    """Counts what it is asked, and says nothing of it."""

    setup = ("limit",)

    def __init__(self, limit=5):
        super().__init__()
        self.limit = limit

    @reads(0x0)
    def read_limit(self):
        self.asked = getattr(self, "asked", 0) + 1
        return self.limit

    @writes(0x0)
    def write_limit(self, value):
        self.limit = value


def test_an_attribute_that_nobody_has_named_is_found():
    device = Forgetful()
    assert uncovered(device) == set()
    device.read(0, 4)
    assert uncovered(device) == {"asked"}


def test_a_setting_that_changes_is_found():
    device = Forgetful()
    before = fixed(device)
    device.write(0, 4, 6)
    assert fixed(device) != before


# --- Saved, compared, loaded ------------------------------------------------------------------------------------------

def test_loaded_state_is_what_was_saved(machine, fresh):
    run(machine)
    saved = save(machine)
    parts = stateful_parts(fresh)
    assert {name for name, part in parts.items() if part.differs(saved[name])} >= {"clock", "plic", "uart", "console"}
    for name, part in parts.items():
        part.load(saved[name])
    assert save(fresh) == saved
    assert not any(part.differs(saved[name]) for name, part in parts.items())


def test_what_follows_from_the_state_follows_from_the_loaded_one(machine, fresh):
    """The PLIC's order of priorities, and the levels of its lines."""
    run(machine)
    fresh.board.plic.load(machine.board.plic.save())
    for name in ("_at", "_above"):
        assert getattr(fresh.board.plic, name) == getattr(machine.board.plic, name)
    assert fresh.board.uart.irq.level is machine.board.uart.irq.level is True


def test_saved_state_is_plain_data(machine):
    """All the way down, of exactly these types: what a file can hold."""
    def look(value):
        if isinstance(value, DiskState):            # a value of its own, which a file asks for its plain data
            value = value.plain()
        if type(value) is dict:
            value = [*value.keys(), *value.values()]
        if type(value) in (list, tuple):
            for item in value:
                look(item)
        else:
            assert type(value) in (type(None), bool, int, float, str, bytes), value

    run(machine)
    look(save(machine))


def test_loading_does_not_share_what_changes(machine):
    run(machine)
    plic = machine.board.plic
    saved = plic.save()
    plic.load(saved)
    plic.write(0x28, 4, 7)
    assert saved["priorities"][10] == 3
    assert plic.differs(saved)


class Odd(Stateful):
    state = ("value",)

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize("value, said", [
    (object(), "Odd.value: object cannot be part of a saved state"),
    ([{1}], "Odd.value: set cannot"),
    ([bytearray()], "Odd.value: a bytearray inside a list"),
])  # fmt: skip
def test_what_is_no_plain_data_is_refused(value, said):
    with pytest.raises(SnapshotError, match=said):
        Odd(value).save()


def test_enumerations_are_saved_as_numbers():
    saved = Odd([vm.devices.virtio.block.Type.FLUSH]).save()
    assert saved == {"value": [4]}
    assert type(saved["value"][0]) is int


def test_a_buffer_stays_one():
    thing = Odd(bytearray(b"one"))
    saved = thing.save()
    assert type(saved["value"]) is bytes
    thing.value += b"more"
    thing.load(saved)
    assert thing.value == bytearray(b"one")
    assert type(thing.value) is bytearray


def test_state_of_another_version_is_refused():
    thing = Odd(1)
    for saved in ({}, {"value": 2, "more": 3}):
        with pytest.raises(SnapshotError, match="Odd does not fit this version: (value|more) missing or unknown"):
            thing.load(saved)
    assert thing.value == 1


# --- Twins ------------------------------------------------------------------------------------------------------------

def test_a_twin_is_made_of_the_same_arguments(machine):
    for device in (machine.board.devices[f"virtio{slot}"].device for slot in range(2)):
        twin = device.twin()
        assert type(twin) is type(device)
        assert fixed(twin) == fixed(device)
        with pytest.raises(AttributeError):
            twin.clock                              # nobody has attached it  # noqa: B018
    assert machine.board.devices["virtio0"].device.twin().seed == 7
    assert machine.board.devices["virtio1"].device.twin().columns == 100


def test_a_twin_takes_the_state(machine):
    run(machine)
    for name in ("virtio0", "virtio1", "virtio3", "virtio4", "virtio5", "virtio6", "virtio7", "tablet@10009000",
                 "sharedfolder@1000a000", "uart", "rtc"):
        device = machine.board.devices[name].device
        twin = device.twin()
        twin.connect(clock=machine.clock, events=machine.events, memory=machine.memory, irq=InterruptLine())
        twin.load(device.save())
        assert not twin.differs(device.save())


class Unnamed(Device):
    def __init__(self, rate, depth=3):
        super().__init__()
        self.rate = rate


class Collecting(Device):
    def __init__(self, **options):
        super().__init__()


class Misnamed(Device):
    setup = ("rate", "speed")

    def __init__(self, rate=1):
        super().__init__()
        self.rate = self.speed = rate


@pytest.mark.parametrize("device, said", [
    (Unnamed(1), "Unnamed: .* does not name the argument 'rate' of its constructor: .* setup = \\('rate',\\)"),
    (Collecting(), "Collecting: .* 'options'"),
    (Misnamed(), "Misnamed: `setup` names 'speed', which its constructor does not take"),
])  # fmt: skip
def test_a_device_that_does_not_say_how_it_is_made_has_no_twin(device, said):
    with pytest.raises(ConfigurationError, match=said):
        device.twin()


def test_devices_wired_by_the_board_have_no_twin(machine):
    """The board of another machine makes its own."""
    for name in ("clint", "plic", "test"):
        with pytest.raises(ConfigurationError, match="no other can be made like it"):
            machine.board.devices[name].device.twin()
