"""CLINT, in the layout of the SiFive FU540 manual."""

import pytest

from vm.devices.clint import CLINT
from vm.errors import ConfigurationError

MSIP, MTIMECMP, MTIME = 0x0, 0x4000, 0xBFF8


@pytest.fixture
def clint(board):
    return board.connect(CLINT(board.harts))


def test_msip_drives_the_pin_of_its_hart(board, clint):
    clint.write(MSIP + 4, 4, 1)
    assert (board.harts[0].pending, board.harts[1].pending) == (set(), {3})
    clint.write(MSIP + 4, 4, 0)
    assert board.harts[1].pending == set()


def test_msip_has_one_bit(clint):
    clint.write(MSIP, 4, 0xFFFF_FFFF)
    assert clint.read(MSIP, 4) == 1
    clint.write(MSIP, 4, 0xFFFF_FFFE)
    assert clint.read(MSIP, 4) == 0


def test_mtimecmp_is_the_harts(board, clint):
    clint.write(MTIMECMP + 8, 8, 0x1_0000_0002)
    assert [hart.mtimecmp for hart in board.harts] == [0, 0x1_0000_0002]
    board.harts[0].mtimecmp = 77
    assert clint.read(MTIMECMP, 8) == 77


def test_mtimecmp_in_halves(board, clint):
    """The sequence of the privileged specification for RV32: high half all ones, low, high."""
    clint.write(MTIMECMP + 4, 4, 0xFFFF_FFFF)
    clint.write(MTIMECMP, 4, 0x1234)
    assert board.harts[0].mtimecmp == 0xFFFF_FFFF_0000_1234
    clint.write(MTIMECMP + 4, 4, 0x5)
    assert board.harts[0].mtimecmp == 0x5_0000_1234
    assert (clint.read(MTIMECMP, 4), clint.read(MTIMECMP + 4, 4)) == (0x1234, 0x5)


def test_mtime_counts_at_ten_megahertz(board, clint):
    board.advance(ns=1_000_099)
    assert clint.read(MTIME, 8) == 10_000


def test_mtime_is_writable(board, clint):
    board.advance(ns=500)
    clint.write(MTIME, 8, 1_000)
    board.advance(ns=100)
    assert clint.read(MTIME, 8) == 1_001


def test_mtime_in_halves(clint):
    clint.write(MTIME, 4, 9)
    clint.write(MTIME + 4, 4, 2)
    assert (clint.read(MTIME, 4), clint.read(MTIME + 4, 4)) == (9, 2)


def test_nothing_for_harts_that_are_not_there(clint):
    clint.write(MSIP + 8, 4, 1)
    clint.write(MTIMECMP + 16, 8, 1)
    assert clint.read(MSIP + 8, 4) == 0
    assert clint.read(MTIMECMP + 16, 8) == 0


def test_too_many_harts_are_refused(board):
    with pytest.raises(ConfigurationError, match="4095"):
        CLINT(board.harts[:1] * 4096)


def test_reset_lowers_software_interrupts(board, clint):
    clint.write(MSIP, 4, 1)
    clint.reset()
    assert board.harts[0].pending == set()
    assert clint.read(MSIP, 4) == 0


def test_reset_makes_every_timer_due(board, clint):
    """As on QEMU, where MTIP is pending from the start."""
    clint.write(MTIMECMP + 8, 8, 77)
    clint.reset()
    assert [hart.mtimecmp for hart in board.harts] == [0, 0]


def test_loaded_into_a_fresh_one_they_are_equal(board, clint):
    clint.write(MSIP + 4, 4, 1)
    fresh = board.connect(CLINT(board.harts))
    changes = len(board.harts[1].changes)
    fresh.load(clint.save())
    assert fresh.save() == clint.save() == {"msip": [0, 1], "irq": False}
    assert len(board.harts[1].changes) == changes
