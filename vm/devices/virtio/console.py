"""Virtio console with one port.

Virtio 1.2, section 5.3. Queue 0 takes the buffers that input goes into, queue 1 what the guest prints; the
configuration space holds the size of the terminal (F_SIZE).
"""

import struct
from collections.abc import Callable

from vm.devices.port import ConsolePort, discard
from vm.devices.virtio.transport import VirtioDevice
from vm.errors import MalformedQueue

RECEIVE, TRANSMIT = 0, 1            # queues
F_SIZE = 0

CONFIG = struct.Struct("<HHII")     # columns, rows, number of ports and emergency write, which are not offered


class VirtioConsole(ConsolePort, VirtioDevice):
    """`output(data)` gets what the guest prints, `receive(data)` is the host's end of the other direction."""

    device_id = 3
    queue_count = 2
    state = VirtioDevice.state + ("input", "columns", "rows")
    setup = ("columns", "rows")
    unsaved = VirtioDevice.unsaved + ConsolePort.unsaved

    def __init__(self, output: Callable[[bytes], None] = discard, columns: int = 80, rows: int = 24):
        super().__init__()
        self.output = output
        self.input = bytearray()    # from the host, for which the driver has given no buffer yet
        self.columns = columns
        self.rows = rows

    @property
    def unread(self) -> int:
        return len(self.input)

    def take(self, size: int) -> bytes:
        taken = bytes(self.input[:size])
        del self.input[:size]
        return taken

    def accept(self, data: bytes) -> None:
        """The guest gets them as it makes buffers available."""
        self.input += data
        self.serve(RECEIVE)

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size now."""
        self.columns = columns
        self.rows = rows
        self.config_changed()

    def features(self) -> int:
        return 1 << F_SIZE

    def config(self) -> bytes:
        return CONFIG.pack(self.columns, self.rows, 0, 0)

    def handle(self, index: int) -> None:
        if index == RECEIVE:
            self._give_input()
        else:
            self._take_output()

    def _give_input(self) -> None:
        queue = self.queues[RECEIVE]
        while self.input and (chain := queue.next()):
            if chain.writable.size == 0:
                raise MalformedQueue("a buffer for input that cannot be written")
            taken = chain.writable.write(self.input[:chain.writable.size])
            del self.input[:taken]
            queue.push(chain, taken)

    def _take_output(self) -> None:
        queue = self.queues[TRANSMIT]
        for chain in queue.chains():
            for view in chain.readable.views():
                self.output(bytes(view))
            queue.push(chain, 0)
