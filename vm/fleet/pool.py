"""Machines that stand at one snapshot, for one test after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vm.errors import VmError
from vm.snapshot import Snapshot

if TYPE_CHECKING:
    from vm.coverage.coverage import Coverage
    from vm.devices.base import Device
    from vm.loaders.common import Program
    from vm.machine import Machine


class Seat:
    """A machine of a pool, and the moment that its tests begin with."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.begin = machine.snapshot()     # of its own: to restore that compares nothing
        self.coverage: Coverage | None = None
        self._observers = 0

    def count_coverage(self) -> Coverage:
        """From nothing. It stays on from test to test: what is instrumented need not be translated again."""
        if self.coverage is None:
            self.coverage = self.machine.coverage()
            self._observers = 1
        self.coverage.clear()
        return self.coverage

    def restore(self) -> None:
        self.machine.restore(self.begin)

    @property
    def is_as_it_was(self) -> bool:
        """Whether nobody has left anything on the machine that a restore does not take away."""
        machine = self.machine
        return not (machine._native.closed or machine._native.observers != self._observers or machine.probes
                    or machine._runner.traces or machine._runner.sampler is not None
                    or machine.inputs.history is not None or machine.console.mirror is not None
                    or not machine.console.record or machine._plan is not self.begin.plan)


class Pool:
    """Machines of a snapshot. Each is one test's at a time; they are restored, not built anew, as long as they can be.

    - program: who names addresses, where the snapshot's own start does not.
    - devices: what makes those that a machine from a file must be given.
    - changes: other arguments for `Snapshot.machine`.
    """

    def __init__(self, snapshot: Snapshot, program: Program | None = None,
                 devices: Callable[[], Mapping[str, Device]] | None = None, changes: Mapping[str, Any] | None = None):
        self._snapshot = snapshot
        self._program = program
        self._devices = devices
        self._changes = dict(changes or {})
        self._idle: list[Seat] = []
        self._taken: set[Seat] = set()
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def seat(self, *, keep: bool = False) -> Iterator[Seat]:
        """A machine at the snapshot, for the `with` block; `keep`: it goes on whatever was left on it."""
        seat = self._take()
        self._taken.add(seat)
        try:
            yield seat
        finally:
            self._taken.discard(seat)
            if not keep and not seat.is_as_it_was:
                seat.machine.close()
            else:
                self._give_back(seat)

    def _take(self) -> Seat:
        with self._lock:
            seat = self._idle.pop() if self._idle else None
        if seat is not None:
            try:
                seat.restore()
                return seat
            except VmError:                     # a test has made another machine of it
                seat.machine.close()
        machine = self.build()
        try:
            return Seat(machine)
        except BaseException:
            machine.close()
            raise

    def build(self) -> Machine:
        """One more that stands at the snapshot, for whoever asks."""
        devices = None if self._devices is None else self._devices()
        machine = self._snapshot.machine(devices=devices, **self._changes)
        try:
            if self._program is not None:
                machine._name_by(self._program)
            return machine
        except BaseException:
            machine.close()
            raise

    def _give_back(self, seat: Seat) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(seat)
                return
        seat.machine.close()

    def interrupt(self) -> None:
        """Let the run that each machine is in end, as `Machine.request_stop` does."""
        for seat in self._taken.copy():
            seat.machine.request_stop()

    def close(self) -> None:
        """The machines that nobody has are closed now, the others when they come back."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for seat in idle:
            seat.machine.close()
