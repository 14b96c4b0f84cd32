"""The generation ID: 16 bytes that only the host changes, and an interrupt that tells of it."""

import pytest

import vm
from tests.assembler import assemble_elf
from vm.devices import GenerationId

ADDRESS, SOURCE = 0x1001_0000, 20


@pytest.fixture
def machine():
    with vm.Machine(memory="1M") as machine:
        machine.attach(GenerationId(identity=5), address=ADDRESS, irq=SOURCE)
        yield machine


def test_bytes_are_read_in_any_pieces_and_not_written(machine):
    device = machine.board.devices[f"generationid@{ADDRESS:x}"].device
    machine.load(assemble_elf("1: j 1b"))       # from here on devices are on the bus
    whole = b"".join(machine.memory.read(ADDRESS + offset, 4) for offset in range(0, 16, 4))
    assert whole == device.guid == b"".join(machine.memory.read(ADDRESS + offset, 8) for offset in (0, 8))
    machine.memory.write(ADDRESS, bytes(8))
    assert device.guid == whole


def test_binding(machine):
    """microsoft,vmgenid (Linux, Documentation/devicetree/bindings/rng): compatible, reg and an interrupt."""
    import fdt

    tree = fdt.parse_dtb(machine.board.device_tree())
    node = tree.get_node(f"/soc/rng@{ADDRESS:x}")
    assert node.get_property("compatible").value == "microsoft,vmgenid"
    assert node.get_property("reg").data[:2] == [0, ADDRESS]
    assert node.get_property("interrupts").data[0] == SOURCE


def test_another_identity_is_told_of_once(machine):
    plic = machine.board.plic
    device = machine.board.devices[f"generationid@{ADDRESS:x}"].device
    before = device.guid
    device.renew(6)
    assert device.guid != before and plic.pending >> SOURCE & 1
    assert GenerationId(identity=6).guid == device.guid


def test_refuses():
    with pytest.raises(vm.ConfigurationError, match="identity=-1"):
        GenerationId(identity=-1)
