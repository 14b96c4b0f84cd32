"""What devices will do later: a queue of (guest time, device, event, data), never closures, so that it can be saved."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vm_native.clock import FOREVER

if TYPE_CHECKING:
    from vm.clock import Clock
    from vm_native.execution.scheduler import Scheduler

NEVER = FOREVER                             # a time that does not come


class Receiver(Protocol):
    """Whoever can be told later: a device, or what else of the machine needs time."""

    def on_event(self, event: int, data: int, /) -> None: ...


class Event(NamedTuple):
    """One entry. `order` makes events of the same nanosecond happen in the order they were scheduled."""

    due_ns: int
    order: int
    device: Receiver
    event: int
    data: int


class EventQueue:
    """The machine's queue. The scheduler is told when the first entry is due, so that a slice ends there."""

    def __init__(self, clock: Clock, scheduler: Scheduler):
        self._clock = clock
        self._scheduler = scheduler
        self._heap: list[Event] = []
        self._order = 0

    def schedule(self, delay_ns: int, device: Receiver, event: int, data: int = 0) -> None:
        """In `delay_ns` guest nanoseconds call `device.on_event(event, data)`."""
        self._order += 1
        heapq.heappush(self._heap, Event(self._clock.now_ns() + max(delay_ns, 0), self._order, device, event, data))
        self._announce()

    def cancel(self, device: Receiver, event: int) -> None:
        """Forget every pending event of that number of that device."""
        kept = [entry for entry in self._heap if entry.device is not device or entry.event != event]
        if len(kept) != len(self._heap):
            heapq.heapify(kept)
            self._heap = kept
            self._announce()

    def forget(self, device: Receiver) -> None:
        """Forget every pending event of that device, whatever its number."""
        for number in {entry.event for entry in self._heap if entry.device is device}:
            self.cancel(device, number)

    def pending(self) -> list[Event]:
        """What is scheduled, in order of time."""
        return sorted(self._heap)

    def clear(self) -> None:
        """Forget everything."""
        self._heap = []
        self._announce()

    def run_due(self) -> None:
        """Hand out what is due. An event whose device raises stays in the queue."""
        while self._heap and self._heap[0].due_ns <= self._clock.now_ns():
            entry = heapq.heappop(self._heap)
            try:
                entry.device.on_event(entry.event, entry.data)
            except BaseException:
                heapq.heappush(self._heap, entry)
                self._announce()
                raise
        self._announce()

    def _announce(self) -> None:
        self._scheduler.set_event(min(self._heap[0].due_ns, NEVER) if self._heap else NEVER)
