"""What devices will do later: a queue of (guest time, device, event, data), never closures, so that it can be saved."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vm.errors import SnapshotError
from vm.state import Stateful
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


class EventQueue(Stateful):
    """The machine's queue. The scheduler is told when the first entry is due, so that a slice ends there.

    Saved, an entry has the name of its receiver, as the board or whoever made it has told the queue.
    """

    state = ("order", "entries")
    unsaved = ("_clock", "_scheduler", "_heap", "_receivers", "_interrupted")

    def __init__(self, clock: Clock, scheduler: Scheduler):
        self._clock = clock
        self._scheduler = scheduler
        self._heap: list[Event] = []
        self._interrupted = False
        self._receivers: dict[str, Receiver] = {}
        self.order = 0                      # of the entry that was scheduled last

    def name(self, name: str, receiver: Receiver) -> None:
        """Say who `name` is, from now on."""
        self._receivers[name] = receiver

    def schedule(self, delay_ns: int, device: Receiver, event: int, data: int = 0) -> None:
        """In `delay_ns` guest nanoseconds call `device.on_event(event, data)`."""
        self.order += 1
        heapq.heappush(self._heap, Event(self._clock.now_ns() + max(delay_ns, 0), self.order, device, event, data))
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

    def run_due(self) -> bool:
        """Hand out what is due; whether anything was. An event whose device raises stays in the queue."""
        self._interrupted = False
        was_due = bool(self._heap) and self._heap[0].due_ns <= self._clock.now_ns()
        while self._heap and self._heap[0].due_ns <= self._clock.now_ns():
            entry = heapq.heappop(self._heap)
            try:
                entry.device.on_event(entry.event, entry.data)
            except BaseException:
                heapq.heappush(self._heap, entry)
                self._announce()
                raise
        self._announce()
        return was_due

    def first_ns(self) -> int:
        """Guest time at which the first is due; NEVER for none."""
        return min(self._heap[0].due_ns, NEVER) if self._heap else NEVER

    def interrupt(self) -> None:
        """End the slice at hand as if something were due, so that the runner looks. Also from another thread."""
        self._interrupted = True
        self._scheduler.set_event(self._clock.now_ns())     # not before: time that is jumped over would go back to it

    # --- Saved state -------------------------------------------------------------------------------------------------

    @property
    def entries(self) -> list[tuple[int, int, str, int, int]]:
        """What is scheduled, in order of time, as plain data: `Event` with the name of its device.

        Raises SnapshotError for a receiver that has none.
        """
        return [(due_ns, order, self._name_of(device), event, data)
                for due_ns, order, device, event, data in sorted(self._heap)] if self._heap else []

    @entries.setter
    def entries(self, saved: list[tuple[int, int, str, int, int]]) -> None:
        """Raises SnapshotError for the name of nobody."""
        self._heap = [Event(due_ns, order, self._named(name), event, data)
                      for due_ns, order, name, event, data in saved]      # sorted, and so a heap
        self._announce()

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        super().refuse_unfit(saved)
        for _, _, name, _, _ in saved["entries"]:
            self._named(name)

    def _name_of(self, receiver: Receiver) -> str:
        for name, one in self._receivers.items():
            if one is receiver:
                return name
        raise SnapshotError(f"{receiver!r} has an event to come and no name, by which to save it: call "
                            "events.name(name, receiver) where it is made")

    def _named(self, name: str) -> Receiver:
        if name not in self._receivers:
            raise SnapshotError(f"the saved state has an event for {name}, which this machine has not; it has "
                                f"{', '.join(self._receivers) or 'nothing'}")
        return self._receivers[name]

    def _announce(self) -> None:
        self._scheduler.set_event(self.first_ns())
        if self._interrupted:               # perhaps since a moment ago, by another thread
            self._scheduler.set_event(self._clock.now_ns())
