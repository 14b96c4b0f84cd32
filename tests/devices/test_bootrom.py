"""Boot ROM: read-only bytes."""

import pytest

from vm.devices.bootrom import SIZE, BootROM
from vm.errors import ConfigurationError


@pytest.fixture
def rom(board):
    return board.connect(BootROM(bytes(range(1, 11))))


@pytest.mark.parametrize("offset, size, value", [
    (0, 1, 0x01), (1, 2, 0x0302), (4, 4, 0x0807_0605), (0, 8, 0x0807_0605_0403_0201), (3, 4, 0x0706_0504)])
def test_reads_are_little_endian(rom, offset, size, value):
    assert rom.read(offset, size) == value


def test_reads_zero_behind_its_data(rom):
    assert rom.read(8, 8) == 0x0A09
    assert rom.read(SIZE - 8, 8) == 0


def test_writes_are_ignored(rom):
    rom.write(0, 4, 0xFFFF_FFFF)
    assert rom.read(0, 4) == 0x0403_0201


def test_data_that_does_not_fit_is_refused():
    BootROM(bytes(SIZE))
    with pytest.raises(ConfigurationError, match="61441"):
        BootROM(bytes(SIZE + 1))


def test_loaded_into_a_fresh_one_they_are_equal(board, rom):
    fresh = board.connect(BootROM())
    fresh.load(rom.save())
    assert fresh.save() == rom.save()
    assert fresh.read(0, 2) == 0x0201
