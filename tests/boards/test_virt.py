"""The memory map and the wiring of the board.

Addresses and interrupt numbers are QEMU's; test_device_tree.py compares them with the tree that QEMU makes.
"""

import pytest

from vm import Machine
from vm.devices import Entropy
from vm.errors import ConfigurationError
from vm.stop import StopReason

DEVICE_ID = 0x008


def test_memory_map(board):
    assert {name: placed.address for name, placed in board.devices.items()} == {
        "rom": 0x1000, "test": 0x10_0000, "rtc": 0x10_1000, "clint": 0x200_0000, "plic": 0xC00_0000,
        "uart": 0x1000_0000,
        **{f"virtio{slot}": 0x1000_1000 + 0x1000 * slot for slot in range(8)},
    }
    assert (board.ram.base, board.ram.size) == (0x8000_0000, 512 << 20)


def test_devices_do_not_overlap(board):
    places = [(placed.address, placed.address + placed.device.size) for placed in board.devices.values()]
    assert places == sorted(places)
    assert all(end <= start for (_, end), (start, _) in zip(places, places[1:], strict=False))


@pytest.mark.parametrize("name, source", [("uart", 10), ("rtc", 11), ("virtio0", 1), ("virtio7", 8)])
def test_interrupt_lines_end_at_the_plic(board, name, source):
    placed = board.devices[name]
    placed.device.irq.raise_()
    assert placed.irq == source
    assert board.plic.read(0x1000, 4) == 1 << source


def test_slots_are_empty_at_first(board):
    assert [board.devices[f"virtio{slot}"].device.read(DEVICE_ID, 4) for slot in range(8)] == [0] * 8


def test_attach_takes_the_next_free_slot(board):
    first, second = Entropy(), Entropy()
    assert (board.attach(first), board.attach(second)) == ("virtio0", "virtio1")
    assert board.devices["virtio1"].device is second
    assert board.devices["virtio1"].address == 0x1000_2000
    second.irq.raise_()
    assert board.plic.read(0x1000, 4) == 1 << 2


def test_attach_keeps_the_order_of_devices(board):
    names = list(board.devices)
    board.attach(Entropy())
    assert list(board.devices) == names


@pytest.mark.parametrize("irq", [None, 8])
def test_virtio_device_in_a_slot_of_choice(board, irq):
    """QEMU fills its slots from the last, unless it is told which: there are guests that look there only."""
    disk, other = Entropy(), Entropy()
    assert board.place(disk, 0x1000_8000, irq) == "virtio7"
    assert (board.devices["virtio7"].device, board.devices["virtio7"].irq) == (disk, 8)
    assert board.attach(other) == "virtio0"
    with pytest.raises(ConfigurationError, match="virtio7 stands at 0x10008000"):
        board.place(Entropy(), 0x1000_8000)
    with pytest.raises(ConfigurationError, match="virtio6 stands at 0x10007000"):
        board.place(Entropy(), 0x1000_7000, 20)


def test_ninth_device_is_refused(board):
    for _ in range(8):
        board.attach(Entropy())
    with pytest.raises(ConfigurationError, match="all 8 slots are taken"):
        board.attach(Entropy())


def test_further_devices_stand_where_qemu_has_nothing(board):
    """From 0x1000_9000 and interrupt 16 on: 12 to 31 are nobody's on QEMU's board."""
    for _ in range(8):
        board.attach(Entropy(), further=True)
    assert len(board.devices) == 14
    further = [board.attach(Entropy(), further=True) for _ in range(16)]
    places = [board.devices[name] for name in further]
    assert [place.address for place in places] == [0x1000_9000 + 0x1000 * number for number in range(16)]
    assert [place.irq for place in places] == [*range(16, 32)]
    assert further[0] == "entropy@10009000"
    places[-1].device.irq.raise_()
    assert board.plic.read(0x1000, 4) == 1 << 31
    with pytest.raises(ConfigurationError, match="no room for another virtio device: all 8 slots are taken$"):
        board.attach(Entropy(), further=True)


def test_further_devices_leave_room_to_what_is_there(board):
    board.place(Entropy(), 0x1000_A800)
    board.place(Entropy(), 0x1001_8000, 18)
    for _ in range(8):
        board.attach(Entropy())
    further = [board.attach(Entropy(), further=True) for _ in range(2)]
    assert [(board.devices[name].address, board.devices[name].irq) for name in further] == [
        (0x1000_9000, 16), (0x1000_C000, 19)]


def test_a_device_is_attached_once(board):
    entropy = Entropy()
    board.attach(entropy)
    with pytest.raises(ConfigurationError, match="already"):
        board.attach(entropy)


def test_reset_vector_is_in_the_boot_rom(board):
    board.set_reset_vector(0x8000_0000, 0x8FE0_0000, 0x8020_0000)
    rom = board.devices["rom"].device
    assert rom.read(0, 4) == 0x297
    assert (rom.read(0x18, 8), rom.read(0x20, 8), rom.read(0x38, 8)) == (0x8000_0000, 0x8FE0_0000, 0x8020_0000)


def test_requests_of_the_test_device_are_passed_on(board):
    board.devices["test"].device.write(0, 4, 0x5555)
    assert board.requests == [(StopReason.POWER_OFF, 0)]


def test_reset_resets_all_devices(board):
    board.devices["uart"].device.irq.raise_()
    board.plic.write(4 * 10, 4, 7)
    board.reset()
    assert not board.devices["uart"].device.irq.level
    assert board.plic.read(4 * 10, 4) == 0


@pytest.mark.parametrize("options, message", [
    ({"aia": "plic"}, "aia='plic': there is 'none', 'aplic', 'aplic-imsic'"),
    ({"aia": "aplic", "board": "bare"}, "aia='aplic': a bare board has no interrupt controller"),
])
def test_controllers_that_cannot_be_had(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Machine(**options)


def test_harts_have_what_their_controllers_need():
    with Machine(memory="1M", isa="rv64ima", aia="aplic") as machine:
        assert {"Smaia", "Ssaia"} <= machine.isa.extensions
        assert "plic" not in machine.board.devices and {"aplic_m", "aplic_s"} <= machine.board.devices.keys()
