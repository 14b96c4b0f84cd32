"""Goldfish RTC, against the Android goldfish documentation."""

import pytest

from vm.devices.rtc import GoldfishRTC

TIME_LOW, TIME_HIGH, ALARM_LOW, ALARM_HIGH, IRQ_ENABLED, CLEAR_ALARM, ALARM_STATUS, CLEAR_INTERRUPT = range(0, 0x20, 4)


@pytest.fixture
def rtc(board):
    return board.connect(GoldfishRTC())


def set_alarm(rtc, ns):
    rtc.write(ALARM_HIGH, 4, ns >> 32)
    rtc.write(ALARM_LOW, 4, ns & 0xFFFF_FFFF)


def test_reading_the_low_half_latches_the_high_half(board, rtc):
    board.clock.set_epoch_ns(0x1_FFFF_FFFF)
    assert rtc.read(TIME_LOW, 4) == 0xFFFF_FFFF
    board.advance(ns=1)
    assert rtc.read(TIME_HIGH, 4) == 1
    assert rtc.read(TIME_LOW, 4) == 0
    assert rtc.read(TIME_HIGH, 4) == 2


def test_eight_byte_read_is_one_instant(board, rtc):
    board.clock.set_epoch_ns(1_700_000_000_123_456_789)
    assert rtc.read(TIME_LOW, 8) == 1_700_000_000_123_456_789


def test_time_is_set_as_linux_does_it(board, rtc):
    """High half, then low half."""
    now = 1_700_000_000_123_456_789
    rtc.write(TIME_HIGH, 4, now >> 32)
    rtc.write(TIME_LOW, 4, now & 0xFFFF_FFFF)
    assert board.clock.epoch_ns() == now
    board.advance(ns=11)
    assert rtc.read(TIME_LOW, 8) == now + 11


def test_alarm_raises_the_line_at_its_instant(board, rtc):
    rtc.write(IRQ_ENABLED, 4, 1)
    set_alarm(rtc, 5_000)
    board.advance(ns=4_999)
    assert not rtc.irq.level
    board.advance(ns=1)
    assert rtc.irq.level


def test_alarm_beyond_four_seconds(board, rtc):
    rtc.write(IRQ_ENABLED, 4, 1)
    set_alarm(rtc, 10_000_000_000)
    assert rtc.read(ALARM_LOW, 8) == 10_000_000_000
    board.advance(ns=9_999_999_999)
    assert not rtc.irq.level
    board.advance(ns=1)
    assert rtc.irq.level


def test_alarm_in_the_past_goes_off_at_once(board, rtc):
    board.advance(ns=100)
    rtc.write(IRQ_ENABLED, 4, 1)
    set_alarm(rtc, 100)
    assert rtc.irq.level
    assert rtc.read(ALARM_STATUS, 4) == 0


def test_status_shows_an_alarm_that_is_not_yet_due(board, rtc):
    assert rtc.read(ALARM_STATUS, 4) == 0
    set_alarm(rtc, 50)
    assert rtc.read(ALARM_STATUS, 4) == 1
    board.advance(ns=50)
    assert rtc.read(ALARM_STATUS, 4) == 0


def test_line_falls_on_the_acknowledge(board, rtc):
    rtc.write(IRQ_ENABLED, 4, 1)
    set_alarm(rtc, 10)
    board.advance(ns=10)
    rtc.write(CLEAR_INTERRUPT, 4, 1)
    assert not rtc.irq.level
    board.advance(ns=1_000)
    assert not rtc.irq.level


def test_alarm_taken_back_does_not_go_off(board, rtc):
    rtc.write(IRQ_ENABLED, 4, 1)
    set_alarm(rtc, 10)
    rtc.write(CLEAR_ALARM, 4, 1)
    board.advance(ns=1_000)
    assert not rtc.irq.level
    assert rtc.read(ALARM_STATUS, 4) == 0


def test_second_alarm_replaces_the_first(board, rtc):
    rtc.write(IRQ_ENABLED, 4, 1)
    set_alarm(rtc, 10)
    set_alarm(rtc, 20)
    board.advance(ns=19)
    assert not rtc.irq.level
    board.advance(ns=1)
    assert rtc.irq.level


def test_enable_gates_the_line_not_the_interrupt(board, rtc):
    set_alarm(rtc, 10)
    board.advance(ns=10)
    assert not rtc.irq.level
    rtc.write(IRQ_ENABLED, 4, 3)
    assert rtc.read(IRQ_ENABLED, 4) == 1
    assert rtc.irq.level
    rtc.write(IRQ_ENABLED, 4, 0)
    assert not rtc.irq.level


def test_alarm_follows_the_time_that_the_guest_sets(board, rtc):
    rtc.write(IRQ_ENABLED, 4, 1)
    set_alarm(rtc, 5_000)
    rtc.write(TIME_LOW, 4, 4_000)
    board.advance(ns=999)
    assert not rtc.irq.level
    board.advance(ns=1)
    assert rtc.irq.level


def test_alarm_at_the_end_of_time_is_only_armed(board, rtc):
    set_alarm(rtc, 0xFFFF_FFFF_FFFF_FFFF)
    assert rtc.read(ALARM_STATUS, 4) == 1
    assert board.events.queue[0][0] < 1 << 63


def test_reset_takes_everything_back(board, rtc):
    blank = rtc.save()
    rtc.write(IRQ_ENABLED, 4, 1)
    set_alarm(rtc, 10)
    board.advance(ns=10)
    set_alarm(rtc, 20)
    rtc.reset()
    board.advance(ns=100)
    assert not rtc.irq.level
    assert rtc.save() == blank


def test_loaded_into_a_fresh_one_they_are_equal(board, rtc):
    board.clock.set_epoch_ns(0x5_0000_0000)
    rtc.write(IRQ_ENABLED, 4, 1)
    rtc.read(TIME_LOW, 4)
    set_alarm(rtc, 0x5_0000_0000)
    set_alarm(rtc, 0x6_0000_0000)
    fresh = board.connect(GoldfishRTC())
    fresh.load(rtc.save())
    assert fresh.save() == rtc.save() == {
        "alarm": 0x6_0000_0000, "alarm_armed": True, "irq_enabled": 1, "irq_pending": True, "high_latch": 5,
        "irq": True}
