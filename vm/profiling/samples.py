"""The samples of a profile, as they are taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from vm.clock import Clock
from vm.hart import Hart
from vm.profiling.sampling import WAITING, HartSample


class Sample(NamedTuple):
    """Where a hart was. `Profile.array` says what the columns are."""

    step: int
    time_ns: int
    span_ns: int
    hart: int
    privilege: int
    waiting: bool
    satp: int
    pc: int
    weight: int
    stack: int


class Samples:
    """In order of time. `stacks` has each call stack once: the pc, and return addresses from the innermost one on."""

    def __init__(self, clock: Clock, stack: Callable[[Hart], tuple[int, ...]]):
        self.rows: list[Sample] = []
        self.stacks: list[tuple[int, ...]] = []
        self._clock = clock
        self._stack = stack
        self._numbers: dict[tuple[int, ...], int] = {}

    def look(self, samples: Sequence[HartSample]) -> None:
        """A sample of each hart that there is to see."""
        step, time_ns = self._clock.steps, self._clock.now_ns()
        for hart, weight, span_ns in samples:
            stack = self._stack(hart)
            number = self._numbers.setdefault(stack, len(self.stacks))
            if number == len(self.stacks):
                self.stacks.append(stack)
            self.rows.append(Sample(step, time_ns, span_ns, hart.id, hart.privilege, hart.state in WAITING,
                                    satp_of(hart), stack[0], weight, number))


def satp_of(hart: Hart) -> int:
    """0 where there is none, as without paging."""
    with suppress(KeyError):
        return hart.csr["satp"]
    return 0
