"""How small kernels use the two together: what interrupts come, in what order, and that they end.

Their handlers claim, look at LSR, read and write, complete; they do not read IIR. When the UART interrupts, the data
sheet says; which of it the PLIC passes on is as in QEMU (hw/intc/sifive_plic.c).
"""

import pytest

from vm.devices.plic import PLIC
from vm.devices.uart import UART

SOURCE, CONTEXT = 10, 1
DATA, IER, FCR, LSR = 0, 1, 2, 5
RECEIVED, IDLE = 0x01, 0x20
CLAIM = 0x20_0004 + 0x1000 * CONTEXT
SEIP = 9


class Kernel:
    """A driver with a queue to send from, one character an interrupt, and all that it received."""

    def __init__(self, board, fcr=0x07):
        self.board = board
        self.sent = bytearray()
        self.plic = board.connect(PLIC(board.harts))
        self.uart = UART(self.sent.extend)
        board.connect(self.uart, self.plic.line(SOURCE, self.uart.level_triggered))
        self.received = bytearray()
        self.to_send = bytearray()
        self.plic.write(4 * SOURCE, 4, 1)
        self.plic.write(0x2000 + 0x80 * CONTEXT, 4, 1 << SOURCE)
        self.uart.write(FCR, 1, fcr)
        self.uart.write(IER, 1, 0x03)

    @property
    def interrupted(self):
        return SEIP in self.board.harts[0].pending

    def claim(self):
        return self.plic.read(CLAIM, 4)

    def complete(self):
        self.plic.write(CLAIM, 4, SOURCE)

    def handle(self):
        while self.uart.read(LSR, 1) & RECEIVED:
            self.received.append(self.uart.read(DATA, 1))
        if self.to_send and self.uart.read(LSR, 1) & IDLE:
            self.uart.write(DATA, 1, self.to_send.pop(0))

    def serve(self, most=1000):
        """Take interrupts until there are none; how many."""
        for count in range(most):
            if not self.interrupted:
                return count
            assert self.claim() == SOURCE
            self.handle()
            self.complete()
        raise AssertionError("interrupts without end")


@pytest.fixture
def kernel(board):
    return Kernel(board)


def test_empty_transmitter_interrupts_once(kernel):
    assert kernel.serve() == 1


def test_each_character_sent_brings_one_interrupt(kernel):
    kernel.serve()
    kernel.to_send += b"hello"
    kernel.handle()
    assert kernel.serve() == 5
    assert kernel.sent == b"hello"


def test_received_byte_interrupts_while_the_transmitter_stays_empty(kernel):
    """The line is high and stays so; still the byte is heard of."""
    kernel.serve()
    for byte in b"typed":
        kernel.uart.receive(bytes((byte,)))
        assert kernel.interrupted
        kernel.serve()
    assert kernel.received == b"typed"


def test_byte_that_comes_between_claim_and_completion_is_not_lost(kernel):
    kernel.claim()
    kernel.handle()
    kernel.uart.receive(b"x")
    assert not kernel.interrupted
    kernel.complete()
    kernel.serve()
    assert kernel.received == b"x"


def test_more_than_the_fifo_arrives_whole(kernel):
    kernel.serve()
    data = bytes(range(256)) * 2
    kernel.uart.receive(data)
    kernel.serve()
    assert kernel.received == data


def test_handler_of_one_byte_an_interrupt_gets_all(board, kernel):
    """It reads one byte and completes; that more is there makes the next interrupt."""
    kernel.serve()
    kernel.uart.receive(b"several bytes")
    while kernel.interrupted:
        kernel.claim()
        kernel.received.append(kernel.uart.read(DATA, 1))
        kernel.complete()
        if kernel.received.endswith(b"bytes"):
            break
    assert kernel.received == b"several bytes"


def test_completing_before_the_device_is_served_is_no_loss(kernel):
    """As RTOS ports do that defer the work to a task: claim, complete, then read."""
    kernel.serve()
    kernel.uart.receive(b"ab")
    assert kernel.claim() == SOURCE
    kernel.complete()
    kernel.handle()
    kernel.serve()
    kernel.uart.receive(b"c")
    assert kernel.interrupted
    kernel.serve()
    assert kernel.received == b"abc"


def test_masking_at_the_device_while_a_task_works(kernel):
    """IER off in the handler, completed, on again when the task is done: what waits then interrupts."""
    kernel.serve()
    kernel.uart.receive(b"a")
    kernel.claim()
    kernel.uart.write(IER, 1, 0)
    kernel.complete()
    assert not kernel.interrupted
    kernel.uart.receive(b"b")
    assert not kernel.interrupted
    kernel.uart.write(IER, 1, 0x01)
    assert kernel.interrupted
    kernel.serve()
    assert kernel.received == b"ab"


def test_polling_needs_no_interrupt(board):
    kernel = Kernel(board)
    kernel.uart.write(IER, 1, 0)
    kernel.uart.receive(b"polled")
    kernel.handle()
    assert kernel.received == b"polled"
    kernel.to_send += b"out"
    for _ in range(3):
        kernel.handle()
    assert kernel.sent == b"out"


@pytest.mark.parametrize("fcr, trigger", [(0x47, 4), (0x87, 8), (0xC7, 14)])
def test_below_the_trigger_level_the_time_out_interrupts(board, fcr, trigger):
    kernel = Kernel(board, fcr)
    kernel.uart.write(IER, 1, 0x01)
    kernel.serve()
    kernel.uart.receive(b"ab")
    assert not kernel.interrupted
    board.advance(ns=4 * kernel.uart.character_ns())
    assert kernel.interrupted
    kernel.serve()
    kernel.uart.receive(bytes(trigger))
    assert kernel.interrupted
    kernel.serve()
    assert kernel.received == b"ab" + bytes(trigger)
