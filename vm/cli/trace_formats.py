"""The formats that `vm trace` writes, as records come."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import starmap
from typing import TYPE_CHECKING, Any

from vm.trace import DTYPES, npy_header, shown
from vm_native.execution.native_recorder import NO_REGISTER, WRITTEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vm.machine import Machine
    from vm.trace import Kind, Trace

CHUNK = 1 << 18                     # records between two writes
PIECE = 1 << 12                     # of them, which are written whole or not at all
INTERRUPTS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
FIRST_F = 32                        # register in a record
LARGEST = 8                         # access that has a value, in bytes


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that end the command wait until this is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Writer(ABC):
    """Writes the records of a trace to a stream; the run ends with the one whose number is `limit`."""

    def __init__(self, stream: Any, kind: Kind, limit: int | None):
        self._stream = stream
        self._kind: Kind = kind
        self._limit = limit
        self._given = 0                 # how many of the records at hand are written: an interrupt lets them come again
        self.count = 0

    @contextmanager
    def traces(self, machine: Machine, scope: dict[str, Any]) -> Iterator[None]:
        """Inside, what the machine does is written."""
        with machine.trace(self._kind, capacity=CHUNK, limit=self._limit, consumer=self._take, **scope):
            yield

    def _take(self, records: NDArray[Any]) -> None:
        records = records[self._given:]
        while len(records):
            piece = records[:PIECE]
            with uninterrupted() if self._stream.seekable() else nullcontext():     # a pipe may take for ever
                self.write(piece)
                self.count += len(piece)
                self._given += len(piece)
            records = records[len(piece):]
        self._given = 0

    @abstractmethod
    def write(self, records: NDArray[Any]) -> None: ...


class NpyFile(Writer):
    """As `Machine.trace(file=...)`."""

    def write(self, records: NDArray[Any]) -> None:
        if not self.count:
            self._stream.write(npy_header(DTYPES[self._kind], 0))
        self._stream.write(records.tobytes())

    @contextmanager
    def traces(self, machine: Machine, scope: dict[str, Any]) -> Iterator[None]:
        try:
            with super().traces(machine, scope):
                yield
        finally:                        # also after Ctrl-C
            self._stream.seek(0)
            self._stream.write(npy_header(DTYPES[self._kind], self.count))


class TextLines(Writer):
    """Names and values."""

    def write(self, records: NDArray[Any]) -> None:
        names = records.dtype.names or ()
        for record in records:
            self._stream.write(" ".join(f"{name}={shown(name, record[name])}" for name in names) + "\n")


class SpikeLog(Writer):
    """Spike's --log-commits, of two traces."""

    @contextmanager
    def traces(self, machine: Machine, scope: dict[str, Any]) -> Iterator[None]:
        self._accesses: dict[int, list[tuple[int, int, int, int]]] = {}     # by their steps
        with machine.trace("memory", capacity=CHUNK, consumer=self._keep, **scope) as memory:
            self._memory: Trace = memory
            with super().traces(machine, scope):
                yield

    def _keep(self, records: NDArray[Any]) -> None:
        for record in records[["step", "access", "size", "address", "value"]].tolist():
            self._accesses.setdefault(record[0], []).append(record[1:])

    def write(self, records: NDArray[Any]) -> None:
        self._memory.make_room()
        for step, pc, word, hart, privilege, register, trapped, value in records[
                ["step", "pc", "instruction", "hart", "privilege", "register", "trapped", "value"]].tolist():
            accesses = self._accesses.pop(step, [])
            if not trapped:
                length = 8 if word & 3 == 3 else 4
                self._stream.write(f"core{hart:>4}: {privilege} {pc:#018x} ({word:#0{2 + length}x})"
                                   f"{written(register, value)}{''.join(starmap(accessed, accesses))}\n")


def written(register: int, value: int) -> str:
    if register == NO_REGISTER:
        return ""
    name = f"x{register}" if register < FIRST_F else f"f{register - FIRST_F}"
    return f" {name:<3} {value:#018x}"


def accessed(kind: int, size: int, address: int, value: int) -> str:
    """A store with its value, byte by byte where it clears a block; what an atomic wrote is not known."""
    if size > LARGEST:
        return "".join(accessed(kind, 1, place, value) for place in range(address, address + size))
    return f" mem {address:#018x}" + (f" {value:#0{2 + 2 * size}x}" if kind == WRITTEN else "")
