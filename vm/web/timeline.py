"""The snapshots that were taken from the page, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vm.errors import ConfigurationError

if TYPE_CHECKING:
    from vm.snapshot import Snapshot

MOST = 200
LONGEST_NAME = 80               # characters


class Moment(NamedTuple):
    """A snapshot, when it was taken in guest time, and what the console showed then."""

    number: int
    name: str
    ns: int
    snapshot: Snapshot
    printed: bytes


class Timeline:
    """Moments by their numbers, which count from 1 and are never given twice. `here`: where the machine stood last."""

    def __init__(self) -> None:
        self._moments: dict[int, Moment] = {}
        self._given = 0
        self.here = 0

    def refuse_more(self) -> None:
        """Raises ConfigurationError where no more are kept."""
        if len(self._moments) >= MOST:
            raise ConfigurationError(f"{MOST} snapshots are kept at most: drop one first")

    def add(self, name: str, ns: int, snapshot: Snapshot, printed: bytes) -> None:
        self._given += 1
        self.here = self._given
        name = name.strip()[:LONGEST_NAME] or f"snapshot {self._given}"
        self._moments[self._given] = Moment(self._given, name, ns, snapshot, printed)

    def __getitem__(self, number: int) -> Moment:
        """Raises ConfigurationError for one that is not there any more."""
        if number not in self._moments:
            raise ConfigurationError(f"there is no snapshot {number}")
        return self._moments[number]

    def __delitem__(self, number: int) -> None:
        self._moments.pop(self[number].number)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments.values())

    def shown(self) -> list[dict[str, Any]]:
        """For the page."""
        return [{"number": moment.number, "name": moment.name, "ns": moment.ns, "steps": moment.snapshot.steps,
                 "here": moment.number == self.here} for moment in self]
