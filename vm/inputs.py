"""The door by which the host's world enters a machine.

All that is typed or sent to a guest passes `Inputs.enter` as (source, data), whatever file descriptor or call it came
from: what is seen there, in order and with the step, is all that a run cannot know from its beginning.
"""

from __future__ import annotations

import heapq
import itertools
import math
import select
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple, Protocol

from vm.state import Stateful

LONGEST_WAIT = 0.1                      # host seconds; a signal that comes just before it is served after it
FD_SETSIZE = 1024                       # descriptors from this number on are none for select(2)


def always() -> bool:
    return True


class History(Protocol):
    """Who writes down what comes from outside, or has it from such a log: what the machine's parts tell it.

    Times and steps are those of the machine; `begin` and `end` are called around each run. `live` says whether anything
    comes in that is not in the log, and `listens` whether file descriptors are looked at all the same. `asks` says,
    where a device would ask the host something that is answered at once, whether it is to: else the answer comes by
    itself.
    """

    @property
    def live(self) -> bool: ...

    @property
    def asks(self) -> bool: ...

    @property
    def listens(self) -> bool: ...

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def next_stop(self) -> tuple[int, int] | None:
        """Between slices: the step and the guest time where the next must end; None: this run does."""

    def before_serving(self) -> bool:
        """A slice has ended, and what it ended for is not served yet. Whether this run ends before that."""

    def enter(self, source: str, data: bytes) -> None:
        """Data comes in: `Inputs.admit` lets it into the machine."""

    def wrote(self, address: int, data: bytes) -> None:
        """Before somebody writes memory who is no hart."""

    def cleared(self, address: int, size: int) -> None:
        """Before somebody clears it."""

    def asked(self, address: int, size: int) -> None:
        """Before somebody reads a device who is no hart."""

    def reset(self) -> AbstractContextManager[None]:
        """Around a reset."""

    def answer(self, device: str, question: Callable[[], int | None]) -> int | None:
        """What the guest gets of a device that is not deterministic, as `question()` asks it."""

    def drove(self, device: str, level: bool) -> None:
        """Such a device drives its interrupt line: `Outsider.drive` lets that happen, and so on."""

    def scheduled(self, device: str, delay_ns: int, event: int, data: int) -> None: ...

    def cancelled(self, device: str, event: int) -> None: ...


class Outsider(Protocol):
    """The doings of a device that is not deterministic, as the machine has them."""

    def drive(self, level: bool) -> None: ...

    def let_schedule(self, delay_ns: int, event: int, data: int) -> None: ...

    def let_cancel(self, event: int) -> None: ...


class Watched(NamedTuple):
    """What is done about a file descriptor. `always`: also while what runs is the past."""

    on_readable: Callable[[], None]
    wanted: Callable[[], bool]
    always: bool


def readable(fds: list[int], seconds: float) -> list[int]:
    """Those of which something can be read within some time."""
    if max(fds) < FD_SETSIZE:
        return select.select(fds, [], [], seconds)[0]       # to the microsecond, where poll() counts milliseconds
    look = select.poll()
    for fd in fds:
        look.register(fd, select.POLLIN)
    return [fd for fd, _ in look.poll(math.ceil(seconds * 1000))]


class Alarm:
    """What is to be called at a time of the host."""

    def __init__(self, action: Callable[[], None]):
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """It is not called any more. Does nothing the second time."""
        self.action = None


class Inputs(Stateful):
    """The sources of one machine, and the file descriptors that are looked at between slices.

    `on_entered` is called after anything has come in: for who has no device that hears of it. `interactive` says that
    somebody sits there: while every hart waits, virtual time goes no faster than the host's, and the host can rest. So
    it is while an answer is expected from a network.
    While a run is recorded or replayed, `history` decides when what comes in enters the machine. Where `on_unfit` is
    set, who keeps that gives it up for what cannot be part of it: it is called with the name of the method, and ends
    the history, which refuses such calls otherwise.
    What has come in is with the receivers: nothing here is saved.
    """

    unsaved = ("_receivers", "_watched", "_alarms", "_order", "_expecting", "on_entered", "interactive", "history",
               "witnesses", "on_unfit")

    def __init__(self) -> None:
        self._receivers: dict[str, Callable[[bytes], None]] = {}
        self._watched: dict[int, Watched] = {}
        self._alarms: list[tuple[float, int, Alarm]] = []       # a heap
        self._order = itertools.count()
        self._expecting: list[Callable[[], bool]] = []
        self.on_entered: Callable[[], None] | None = None
        self.history: History | None = None
        self.on_unfit: Callable[[str], object] | None = None
        self.witnesses: dict[str, Outsider] = {}        # by the name of the device
        self.interactive = False

    def add(self, source: str, receiver: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """A new source, whose data `receiver` gets; returns the function by which it comes in."""
        self._receivers[source] = receiver
        return partial(self.enter, source)

    @property
    def live(self) -> bool:
        """Whether what runs is no past: only then does anything that the guest sends leave the machine."""
        return self.history is None or self.history.live

    @property
    def asks(self) -> bool:
        """Whether a device is to ask the host now: not where the answer, which comes in at this step, is known."""
        return self.history is None or self.history.asks

    @property
    def sources(self) -> Collection[str]:
        """The names of all sources."""
        return self._receivers.keys()

    def remove(self, source: str) -> None:
        """The source is no more."""
        del self._receivers[source]

    def refuses(self, what: str) -> bool:
        """Whether there is a history that a call of `what`, which cannot be part of it, does not end."""
        if self.history is not None and self.on_unfit is not None:
            self.on_unfit(what)
        return self.history is not None

    def enter(self, source: str, data: bytes) -> None:
        """Data comes in."""
        if self.history is None:
            self.admit(source, data)
        else:
            self.history.enter(source, data)

    def admit(self, source: str, data: bytes) -> None:
        """It enters the machine, now."""
        self._receivers[source](data)
        if self.on_entered is not None:
            self.on_entered()

    def watch(self, fd: int, on_readable: Callable[[], None], wanted: Callable[[], bool] = always, *,
              in_the_past: bool = False) -> None:
        """While the machine runs, and in `poll`, call `on_readable` when something can be read from `fd`.

        While `wanted` says no, the host keeps it.

        - in_the_past: nothing of it is for the guest, so that it is heard where `History.listens` says no, too.
        """
        self._watched[fd] = Watched(on_readable, wanted, in_the_past)

    def forget(self, fd: int) -> None:
        """Look at `fd` no more. Does nothing the second time."""
        self._watched.pop(fd, None)

    def watches(self, fd: int) -> bool:
        return fd in self._watched

    def call_in(self, seconds: float, action: Callable[[], None]) -> Alarm:
        """Call it in so many seconds of the host, or when the machine runs or is polled next after that.

        It is for the world outside: nothing is called while what runs is the past.
        """
        alarm = Alarm(action)
        heapq.heappush(self._alarms, (time.monotonic() + seconds, next(self._order), alarm))
        return alarm

    def expect(self, expecting: Callable[[], bool]) -> None:
        """From now on `expecting` is asked whether somebody outside has been asked, and may answer at any time."""
        self._expecting.append(expecting)

    def expect_no_more(self, expecting: Callable[[], bool]) -> None:
        self._expecting.remove(expecting)

    @property
    def expecting(self) -> bool:
        return self.live and any([expecting() for expecting in self._expecting])

    @property
    def paced(self) -> bool:
        """Whether the host's time is what the guest waits in."""
        return self.live and (self.interactive or self.expecting)

    @property
    def watching(self) -> bool:
        """Whether anything can come from a file descriptor, or is to be called."""
        return bool(self._alarms) or next(self._heard(), None) is not None      # number 0 is one, too

    def poll(self, seconds: float | None = None) -> None:
        """Sleep a while, never longer than `seconds`, or until something can be read; then take it."""
        self.take(self.wait(seconds))

    def wait(self, seconds: float | None = None) -> list[int]:
        """The first half of `poll`: what can be read, perhaps nothing."""
        # A signal that comes just before the call does not interrupt it; so it must not last.
        seconds = LONGEST_WAIT if seconds is None else min(seconds, LONGEST_WAIT)
        while self._alarms and self._alarms[0][2].action is None:
            heapq.heappop(self._alarms)             # it was cancelled
        if self._alarms and self._listens:
            seconds = max(0, min(seconds, self._alarms[0][0] - time.monotonic()))
        wanted = [fd for fd in self._heard() if self._watched[fd].wanted()]
        if not wanted:
            time.sleep(seconds)
            return []
        return readable(wanted, seconds)

    @property
    def _listens(self) -> bool:
        return self.history is None or self.history.listens

    def _heard(self) -> Iterator[int]:
        listens = self._listens
        return (fd for fd, watched in self._watched.items() if listens or watched.always)

    def take(self, ready: Iterable[int]) -> None:
        """The second half of `poll`."""
        for fd in ready:
            if fd in self._watched:         # the one before may have ended it
                self._watched[fd].on_readable()
        while self._alarms and self._listens and self._alarms[0][0] <= time.monotonic():
            _, _, alarm = heapq.heappop(self._alarms)
            if alarm.action is not None:
                alarm.action()
