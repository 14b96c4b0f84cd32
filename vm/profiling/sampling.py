"""Cutting the runs of a machine at fixed guest times, to look at its harts there.

A sampler stands between the run loop and the scheduler, and looks only where a slice has ended: nothing of it is in the
guest's time. The places are multiples of the interval, counted from power-on, whenever the sampler was set going and
however the program divides its runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vm.clock import Clock
from vm.hart import Hart
from vm_native.execution.native_machine import NativeMachine
from vm_native.execution.scheduler import STOP_CODES, Scheduler

BUDGET, DEADLINE = STOP_CODES["budget"], STOP_CODES["deadline"]
WAITING = ("waiting", "suspended")          # of `Hart.state`


class HartSample(NamedTuple):
    """A hart at the place of a sample, and for how much of the guest's doings the sample stands."""

    hart: Hart
    weight: int                             # steps of the hart, or guest nanoseconds
    span_ns: int                            # guest time


class Watched(NamedTuple):
    """What a sampler needs of a machine."""

    native: NativeMachine
    scheduler: Scheduler
    clock: Clock
    harts: Sequence[Hart]


class Sampler(ABC):
    """Runs slices as `Scheduler.run` does, and calls `look` at each place with what there is to see."""

    def __init__(self, watched: Watched, interval: int, look: Callable[[list[HartSample]], None]):
        self._native, self._scheduler, self._clock, self._harts = watched
        self._interval = interval
        self._look = look
        self._due = 0                       # the next place
        self.on = True
        self._begin_anew()

    def run(self, limit: int, stop_ns: int, host_ns: int) -> tuple[int, int]:
        """As `Scheduler.run`, of which this does not show that it was more than one slice."""
        if self._native.noting:             # what runs is the past, to look for something in it
            return self._scheduler.run(limit, stop_ns, host_ns)
        end = self._clock.steps + limit
        if [hart.steps for hart in self._harts] == self._left_steps:
            self._bridge(self._clock.now_ns() - self._left_ns)
        else:
            self._begin_anew()              # a restore, or somebody who ran without this
        while self.on:
            try:
                code, number, cut = self._run_to_next(end - self._clock.steps, stop_ns, host_ns)
            finally:
                self._leave()
            now = self._now()
            if now >= self._due:
                self._look(self._samples())
                self._due = self._after(now)
            if not cut:
                return code, number
        return self._scheduler.run(end - self._clock.steps, stop_ns, host_ns)

    def _begin_anew(self) -> None:
        self._due = self._after(self._now())
        self._looked_ns = self._clock.now_ns()          # up to here all is in samples
        self._looked_steps = [hart.steps for hart in self._harts]
        self._leave()

    def _leave(self) -> None:
        self._left_steps = [hart.steps for hart in self._harts]
        self._left_ns = self._clock.now_ns()

    def _after(self, now: int) -> int:
        return (now // self._interval + 1) * self._interval

    def _bridge(self, gap_ns: int) -> None:
        """Guest time has gone on between two slices. It counts where a guest waits, as it does in real time; else it is
        the program's, which did something else.
        """
        if gap_ns and not all(hart.state in WAITING for hart in self._harts if hart.state != "stopped"):
            self._looked_ns += gap_ns

    @abstractmethod
    def _now(self) -> int: ...

    @abstractmethod
    def _run_to_next(self, limit: int, stop_ns: int, host_ns: int) -> tuple[int, int, bool]:
        """To the next place at most. Returns what the scheduler does, and whether the place is all it ended for."""

    @abstractmethod
    def _samples(self) -> list[HartSample]:
        """What there is to see now, since the last time."""


class StepSampler(Sampler):
    """At steps of the machine. Harts are seen that have taken steps since the last time, each with their number."""

    def _now(self) -> int:
        return self._clock.steps

    def _run_to_next(self, limit: int, stop_ns: int, host_ns: int) -> tuple[int, int, bool]:
        end = self._clock.steps + limit
        code, number = self._scheduler.run(min(limit, self._due - self._clock.steps), stop_ns, host_ns)
        return code, number, code == BUDGET and self._clock.steps < end

    def _samples(self) -> list[HartSample]:
        now_ns, steps = self._clock.now_ns(), [hart.steps for hart in self._harts]
        since_ns, self._looked_ns = now_ns - self._looked_ns, now_ns
        before, self._looked_steps = self._looked_steps, steps
        virtual = self._clock.kind == "virtual"         # where a waiting hart's time is none of a running one's
        return [HartSample(hart, after - begin, min(after - begin, since_ns) if virtual else since_ns)
                for hart, begin, after in zip(self._harts, before, steps, strict=True) if after > begin]


class TimeSampler(Sampler):
    """At guest nanoseconds. Every hart is seen that has been started, also where it waits."""

    def _now(self) -> int:
        return self._clock.now_ns()

    def _run_to_next(self, limit: int, stop_ns: int, host_ns: int) -> tuple[int, int, bool]:
        ceiling = self._scheduler.ceiling_ns
        self._scheduler.ceiling_ns = min(ceiling, self._due)        # below which a guest that waits for nothing is idle
        try:
            code, number = self._scheduler.run(limit, stop_ns, host_ns)
        finally:
            self._scheduler.ceiling_ns = ceiling
        return code, number, code == DEADLINE and self._clock.now_ns() < min(stop_ns, ceiling)

    def _samples(self) -> list[HartSample]:
        now_ns = self._clock.now_ns()
        since_ns, self._looked_ns = now_ns - self._looked_ns, now_ns
        return [HartSample(hart, since_ns, since_ns) for hart in self._harts if hart.state != "stopped"]
