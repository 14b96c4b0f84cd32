"""The packets that go between us and one debugger, and when it wants the machine to stop."""

from __future__ import annotations

import logging
import select
from collections import deque
from collections.abc import Callable

from vm.gdb.channels import Channel
from vm.gdb.packets import Mark, PacketReader, framed

MANY = 256                          # packets that wait for the end of a run; none has a right to come then
FIRST_BYTES = b"+-$\x03"            # of a debugger; a browser, which a page can send to our port, begins otherwise

log = logging.getLogger("vm.gdb")


class Link:
    """A connection. `stop` makes a running machine stop; it is called when the debugger wants that, or is gone.

    - lost: nothing more comes, or can be sent.
    - interrupted: the debugger has asked for a stop since the machine ran last.
    - running: whether the machine does, as the debugger knows.
    - spoken: a packet has come.
    """

    def __init__(self, channel: Channel, stop: Callable[[], None]):
        self.lost = False
        self.interrupted = False
        self.running = False
        self.spoken = False
        self.acknowledging = True
        self._channel = channel
        self._stop = stop
        self._reader = PacketReader()
        self._packets: deque[bytes | Mark] = deque()        # and interrupts between them
        self._begun = False
        self._last = b""            # what was sent, for when it is wanted again

    def fileno(self) -> int:
        return self._channel.fileno()

    def wants_input(self) -> bool:
        """Whether anything can come."""
        return not self.lost

    def on_readable(self) -> None:
        """Take what has come; `is_over` may have taken it already."""
        if self._has_input():
            self._take()

    def is_over(self) -> bool:
        """Whether the debugger is gone; what it has sent before is taken."""
        while self._has_input():
            self._take()
        return self.lost

    def _has_input(self) -> bool:
        return self.wants_input() and bool(select.select([self], [], [], 0)[0])

    def _take(self) -> None:
        data = self._channel.receive()
        if data and not self._begun and data[0] not in FIRST_BYTES:
            log.warning("gdb: hung up on somebody who does not speak the protocol of debuggers")
            data = b""
        self._begun = True
        if not data:
            self._lose()
        for found in self._reader.feed(data):
            if isinstance(found, bytes):
                self.spoken = True
                self._acknowledge(b"+")
                if not self.running or len(self._packets) < MANY:
                    self._packets.append(found)
            elif found is Mark.INTERRUPT:
                self._interrupt()
            elif found is Mark.REPEAT and self.acknowledging:
                self._send(self._last)
            elif found is Mark.DAMAGED and self.acknowledging:
                self._send(b"-")
            elif found is Mark.DAMAGED:
                self.send(b"E01")

    def next_packet(self) -> bytes | None:
        """The payload of the next packet that came, None where none waits. What is stopped is not interrupted."""
        while self._packets:
            packet = self._packets.popleft()
            if isinstance(packet, bytes):
                return packet
        return None

    def run_begins(self) -> None:
        """The machine is about to run: it stops at once where that has been asked for already."""
        self.running = True
        self.interrupted = Mark.INTERRUPT in self._packets
        if self.interrupted:
            self._packets.remove(Mark.INTERRUPT)
        if self.interrupted or self.lost:
            self._stop()

    def run_ended(self) -> None:
        self.running = False

    def send(self, payload: bytes) -> None:
        """Send a packet; it is lost where the debugger is."""
        self._last = framed(payload)
        self._send(self._last)

    def show(self, text: bytes) -> None:
        """Let the debugger show text to its user. It does where the machine runs, or a command of `monitor` does."""
        self.send(b"O" + text.hex().encode())

    def close(self) -> None:
        self.lost = True
        self._channel.close()

    def _interrupt(self) -> None:
        if self.running:
            self.interrupted = True
            self._stop()
        elif self._packets:             # one of which may let the machine run
            self._packets.append(Mark.INTERRUPT)

    def _acknowledge(self, mark: bytes) -> None:
        if self.acknowledging:
            self._send(mark)

    def _send(self, data: bytes) -> None:
        if self.lost or not data:
            return
        try:
            self._channel.send(data)
        except OSError:             # it is gone, or takes nothing
            self._lose()

    def _lose(self) -> None:
        self.lost = True
        if self.running:
            self._stop()
