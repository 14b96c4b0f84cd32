"""The host-target interface of Spike and riscv-tests: a program exits and prints by storing to its `tohost` word.

A command is 64 bits: device in the top byte, command in the next, 48 bits of payload (fesvr's device list).
    device 0, command 0: payload odd: exit with code payload >> 1; else the address of a system call's eight words
    device 1, command 0: read a key; `fromhost` is told when there is one: 0x100 and the key
    device 1, command 1: print the low byte
A store of eight bytes is a command. Of two stores of four, one half alone means nothing yet: the command is complete
when any second one follows, or nothing has followed for a while.
"""

from __future__ import annotations

from collections.abc import Callable

from vm.events import EventQueue
from vm.memory import Memory
from vm.state import Stateful
from vm.stop import Request, StopReason

GRACE_NS = 10_000
SYSTEM_CALL, CONSOLE = 0, 1
READ, PRINT = 0, 1                  # commands of the console
KEY = 0x100                         # in the answer to READ: there is one
COMMAND, ANSWER = 0, 1              # events: nothing followed the first half; `fromhost` may be free again
EXIT_CALL, WRITE_CALL = 93, 64
ENOSYS, EBADF = 38, 9


class Htif(Stateful):
    """Watches the words of one program. `on_request` hears the end of the program, EXIT, and `output` what it prints.

    `typed` gives at most so many bytes that were typed; after more have come `on_input` is to be called.
    """

    state = ("half_written", "reading")
    setup = ("tohost", "fromhost")
    unsaved = ("_memory", "_events", "_output", "_typed", "_on_request")

    def __init__(self, memory: Memory, events: EventQueue, tohost: int, fromhost: int | None,
                 output: Callable[[bytes], None], typed: Callable[[int], bytes], on_request: Request):
        self._memory = memory
        self._events = events
        self.tohost = tohost
        self.fromhost = fromhost
        self._output = output
        self._typed = typed
        self._on_request = on_request
        events.name("htif", self)
        self.half_written = False
        self.reading = False           # the program wants a key

    def stored(self, size: int) -> None:
        """The guest has stored `size` bytes in `tohost`."""
        if size < 8 and not self.half_written:
            self.half_written = True
            self._events.schedule(GRACE_NS, self, COMMAND)
            return
        self._events.cancel(self, COMMAND)
        self._events.schedule(0, self, COMMAND)     # served at once; one whose output raises stays in the queue

    def taken(self, size: int) -> None:
        """The guest has stored in `fromhost`, and may have taken the answer that was there."""
        if self.reading:
            self._events.cancel(self, ANSWER)
            self._events.schedule(GRACE_NS, self, ANSWER)       # another half may follow

    def on_event(self, event: int, data: int) -> None:
        if event == COMMAND:
            self._serve()
        else:
            self.on_input()

    def on_input(self) -> None:
        """Give the program the key that it waits for, if there is one, once it has taken the answer before."""
        if not self.reading or self.fromhost is None or any(self._memory.read(self.fromhost, 8)):
            return
        if key := self._typed(1):
            self.reading = False
            self._write_answer(CONSOLE << 56 | READ << 48 | KEY | key[0])

    def _serve(self) -> None:
        self.half_written = False
        command = int.from_bytes(self._memory.read(self.tohost, 8), "little")
        if command == 0:
            return
        device, operation, payload = command >> 56, command >> 48 & 0xFF, command & (1 << 48) - 1
        if device == CONSOLE and operation == PRINT:
            self._output(bytes([payload & 0xFF]))
            self._answer(CONSOLE << 56 | PRINT << 48)
        elif device == CONSOLE and operation == READ:
            self._clear()
            self.reading = True
            self.on_input()
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
        self._write_answer(value)

    def _write_answer(self, value: int) -> None:
        if self.fromhost is not None:
            self._memory.write(self.fromhost, value.to_bytes(8, "little"))
