"""A device of one's own on the board: where it may stand, and how the guest finds it."""

import re

import fdt
import pytest

import vm
from docs.examples.counter import Counter
from tests.guest import Guest
from vm.devices import ConsolePort, Entropy, VirtioConsole
from vm.devices.interrupt import MACHINE_TIMER


@pytest.fixture
def machine():
    with vm.Machine(memory="16M") as machine:
        yield machine


def test_guest_reaches_the_device_and_its_interrupt():
    guest = Guest("""
        li   t0, 0x10010000
        li   t1, 7
        sw   t1, 0(t0)          # the limit
        lw   a0, 4(t0)          # counts reads
        lw   a0, 4(t0)
        wfi
    """, devices=[(Counter(), 0x1001_0000, 20)])
    guest.finish()
    assert guest["a0"] == 2


def test_device_tree_names_it(machine):
    assert machine.attach(Counter(), 0x1001_0000, 20) == "counter@10010000"
    node = fdt.parse_dtb(machine.board.device_tree()).get_node("/soc/counter@10010000")
    assert node.get_property("compatible").data == ["example,counter"]
    assert node.get_property("reg").data == [0, 0x1001_0000, 0, 0x1000]
    assert node.get_property("interrupts").data == [20]


@pytest.mark.parametrize("address, irq, said", [
    (0x1000_1800, None, "virtio0 stands at 0x10001000"), (0x8000_0000, None, "RAM"), (0x1001_0004, None, "aligned"),
    (0x1001_0000, 10, "irq=10: that is uart's"), (0x1001_0000, 96, "interrupt sources 1 to 95"),
    (None, None, "Counter is no virtio device"),
])
def test_places_that_are_none(machine, address, irq, said):
    before = dict(machine.board.devices)
    with pytest.raises(vm.ConfigurationError, match=said):
        machine.attach(Counter(), address, irq)
    assert machine.board.devices == before


def test_device_is_attached_once(machine):
    counter = Counter()
    machine.attach(counter, 0x1001_0000)
    with pytest.raises(vm.ConfigurationError, match="this Counter is attached already"):
        machine.attach(counter, 0x1002_0000)
    with vm.Machine(memory="16M") as other, pytest.raises(vm.ConfigurationError, match="to another machine"):
        other.attach(counter, 0x1001_0000)


def test_what_is_no_device(machine):
    with pytest.raises(vm.ConfigurationError, match="Counter'> is no device"):
        machine.attach(Counter, 0x1001_0000)


def test_device_without_the_constructor_of_its_base_class(machine):
    class Hasty(Counter):
        def __init__(self):
            self.count = 0

    with pytest.raises(vm.ConfigurationError, match=r"Hasty: its __init__ must call super\(\).__init__\(\)"):
        machine.attach(Hasty(), 0x1001_0000)


class Timer(Counter):
    """A device whose binding wants more in the tree than every device has."""

    node_name = "timer"

    def tree_properties(self, context):
        return {"clock-frequency": 1_000_000, "phandle": context.phandle,
                "interrupts-extended": context.to_harts(MACHINE_TIMER)}

    def root_nodes(self, context):
        return {"watchdog": {"compatible": "example,watchdog", "timer": context.phandle}}


def test_device_says_what_its_node_holds():
    with vm.Machine(memory="16M", harts=2) as machine:
        machine.attach(Timer(), 0x1001_0000, 20)
        machine.attach(Counter(), 0x1002_0000)
        tree = fdt.parse_dtb(machine.board.device_tree())
    node = tree.get_node("/soc/timer@10010000")
    assert [prop.name for prop in node.props] == [
        "compatible", "reg", "interrupts", "interrupt-parent", "clock-frequency", "phandle", "interrupts-extended"]
    assert node.get_property("clock-frequency").data == [1_000_000]
    controllers = [tree.get_property("phandle", f"/cpus/cpu@{hart}/interrupt-controller").data[0] for hart in (0, 1)]
    assert node.get_property("interrupts-extended").data == [controllers[0], 7, controllers[1], 7]
    assert tree.get_property("timer", "/watchdog").data == node.get_property("phandle").data


def test_attribute_of_a_device_that_is_called_output_is_its_own(machine):
    class Valve(Counter):
        output = None

    valve = Valve()
    machine.attach(valve, 0x1001_0000)
    assert valve.output is None


def test_device_with_a_port_prints_on_the_console_and_is_typed_to(machine):
    class Teletype(ConsolePort, Counter):
        typed = b""

        def accept(self, data):
            self.typed += data

    teletype = Teletype()
    machine.attach(teletype, 0x1001_0000)
    teletype.output(b"hello")
    teletype.receive(b"abc")
    assert machine.console.text == "hello" and teletype.typed == b"abc"


@pytest.mark.parametrize("name", ["clock", "events", "memory", "irq"])
def test_attribute_that_the_board_would_replace_is_refused(machine, name):
    """What the base class gives every device; anything else of that name would be lost without a word."""
    class Ram(Counter):
        def __init__(self):
            super().__init__()
            setattr(self, name, bytearray(16))

    with pytest.raises(vm.ConfigurationError, match=f"Ram: `{name}` is the name of what the board gives"):
        machine.attach(Ram(), 0x1001_0000)


def test_device_shows_where_it_stands(machine):
    counter = Counter()
    assert repr(counter) == "<Counter>"
    machine.attach(counter, 0x1001_0000, 20)
    assert repr(counter) == "<Counter at 0x10010000, irq 20>"
    assert repr(machine.board.devices["counter@10010000"]) == "<Counter at 0x10010000, irq 20>"
    assert repr(machine.board.rom) == "<BootROM at 0x1000>"
    assert repr(machine.board).startswith("<Virt with RAM at 0x80000000..0x")


class Described(Counter):
    """A device that says anything of itself."""

    compatible = "example,described"

    def __init__(self, properties, roots=None):
        super().__init__()
        self.properties, self.roots = properties, roots or {}

    def tree_properties(self, context):
        return self.properties

    def root_nodes(self, context):
        return self.roots


@pytest.mark.parametrize("value", [1.5, -1, 1 << 32, [1, "x"], [], [1, 1.5], {}, "", "\0x", "\u00e4", ["x", None]])
def test_property_that_no_tree_holds_is_named_with_its_device(value):
    for device, method in ((Described({"depth": value}), "tree_properties"),
                           (Described({}, {"node": {"depth": value}}), "root_nodes")):
        with vm.Machine(memory="2M") as machine:
            machine.attach(device, 0x1001_0000)
            said = re.escape(f"<Described at 0x10010000>: its {method} gives depth={value!r}; a property is")
            with pytest.raises(vm.ConfigurationError, match=said):
                machine.board.device_tree()


@pytest.mark.parametrize("properties", [None, "text", {1: 2}, {"": 1}, {"a\0": 1}])
def test_properties_that_are_none_are_named_with_their_device(machine, properties):
    machine.attach(Described(properties), 0x1001_0000)
    with pytest.raises(vm.ConfigurationError, match="<Described at 0x10010000>: its tree_properties gives "):
        machine.board.device_tree()


@pytest.mark.parametrize("value", [0, 0xFFFF_FFFF, True, "text", ["a", "b"], [1, 2], b"", b"\0\1", None])
def test_property_that_a_tree_holds(machine, value):
    machine.attach(Described({"depth": value}), 0x1001_0000)
    assert fdt.parse_dtb(machine.board.device_tree()).get_node("/soc/described@10010000").exist_property("depth")


def test_more_virtio_devices_than_slots(machine):
    """They are in the device tree, at the end, and in forks and files at the same place with the same interrupt."""
    for _ in range(8):
        machine.attach(Entropy())
    assert "10009000" not in repr(fdt.parse_dtb(machine.board.device_tree()).get_node("/soc").nodes)
    assert machine.attach(VirtioConsole()) == "virtioconsole@10009000"
    node = fdt.parse_dtb(machine.board.device_tree()).get_node("/soc/virtio_mmio@10009000")
    assert node.get_property("compatible").data == ["virtio,mmio"]
    assert node.get_property("interrupts").data == [16]
    machine.load(bytes.fromhex("6f000000"), 0x8000_0000)
    machine.run(instructions=10)
    with machine.fork() as fork:
        placed = fork.board.devices["virtioconsole@10009000"]
        assert (placed.address, placed.irq, type(placed.device)) == (0x1000_9000, 16, VirtioConsole)
        assert fork._bus.read_device(0x1000_9008, 4) == 3
    with pytest.raises(vm.ConfigurationError, match="stays there"):
        machine.detach("virtioconsole@10009000")
    with pytest.raises(vm.ConfigurationError, match="there is room for more before a guest is loaded"):
        machine.attach(Entropy())


def test_of_further_places_a_boot_without_them_knows_nothing(machine):
    before = machine.board.device_tree()
    machine.attach(Entropy())
    assert machine.board.device_tree() == before
