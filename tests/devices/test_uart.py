"""UART, against the PC16550D data sheet."""

import tracemalloc

import pytest

from vm.devices.uart import UART

RBR = THR = DLL = 0
IER = DLM = 1
IIR = FCR = 2
LCR, MCR, LSR, MSR, SCR = 3, 4, 5, 6, 7

CHARACTER = 10 * 16 * 2 * 10**9 // 3_686_400        # ns at 115200 baud, 8N1


class Wire:
    """What came out of the UART."""

    def __init__(self):
        self.data = b""

    def __call__(self, data):
        self.data += data


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def uart(board, wire):
    """As after a master reset."""
    return board.connect(UART(wire))


@pytest.fixture
def line(uart):
    """115200 8N1, FIFOs on, trigger level 8, receive interrupt on."""
    uart.write(LCR, 1, 0x83)
    uart.write(DLL, 1, 2)
    uart.write(DLM, 1, 0)
    uart.write(LCR, 1, 0x03)
    uart.write(FCR, 1, 0x81)
    uart.write(IER, 1, 0x01)
    return uart


def drain(uart):
    data = bytearray()
    while uart.read(LSR, 1) & 1:
        data.append(uart.read(RBR, 1))
    return bytes(data)


def test_registers_after_reset(uart):
    assert [uart.read(offset, 1) for offset in (IER, IIR, LCR, MCR, LSR)] == [0, 0x01, 0, 0, 0x60]


def test_sends_at_once_and_is_idle_again(uart, wire):
    for byte in b"hello":
        uart.write(THR, 1, byte)
        assert uart.read(LSR, 1) == 0x60
    assert wire.data == b"hello"


def test_wide_store_to_thr_sends_one_byte(uart, wire):
    """As on QEMU, where bare-metal programs use `sw`."""
    uart.write(IER, 1, 0x05)
    uart.write(THR, 4, ord("x"))
    assert wire.data == b"x"
    assert uart.read(IER, 1) == 0x05


def test_without_output_bytes_are_discarded(board):
    uart = board.connect(UART())
    uart.write(THR, 1, 1)
    assert uart.read(LSR, 1) == 0x60


def test_divisor_latch_stands_in_front_of_data_and_ier(uart, wire):
    uart.write(IER, 1, 0x05)
    uart.write(LCR, 1, 0x80)
    uart.write(DLL, 1, 0x34)
    uart.write(DLM, 1, 0x12)
    assert (uart.read(DLL, 1), uart.read(DLM, 1)) == (0x34, 0x12)
    uart.write(LCR, 1, 0x03)
    assert uart.read(IER, 1) == 0x05
    assert wire.data == b""


def test_scratch_register(uart):
    uart.write(SCR, 1, 0xA5)
    assert uart.read(SCR, 1) == 0xA5


def test_ier_and_mcr_have_the_bits_of_a_16550(uart):
    uart.write(IER, 1, 0xFF)
    uart.write(MCR, 1, 0xFF)
    assert (uart.read(IER, 1), uart.read(MCR, 1)) == (0x0F, 0x1F)


def test_linux_detects_a_16550a(uart):
    """The steps of autoconfig() in Linux' 8250_port.c: IER test, loop-back test, FIFO test, no EFR, no 64-byte FIFO."""
    for value in (0x00, 0x0F):
        uart.write(IER, 1, value)
        assert uart.read(IER, 1) & 0x0F == value
    uart.write(IER, 1, 0)
    uart.write(MCR, 1, 0x10 | 0x0A)
    assert uart.read(MSR, 1) & 0xF0 == 0x90
    uart.write(MCR, 1, 0)
    uart.write(LCR, 1, 0xBF)
    uart.write(FCR, 1, 0)
    uart.write(LCR, 1, 0)
    uart.write(FCR, 1, 0x01)
    assert uart.read(IIR, 1) >> 6 == 3
    uart.write(LCR, 1, 0xBF)
    assert uart.read(IIR, 1) != 0                       # an EFR would read as zero
    for lcr in (0x00, 0x80):
        uart.write(LCR, 1, 0)
        uart.write(FCR, 1, 0x01)
        uart.write(LCR, 1, lcr)
        uart.write(FCR, 1, 0x21)
        assert uart.read(IIR, 1) >> 5 == 6              # 7 would be a 16750
    uart.write(LCR, 1, 0)
    uart.write(IER, 1, 0x40)
    assert uart.read(IER, 1) == 0                       # bit 6 would be an XScale


def test_transmit_interrupt_comes_when_enabled_on_an_empty_thr(uart):
    uart.write(IER, 1, 0x02)
    assert uart.irq.level
    assert uart.read(IIR, 1) == 0x02


def test_transmit_interrupt_goes_on_reading_iir(uart):
    uart.write(IER, 1, 0x02)
    uart.read(IIR, 1)
    assert not uart.irq.level
    assert uart.read(IIR, 1) == 0x01


def test_transmit_interrupt_comes_again_after_each_write(uart):
    uart.write(IER, 1, 0x02)
    uart.read(IIR, 1)
    uart.write(THR, 1, 0)
    assert uart.irq.level


def test_transmit_interrupt_does_not_come_again_by_enabling_it_twice(uart):
    uart.write(IER, 1, 0x02)
    uart.read(IIR, 1)
    uart.write(IER, 1, 0x03)
    assert not uart.irq.level


def test_iir_read_for_another_cause_keeps_the_transmit_interrupt(uart):
    uart.write(IER, 1, 0x03)
    uart.receive(b"a")
    assert uart.read(IIR, 1) == 0x04
    uart.read(RBR, 1)
    assert uart.read(IIR, 1) == 0x02


def test_receives_one_byte_at_a_time_without_fifos(uart):
    uart.write(IER, 1, 0x01)
    uart.receive(b"ab")
    assert uart.irq.level
    assert uart.read(IIR, 1) == 0x04
    assert uart.read(LSR, 1) == 0x61
    assert uart.read(RBR, 1) == ord("a")
    assert uart.irq.level
    assert uart.read(RBR, 1) == ord("b")
    assert not uart.irq.level
    assert uart.read(LSR, 1) == 0x60


@pytest.mark.parametrize("fcr, trigger", [(0x01, 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
def test_receive_interrupt_at_the_trigger_level(line, fcr, trigger):
    line.write(FCR, 1, fcr)
    line.receive(bytes(trigger - 1))
    assert not line.irq.level
    line.receive(b"x")
    assert line.irq.level
    assert line.read(IIR, 1) == 0xC4
    line.read(RBR, 1)
    assert not line.irq.level


def test_time_out_after_four_characters(board, line):
    line.receive(b"abc")
    board.advance(ns=4 * CHARACTER - 1)
    assert not line.irq.level
    board.advance(ns=1)
    assert line.irq.level
    assert line.read(IIR, 1) == 0xCC


def test_time_out_starts_anew_with_each_character(board, line):
    line.receive(b"a")
    board.advance(ns=3 * CHARACTER)
    line.receive(b"b")
    board.advance(ns=3 * CHARACTER)
    assert not line.irq.level
    board.advance(ns=CHARACTER)
    assert line.irq.level


def test_time_out_goes_on_a_read_and_comes_again_for_the_rest(board, line):
    line.receive(b"ab")
    board.advance(ns=4 * CHARACTER)
    line.read(RBR, 1)
    assert not line.irq.level
    board.advance(ns=4 * CHARACTER)
    assert line.irq.level


def test_time_out_stays_when_another_character_comes(board, line):
    line.receive(b"a")
    board.advance(ns=4 * CHARACTER)
    line.receive(b"b")
    assert line.read(IIR, 1) == 0xCC


def test_no_time_out_for_an_empty_fifo(board, line):
    line.receive(b"a")
    line.read(RBR, 1)
    board.advance(ns=100 * CHARACTER)
    assert not line.irq.level
    assert board.events.queue == []


def test_no_time_out_without_fifos(board, uart):
    uart.receive(b"a")
    board.advance(ns=10**9)
    uart.write(IER, 1, 0x01)
    assert uart.read(IIR, 1) == 0x04


def test_host_input_waits_behind_the_fifo_and_never_overruns(line):
    data = bytes(range(256)) * 4
    line.receive(data)
    assert drain(line) == data
    assert line.read(LSR, 1) == 0x60


def test_taking_a_byte_copies_no_more_than_that(line):
    """As firmware's console reads: a loop over a long queue is linear."""
    line.receive(bytes(1 << 20))
    tracemalloc.start()
    try:
        assert line.take(1) == b"\0"
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 15, 16, 17, 40, 100])
def test_taken_in_the_order_received(line, size):
    data = bytes(range(40))
    line.receive(data)
    taken = b""
    while part := line.take(size):
        taken += part
    assert taken == data
    assert line.read(LSR, 1) == 0x60


def test_taking_all_ends_the_time_out(board, line):
    line.receive(b"abc")
    board.advance(ns=4 * CHARACTER)
    assert line.take(10) == b"abc"
    assert not line.irq.level
    assert board.events.queue == []


def test_clearing_the_receive_fifo_loses_what_is_in_it(line):
    line.receive(b"0123456789abcdef" + b"next")
    line.write(FCR, 1, 0x83)
    assert drain(line) == b"next"


def test_clearing_the_receive_fifo_ends_its_interrupt(board, line):
    line.receive(b"0123456789")
    line.write(FCR, 1, 0x83)
    assert not line.irq.level
    board.advance(ns=10 * CHARACTER)
    assert not line.irq.level


def test_turning_the_fifos_off_clears_them(line):
    line.receive(b"abc")
    line.write(FCR, 1, 0x00)
    assert line.read(LSR, 1) == 0x60
    assert line.read(IIR, 1) == 0x01


def test_fcr_bits_count_only_with_the_enable_bit(uart):
    uart.receive(b"a")
    uart.write(FCR, 1, 0xC2)
    assert uart.read(LSR, 1) == 0x61
    assert uart.read(IIR, 1) == 0x01


def test_empty_receiver_reads_as_zero(uart):
    assert uart.read(RBR, 1) == 0


def test_loop_back_returns_what_is_sent(line, wire):
    line.write(MCR, 1, 0x10)
    for byte in b"loop":
        line.write(THR, 1, byte)
    assert drain(line) == b"loop"
    assert wire.data == b""


def test_loop_back_holds_host_input_until_it_ends(uart):
    uart.write(MCR, 1, 0x10)
    uart.receive(b"h")
    assert uart.read(LSR, 1) == 0x60
    uart.write(MCR, 1, 0x00)
    assert uart.read(RBR, 1) == ord("h")


def test_overrun_of_the_fifo_loses_the_new_character(line):
    line.write(IER, 1, 0x04)
    line.write(MCR, 1, 0x10)
    for byte in range(17):
        line.write(THR, 1, byte)
    assert line.read(IIR, 1) == 0xC6
    assert line.read(LSR, 1) == 0x63
    assert not line.irq.level
    assert drain(line) == bytes(range(16))


def test_overrun_without_fifos_loses_the_old_character(uart):
    uart.write(MCR, 1, 0x10)
    uart.write(THR, 1, 1)
    uart.write(THR, 1, 2)
    assert uart.read(LSR, 1) == 0x63
    assert uart.read(LSR, 1) == 0x61
    assert uart.read(RBR, 1) == 2


@pytest.mark.parametrize("mcr, inputs", [(0x11, 0x20), (0x12, 0x10), (0x14, 0x40), (0x18, 0x80), (0x0F, 0xB0)])
def test_modem_inputs(uart, mcr, inputs):
    """In loop-back DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD; otherwise a peer is connected."""
    uart.write(MCR, 1, mcr)
    assert uart.read(MSR, 1) & 0xF0 == inputs


def test_modem_changes_are_shown_once_and_interrupt(uart):
    uart.write(MCR, 1, 0x10)
    uart.read(MSR, 1)
    uart.write(IER, 1, 0x08)
    uart.write(MCR, 1, 0x12)
    assert uart.irq.level
    assert uart.read(IIR, 1) == 0x00
    assert uart.read(MSR, 1) == 0x11
    assert not uart.irq.level
    assert uart.read(MSR, 1) == 0x10


def test_only_the_end_of_a_ring_is_a_change(uart):
    uart.write(MCR, 1, 0x10)
    uart.read(MSR, 1)
    uart.write(MCR, 1, 0x14)
    assert uart.read(MSR, 1) == 0x40
    uart.write(MCR, 1, 0x10)
    assert uart.read(MSR, 1) == 0x04


def test_interrupt_causes_by_priority(board, line):
    line.write(MCR, 1, 0x10)
    for byte in range(17):
        line.write(THR, 1, byte)
    line.write(IER, 1, 0x0F)
    causes = [line.read(IIR, 1)]
    line.read(LSR, 1)
    causes.append(line.read(IIR, 1))
    for _ in range(15):
        line.read(RBR, 1)
    board.advance(ns=4 * CHARACTER)
    causes.append(line.read(IIR, 1))
    line.read(RBR, 1)
    causes += [line.read(IIR, 1), line.read(IIR, 1)]
    line.read(MSR, 1)
    causes.append(line.read(IIR, 1))
    assert causes == [0xC6, 0xC4, 0xCC, 0xC2, 0xC0, 0xC1]


def test_write_whose_output_fails_has_not_happened(board):
    """DESIGN section 3: an exception in a callback leaves the access not done, and resuming repeats it."""
    def broken(data):
        raise OSError("no terminal")

    uart = board.connect(UART(broken))
    before = uart.save()
    with pytest.raises(OSError, match="no terminal"):
        uart.write(THR, 1, 1)
    assert uart.save() == before


def test_reset_keeps_host_input_only(board, line):
    line.receive(bytes(20))
    line.write(IER, 1, 0x0F)
    line.reset()
    assert [line.read(offset, 1) for offset in (IER, IIR, LCR, MCR)] == [0, 0x01, 0, 0]
    assert not line.irq.level
    assert drain(line) == bytes(4)
    assert board.events.queue == []


def test_loaded_into_a_fresh_one_they_are_equal(board, line):
    line.write(IER, 1, 0x03)
    line.write(SCR, 1, 0x5A)
    line.receive(b"0123456789abcdef and more")
    line.read(RBR, 1)
    fresh = board.connect(UART())
    fresh.load(line.save())
    assert fresh.save() == line.save()
    assert fresh.irq.level
    assert drain(fresh) == drain(line)
