"""The base class: dispatch by offset, access sizes, interrupt line, saved state."""

import logging

import pytest

from vm.devices.base import Device, reads, writes
from vm.devices.interrupt import InterruptLine
from vm.errors import ConfigurationError, LoadError


class Sample(Device):
    state = ("word", "slots", "note")

    def __init__(self):
        self.slot_count = 2
        super().__init__()
        self.word = 0x4433_2211
        self.wide = 0x8877_6655_4433_2211
        self.slots = [0xA, 0xB]
        self.note = bytearray(b"note")
        self.log = []

    @reads(0x00)
    def read_word(self):
        return self.word

    @writes(0x00)
    def write_word(self, value):
        self.word = value

    @reads(0x08, width=8)
    def read_wide(self):
        return self.wide

    @writes(0x08, width=8, merge=True)
    def write_wide(self, value):
        self.wide = value

    @reads(0x10, count="slot_count")
    def read_slot(self, index):
        self.log.append(index)
        return self.slots[index]

    @writes(0x10, count="slot_count")
    def write_slot(self, index, value):
        self.slots[index] = value

    @reads(0x100, 0x110)
    def read_block(self, offset, size):
        return offset << 8 | size

    @writes(0x100, 0x110)
    def write_block(self, offset, size, value):
        self.log.append((offset, size, value))


@pytest.fixture
def device(board):
    return board.connect(Sample())


def test_register_of_its_own_width(device):
    device.write(0, 4, 0xDEAD_BEEF)
    assert device.read(0, 4) == 0xDEAD_BEEF


def test_narrow_read_extracts_its_lanes(device):
    assert [device.read(lane, 1) for lane in range(4)] == [0x11, 0x22, 0x33, 0x44]
    assert device.read(2, 2) == 0x4433


def test_narrow_write_zeroes_the_other_lanes(device):
    device.write(2, 2, 0x5555)
    assert device.word == 0x5555_0000


def test_narrow_write_keeps_the_other_lanes_of_a_merging_register(device):
    device.write(0x0C, 4, 0xCAFE_F00D)
    assert device.wide == 0xCAFE_F00D_4433_2211


def test_wide_read_covers_registers_lowest_first(device):
    assert device.read(0x10, 8) == 0xB_0000_000A
    assert device.log == [0, 1]


def test_wide_write_covers_registers(device):
    device.write(0x10, 8, 0x2222_2222_1111_1111)
    assert device.slots == [0x1111_1111, 0x2222_2222]


def test_wide_access_reaches_one_register_of_a_device_that_does_not_split(device):
    device.splits = False
    device.write(0x10, 8, 0x2222_2222_1111_1111)
    assert device.slots == [0x1111_1111, 0xB]
    assert device.read(0x10, 8) == 0x1111_1111


def test_repeated_registers_end_at_their_count(device):
    assert device.read(0x18, 4) == 0


def test_block_receives_offset_and_size(device):
    assert device.read(0x10F, 1) == 0x0F01
    device.write(0x104, 8, 7)
    assert device.log == [(4, 8, 7)]


def test_block_does_not_take_an_access_across_its_end(device):
    assert device.read(0x10C, 8) == 0


def test_unserved_access_reads_zero_and_is_logged_once(device, caplog):
    with caplog.at_level(logging.INFO, logger="vm.devices"):
        for _ in range(3):
            assert device.read(0x40, 4) == 0
            device.write(0x40, 4, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "Sample: no register for a 4-byte read at offset 0x40", "Sample: no register for a 4-byte write at offset 0x40"]


def test_scanning_guest_does_not_fill_the_log(device, caplog):
    with caplog.at_level(logging.INFO, logger="vm.devices"):
        for offset in range(0x1000, 0x4000, 4):
            device.read(offset, 4)
    assert len(caplog.records) == 256


def test_overriding_method_keeps_its_offset(board):
    class Changed(Sample):
        def read_word(self):
            return 99

    assert Changed().read(0, 4) == 99
    assert Sample().read(0, 4) == 0x4433_2211


def test_two_methods_for_one_register_are_refused():
    class Twice(Sample):
        @reads(0x14)
        def read_second_slot(self):
            return 0

    with pytest.raises(ConfigurationError, match="Twice: read_slot and read_second_slot both serve reads .* at 0x14;"):
        Twice()


def test_event_to_a_device_that_schedules_none_is_an_error(device):
    with pytest.raises(NotImplementedError, match="Sample"):
        device.on_event(0, 0)


def test_line_tells_its_sink_of_changes_and_of_each_drive_high():
    levels = []
    line = InterruptLine(levels.append)
    line.lower()
    line.raise_()
    line.set(True)
    line.set(1)
    line.lower()
    line.lower()
    assert levels == [True, True, True, False]


def test_reset_lowers_the_line(device):
    device.irq.raise_()
    device.reset()
    assert not device.irq.level


def test_saved_state_is_a_deep_copy(device):
    saved = device.save()
    device.slots[0] = 1
    device.note += b"!"
    assert saved == {"word": 0x4433_2211, "slots": [0xA, 0xB], "note": bytearray(b"note"), "irq": False}


def test_loaded_state_is_a_deep_copy(board, device):
    saved = device.save()
    device.load(saved)
    device.slots[0] = 1
    assert saved["slots"] == [0xA, 0xB]


def test_load_restores_the_line_without_moving_it(board, device):
    device.irq.raise_()
    levels = []
    fresh = board.connect(Sample(), irq=InterruptLine(levels.append))
    fresh.load(device.save())
    assert fresh.irq.level
    assert levels == []


def test_state_with_an_unknown_name_is_refused(device):
    with pytest.raises(LoadError, match="Sample.*extra"):
        device.load(device.save() | {"extra": 1})


def test_state_with_a_missing_name_is_refused(device):
    saved = device.save()
    del saved["word"]
    with pytest.raises(LoadError, match="Sample.*word"):
        device.load(saved)


def test_state_that_is_not_plain_data_is_refused(device):
    device.note = object()
    with pytest.raises(TypeError, match="object"):
        device.save()
