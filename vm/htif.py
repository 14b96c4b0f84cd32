"""The host-target interface of Spike and riscv-tests: a program exits and prints by storing to its `tohost` word.

A command is 64 bits: device in the top byte, command in the next, 48 bits of payload (fesvr's device list).
    device 0, command 0: payload odd: exit with code payload >> 1; else the address of a system call's eight words
    device 1, command 1: print the low byte
A store of eight bytes is a command. Of two stores of four, one half alone means nothing yet: the command is complete
when any second one follows, or nothing has followed for a while.
"""

from __future__ import annotations

from collections.abc import Callable

from vm.events import EventQueue
from vm.memory import Memory
from vm.stop import Request, StopReason

GRACE_NS = 10_000
SYSTEM_CALL, CONSOLE = 0, 1
EXIT_CALL, WRITE_CALL = 93, 64
ENOSYS, EBADF = 38, 9


class Htif:
    """Watches one `tohost` word. `on_request` hears the end of the program, EXIT, and `output` what it prints."""

    def __init__(self, memory: Memory, events: EventQueue, tohost: int, fromhost: int | None,
                 output: Callable[[bytes], None], on_request: Request):
        self._memory = memory
        self._events = events
        self.tohost = tohost
        self.fromhost = fromhost
        self._output = output
        self._on_request = on_request
        self._half_written = False

    def stored(self, size: int) -> None:
        """The guest has stored `size` bytes in the word."""
        if size < 8 and not self._half_written:
            self._half_written = True
            self._events.schedule(GRACE_NS, self, 0)
            return
        self._events.cancel(self, 0)
        self._events.schedule(0, self, 0)       # served at once; one whose output raises stays in the queue

    def on_event(self, event: int, data: int) -> None:
        """Nothing followed the first half."""
        self._serve()

    def _serve(self) -> None:
        self._half_written = False
        command = int.from_bytes(self._memory.read(self.tohost, 8), "little")
        if command == 0:
            return
        device, operation, payload = command >> 56, command >> 48 & 0xFF, command & (1 << 48) - 1
        if device == CONSOLE and operation == 1:
            self._output(bytes([payload & 0xFF]))
            self._answer(CONSOLE << 56 | 1 << 48)
        elif device == SYSTEM_CALL and operation == 0 and payload & 1:
            self._clear()
            self._on_request(StopReason.EXIT, payload >> 1)
        elif device == SYSTEM_CALL and operation == 0:
            self._system_call(payload)
        else:
            self._clear()

    def _system_call(self, address: int) -> None:
        """Eight 64-bit words: number, arguments; the result replaces the first."""
        words = [int.from_bytes(self._memory.read(address + 8 * i, 8), "little") for i in range(4)]
        number, descriptor, buffer, size = words
        if number == WRITE_CALL and descriptor in (1, 2):
            self._output(self._memory.read(buffer, size))
            result = size
        elif number == WRITE_CALL:
            result = -EBADF
        elif number == EXIT_CALL:
            self._clear()
            self._on_request(StopReason.EXIT, descriptor & 0xFF)
            return
        else:
            result = -ENOSYS
        self._memory.write(address, (result % (1 << 64)).to_bytes(8, "little"))
        self._answer(1)

    def _clear(self) -> None:
        self._memory.write(self.tohost, bytes(8))

    def _answer(self, value: int) -> None:
        self._clear()
        if self.fromhost is not None:
            self._memory.write(self.fromhost, value.to_bytes(8, "little"))
