"""NS16550A UART with 16-byte FIFOs, the board's serial console.

National Semiconductor PC16550D data sheet (June 1995); device-tree binding ns16550a; byte registers, one apart.

    0   RBR (read), THR (write); DLL while LCR.DLAB is set
    1   IER; DLM while LCR.DLAB is set
    2   IIR (read), FCR (write)
    3   LCR     4   MCR     5   LSR     6   MSR     7   SCR

Bytes leave at once: the transmitter is empty again when the write to THR is done, so one write makes one THRE
interrupt. Received bytes beyond the FIFO wait in the host's queue, and each takes the place of one that the guest has
read: the host never overruns the guest. Characters take time only for the receive time-out, four character times at
the rate set. Word length, parity and break are stored and have no effect. The modem inputs show a connected peer:
CTS, DSR and DCD on.
"""

from collections.abc import Callable
from typing import Any

from vm.devices.base import Device, TreeContext, reads, writes
from vm.devices.port import ConsolePort, discard

FIFO_SIZE = 16
TRIGGERS = (1, 4, 8, 14)            # FCR bits 6-7: bytes in the FIFO that make a receive interrupt
TIMEOUT = 0                         # event: nothing was received or read for four character times

IER_RECEIVE, IER_TRANSMIT, IER_LINE, IER_MODEM = 0x01, 0x02, 0x04, 0x08
IIR_NONE, IIR_LINE, IIR_RECEIVE, IIR_TIMEOUT, IIR_TRANSMIT, IIR_MODEM = 0x01, 0x06, 0x04, 0x0C, 0x02, 0x00
IIR_FIFOS = 0xC0
FCR_ENABLE, FCR_CLEAR_RECEIVER = 0x01, 0x02
LCR_DLAB = 0x80
MCR_LOOP = 0x10
LSR_DATA, LSR_OVERRUN, LSR_IDLE = 0x01, 0x02, 0x60     # idle: THRE and TEMT
MSR_RING, MSR_PEER = 0x40, 0xB0                        # peer: CTS, DSR, DCD
BYTES = [bytes((value,)) for value in range(256)]


class UART(ConsolePort, Device):
    """`output(data)` gets what the guest sends, as it sends it; `receive(data)` is the host's way in."""

    compatible = "ns16550a"
    node_name = "serial"
    size = 0x100
    width = 1
    splits = False
    level_triggered = False
    clock_frequency = 3_686_400     # Hz, of the baud rate generator
    state = ("divisor", "ier", "lcr", "mcr", "scr", "overrun", "modem_changes", "fifo_enabled", "trigger", "fifo",
             "queue", "transmit_pending", "timeout_armed", "timed_out")
    unsaved = Device.unsaved + ConsolePort.unsaved

    def __init__(self, output: Callable[[bytes], None] = discard):
        super().__init__()
        self.output = output
        self.queue = bytearray()    # from the host, behind the FIFO
        self.timeout_armed = False
        self.reset()

    def reset(self) -> None:
        """Master reset of the data sheet. What the host has sent and the guest not yet received stays in the queue."""
        self._disarm()
        self.divisor = 12           # undefined after a reset; as on QEMU
        self.ier = 0
        self.lcr = 0
        self.mcr = 0
        self.scr = 0
        self.overrun = False
        self.modem_changes = 0      # the delta bits of MSR
        self.fifo_enabled = False
        self.trigger = 1
        self.fifo = bytearray()
        self.transmit_pending = False
        self.timed_out = False
        super().reset()
        self._fill()

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        return {"clock-frequency": self.clock_frequency}

    def accept(self, data: bytes) -> None:
        """The guest gets them as it reads."""
        self.changed()
        self.queue += data
        if self._fill():
            self._rearm()
        self._drive()

    @property
    def unread(self) -> int:
        return len(self.fifo) + len(self.queue)

    def take(self, size: int) -> bytes:
        """At most `size` received bytes for somebody on the board's side, as the firmware's console is."""
        taken = self.fifo[:size]
        del self.fifo[:size]
        from_queue = size - len(taken)
        taken += self.queue[:from_queue]
        del self.queue[:from_queue]             # in constant time, as the FIFO's: a bytearray moves where it begins
        if taken:
            self.changed()
            self.timed_out = False
            self._fill()
            self._rearm()
            self._drive()
        return bytes(taken)

    def on_event(self, event: int, data: int) -> None:
        self.timeout_armed = False
        self.timed_out = True
        self._drive()

    # --- Receiver ----------------------------------------------------------------------------------------------------

    def _fill(self) -> bool:
        """Move what fits from the host's queue into the FIFO; whether anything did. Loop-back disconnects the line."""
        room = (FIFO_SIZE if self.fifo_enabled else 1) - len(self.fifo)
        if room <= 0 or not self.queue or self.mcr & MCR_LOOP:
            return False
        self.fifo += self.queue[:room]
        del self.queue[:room]
        return True

    def _loop_back(self, byte: int) -> None:
        self.changed()
        if not self.fifo_enabled:
            self.overrun |= len(self.fifo) == 1
            self.fifo[:] = (byte,)              # without FIFOs the new character destroys the old one
        elif len(self.fifo) < FIFO_SIZE:
            self.fifo.append(byte)
        else:
            self.overrun = True                 # with them the new one is lost
        self._rearm()

    def _rearm(self) -> None:
        """Start the receive time-out anew. It runs while the FIFO holds something; once over, only a read ends it."""
        self._disarm()
        if self.fifo_enabled and self.fifo and not self.timed_out:
            self.timeout_armed = True
            self.events.schedule(4 * self.character_ns(), self, TIMEOUT)

    def _disarm(self) -> None:
        if self.timeout_armed:
            self.events.cancel(self, TIMEOUT)
            self.timeout_armed = False

    def character_ns(self) -> int:
        """How long a character takes on the line, in nanoseconds: start, data, parity and stop bits at the rate set."""
        bits = 1 + 5 + (self.lcr & 3) + (self.lcr >> 3 & 1) + 1 + (self.lcr >> 2 & 1)
        return bits * 16 * max(self.divisor, 1) * 10**9 // self.clock_frequency

    # --- Interrupts --------------------------------------------------------------------------------------------------

    def _cause(self) -> int:
        """The pending interrupt of highest priority, as IIR shows it."""
        if self.ier & IER_LINE and self.overrun:
            return IIR_LINE
        if self.ier & IER_RECEIVE:
            if len(self.fifo) >= self.trigger:
                return IIR_RECEIVE
            if self.timed_out:
                return IIR_TIMEOUT
        if self.ier & IER_TRANSMIT and self.transmit_pending:
            return IIR_TRANSMIT
        if self.ier & IER_MODEM and self.modem_changes:
            return IIR_MODEM
        return IIR_NONE

    def _drive(self) -> None:
        if self.ier or self.irq.level:          # else the line stays low: guests that poll enable nothing
            self.irq.set(self._cause() != IIR_NONE)

    # --- Registers ---------------------------------------------------------------------------------------------------

    @reads(0)
    def read_rbr(self) -> int:
        if self.lcr & LCR_DLAB:
            return self.divisor & 0xFF
        if not self.fifo:
            return 0
        byte = self.fifo.pop(0)
        self.timed_out = False
        self._fill()
        self._rearm()
        self._drive()
        return byte

    @writes(0, steady=True)         # of the steady registers none shows what was sent, but of what came back
    def write_thr(self, value: int) -> None:
        if self.lcr & LCR_DLAB:
            self.divisor = self.divisor & 0xFF00 | value
            return
        if self.mcr & MCR_LOOP:
            self._loop_back(value)
        else:
            self.output(BYTES[value])
        self.transmit_pending = True            # taken back by the write, and pending again as THR is empty at once
        self._drive()

    @reads(1)
    def read_ier(self) -> int:
        return self.divisor >> 8 if self.lcr & LCR_DLAB else self.ier

    @writes(1)
    def write_ier(self, value: int) -> None:
        if self.lcr & LCR_DLAB:
            self.divisor = self.divisor & 0xFF | value << 8
            return
        if value & ~self.ier & IER_TRANSMIT:
            self.transmit_pending = True        # enabling the interrupt while THR is empty raises it
        self.ier = value & 0x0F
        self._drive()

    @reads(2)
    def read_iir(self) -> int:
        cause = self._cause()
        if cause == IIR_TRANSMIT:
            self.transmit_pending = False
            self._drive()
        return cause | (IIR_FIFOS if self.fifo_enabled else 0)

    @writes(2)
    def write_fcr(self, value: int) -> None:
        enable = bool(value & FCR_ENABLE)
        if enable is not self.fifo_enabled or (enable and value & FCR_CLEAR_RECEIVER):
            self.fifo.clear()
            self.timed_out = False
            self._disarm()
        self.fifo_enabled = enable
        self.trigger = TRIGGERS[value >> 6] if enable else 1
        if self._fill():
            self._rearm()
        self._drive()

    @reads(3)
    def read_lcr(self) -> int:
        return self.lcr

    @writes(3)
    def write_lcr(self, value: int) -> None:
        self.lcr = value

    @reads(4)
    def read_mcr(self) -> int:
        return self.mcr

    @writes(4)
    def write_mcr(self, value: int) -> None:
        before = self._modem_inputs()
        self.mcr = value & 0x1F
        after = self._modem_inputs()
        rose_or_fell = (before ^ after) & ~MSR_RING
        rang = before & ~after & MSR_RING       # of the ring indicator only the end counts
        self.modem_changes |= (rose_or_fell | rang) >> 4
        if self._fill():
            self._rearm()
        self._drive()

    @reads(5, steady=True)
    def read_lsr(self) -> int:
        status = LSR_IDLE | (LSR_DATA if self.fifo else 0) | (LSR_OVERRUN if self.overrun else 0)
        if self.overrun:
            self.overrun = False
            self._drive()
            self.changed()
        return status

    @reads(6)
    def read_msr(self) -> int:
        status = self._modem_inputs() | self.modem_changes
        self.modem_changes = 0
        self._drive()
        return status

    @reads(7)
    def read_scr(self) -> int:
        return self.scr

    @writes(7)
    def write_scr(self, value: int) -> None:
        self.scr = value

    def _modem_inputs(self) -> int:
        """Bits 4-7 of MSR. In loop-back CTS, DSR, RI and DCD are RTS, DTR, OUT1 and OUT2."""
        if not self.mcr & MCR_LOOP:
            return MSR_PEER
        return (self.mcr & 2) << 3 | (self.mcr & 1) << 5 | (self.mcr & 0x0C) << 4
