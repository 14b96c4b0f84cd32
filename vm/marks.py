"""The snapshots that a history is made of: ever farther apart the longer ago they are, and never many.

A mark that is kept stands where something came from outside: from the one before it the machine does not come there by
itself. The others only save time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING

from vm.sizes import PAGE_SIZE
from vm.snapshot import Snapshot

if TYPE_CHECKING:
    from vm.replaying import Position


class Mark:
    """A snapshot in a history.

    - position: in the log from which all comes that comes from outside; None where none is replayed, or any more.
    - hooked: it is of what hooks have made of the machine before the next instruction: that is more than its step, at
      which they had not been called yet.
    - copies: how many pages it has copies of that the one before it has not.
    """

    __slots__ = ("copies", "hooked", "kept", "position", "snapshot", "steps")

    def __init__(self, snapshot: Snapshot, kept: bool, position: Position | None, hooked: bool = False):
        self.snapshot = snapshot
        self.steps = snapshot.steps
        self.kept = kept
        self.position = position
        self.hooked = hooked
        self.copies = 0

    def count_copies(self, before: Mark | None) -> None:
        theirs = [None] * len(self.snapshot.state.memory) if before is None else before.snapshot.state.memory
        self.copies = sum(content.copies_besides(other) for content, other in
                          zip(self.snapshot.state.memory, theirs, strict=True))


class Marks:
    """Marks in the order of time, of which the one at `present`, and those before it, are in the past.

    They are `spacing` steps apart at most where the machine was last. There are `most` at most; while they hold more
    than `limit` bytes of copied pages there are fewer, down to two.
    """

    def __init__(self, spacing: int, most: int, limit: int):
        self.spacing = spacing
        self._most = most
        self._limit = limit
        self._marks: list[Mark] = []
        self.present = -1

    def __len__(self) -> int:
        return len(self._marks)

    def __getitem__(self, number: int) -> Mark:
        return self._marks[number]

    def __iter__(self) -> Iterator[Mark]:
        return iter(self._marks)

    @property
    def copied_bytes(self) -> int:
        """Host memory of the pages that were copied."""
        return sum(mark.copies for mark in self._marks) * PAGE_SIZE

    @property
    def next(self) -> Mark | None:
        """The first that is in the future."""
        return self._marks[self.present + 1] if self.present + 1 < len(self._marks) else None

    def at_or_before(self, steps: int) -> int:
        """The number of the last mark from which that step can be reached; -1 if it is before the first."""
        number = bisect_right(self._marks, steps, key=attrgetter("steps")) - 1
        first = bisect_left(self._marks, steps, key=attrgetter("steps"))
        return next((place - 1 for place in range(first, number + 1) if self._marks[place].hooked), number)

    def stand_on(self, mark: Mark) -> None:
        """Be at that mark again, or at the last one before it, if it has been dropped."""
        if mark in self._marks:
            self.present = self._marks.index(mark)
        else:
            self.present = self.at_or_before(mark.steps)

    def last_with(self, holds: Callable[[Mark], bool]) -> int:
        """The number of the last mark in the past of which something is true; -1 if it is of none."""
        return next((number for number in range(self.present, -1, -1) if holds(self._marks[number])), -1)

    def is_kept_ahead(self, steps: int) -> bool:
        """Whether something came from outside at this step, in the future."""
        return any(mark.kept and not mark.hooked and mark.steps == steps for mark in self._marks[self.present + 1:])

    @property
    def beginning(self) -> int:
        """The first step that can be reached."""
        return self._marks[0].steps + self._marks[0].hooked

    def add(self, mark: Mark) -> None:
        """The machine stands there, behind the present mark, which this one becomes."""
        self.present += 1
        self._marks.insert(self.present, mark)
        self._count_copies(self.present)
        self._count_copies(self.present + 1)
        while len(self._marks) > self._most or (len(self._marks) > 2 and self.copied_bytes > self._limit):
            self._drop(self._least_needed(mark.steps))

    def forget_future(self) -> None:
        del self._marks[self.present + 1:]

    def forget(self) -> None:
        """All of them."""
        self._marks.clear()
        self.present = -1

    def _count_copies(self, number: int) -> None:
        if number < len(self._marks):
            self._marks[number].count_copies(self._marks[number - 1] if number else None)

    def _drop(self, number: int) -> None:
        del self._marks[number]
        self.present -= number <= self.present
        self._count_copies(number)

    def _least_needed(self, now: int) -> int:
        """The mark whose absence costs least: it leaves the smallest gap for how far away that is."""
        candidates = [number for number in range(1, len(self._marks))
                      if not self._marks[number].kept and number != self.present]
        if candidates:
            return min(candidates, key=lambda number: self._gap_without(number)
                       / (abs(now - self._marks[number].steps) + self.spacing))
        return 0 if self.present > 0 else len(self._marks) - 1      # what was kept longest, or is farthest ahead

    def _gap_without(self, number: int) -> int:
        following = self._marks[min(number + 1, len(self._marks) - 1)]
        return following.steps - self._marks[number - 1].steps
