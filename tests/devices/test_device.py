"""The base class: dispatch by offset, access sizes, interrupt line, saved state."""

import logging

import numpy
import pytest

import vm
from tests.assembler import assemble_elf
from vm.devices.base import Device, reads, writes
from vm.devices.interrupt import InterruptLine
from vm.errors import ConfigurationError, SnapshotError


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
    with pytest.raises(SnapshotError, match="Sample.*extra"):
        device.load(device.save() | {"extra": 1})


def test_state_with_a_missing_name_is_refused(device):
    saved = device.save()
    del saved["word"]
    with pytest.raises(SnapshotError, match="Sample.*word"):
        device.load(saved)


def test_state_that_is_not_plain_data_is_refused(device):
    device.note = object()
    with pytest.raises(SnapshotError, match="Sample.note: object cannot be"):
        device.save()


class Odd(Device):
    """A register that reads as whatever it is given, of four bytes at 0 and of eight at 8."""

    value: object = None

    @reads(0x0)
    def read_word(self):
        return self.value

    @reads(0x8, width=8)
    def read_wide(self):
        return self.value


@pytest.fixture
def odd():
    """A device on a machine, and how a guest reads it: odd(value, offset, size)."""
    device = Odd()
    with vm.Machine(memory="2M") as machine:
        machine.attach(device, 0x1001_0000)
        machine.load(assemble_elf("lw a1, 0(a0); wfi; half: lhu a1, 0(a0); wfi; wide: ld a1, 0(a0); wfi"))
        hart = machine.harts[0]

        def read(value, offset=0, label=None):
            device.value = value
            hart.pc = machine.program.symbols[label].address if label else 0x8000_0000
            hart["a0"] = 0x1001_0000 + offset
            machine.run(instructions=10)
            return hart["a1"]

        yield read


@pytest.mark.parametrize("value, error", [
    (-1, ValueError), (1 << 32, ValueError), (1 << 64, ValueError), (None, TypeError), ("x", TypeError),
    (1.5, TypeError), (1.0, TypeError),
])  # fmt: skip
@pytest.mark.parametrize("label", [None, "half"])
def test_register_that_returns_no_number_that_fits_is_named(odd, value, error, label):
    """Also where the access is narrower and the register is taken apart."""
    said = f"^Odd: the read of 4 bytes at offset 0x0 returned {value!r}, which is no whole number from 0 to 0xffffffff$"
    with pytest.raises(error, match=said):
        odd(value, 0, label)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_register_of_eight_bytes_holds_no_more(odd, value):
    with pytest.raises(ValueError, match="at offset 0x8 returned .* from 0 to 0xffffffffffffffff"):
        odd(value, 8, "wide")


@pytest.mark.parametrize("value, read", [(True, 1), (numpy.uint32(7), 7), ((1 << 32) - 1, (1 << 64) - 1)])
def test_whole_numbers_of_any_type_are_taken(odd, value, read):
    assert odd(value) == read


def test_access_that_was_refused_is_repeated(odd):
    with pytest.raises(TypeError):
        odd(None)
    assert odd(5) == 5
