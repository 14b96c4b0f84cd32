"""The inner loop of a fuzzer: what a worker does with an order, and what it answers.

An answer follows from the order alone, whichever worker has made it.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vm.fleet.arena import Arena, Outcome, Signature, Target, arena_of
from vm.fleet.custom import CustomMutator, Function
from vm.fleet.mutation import Mutator
from vm_native.edge_buckets import NEWS, look

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vm.machine import Machine

NOTHING = NEWS["nothing"]
FASTEST = 1                             # of zlib: maps are mostly zeroes
TRIES_A_PARENT = 16                     # changed inputs of one, before the next is chosen
FAVOURED, LATEST, SPLICED = 0.7, 0.3, 0.15      # shares of parents, and of children
LATEST_KEPT = 16
MOST_CRASHES, MOST_HANGS = 64, 8        # that are told of, in an answer
TRIM_FROM = 5                           # bytes: what is shorter stays as it is
TRIM_PIECES, TRIM_MOST = 16, 96         # of an input, at first; and runs that trimming may take
SHARE = 2                               # of children a custom mutator makes every second one


class Trail(NamedTuple):
    """The edges of a run: where in the map, and their buckets."""

    places: NDArray[np.uint32]
    buckets: NDArray[np.uint8]


class Found(NamedTuple):
    """An input that did something new, and how many steps it took."""

    data: bytes
    trail: Trail
    steps: int


@dataclass(frozen=True)
class Order:
    """What is to be done.

    - target; seed: of all that is random; runs: how many.
    - inputs: the corpus; the first `favoured` of them do together what all of them do.
    - exact: inputs that are run first, as they are.
    - seen: the buckets of all edges so far, compressed; hung: the same of inputs that ran out of steps.
    - known: how runs crashed that are no news.
    - seconds: of the host; None for as long as it takes.
    """

    target: Target
    seed: int
    runs: int
    inputs: tuple[bytes, ...]
    favoured: int
    exact: tuple[bytes, ...]
    seen: bytes
    hung: bytes
    words: tuple[bytes, ...] = ()
    mutator: str | Function | None = None
    known: frozenset[Signature] = frozenset()
    seconds: float | None = None


@dataclass
class Answer:
    """What came of it. `runs` count those of trimming, too."""

    runs: int = 0
    steps: int = 0
    found: list[Found] = field(default_factory=list)
    crashes: list[tuple[bytes, Signature]] = field(default_factory=list)
    hangs: list[tuple[bytes, Trail]] = field(default_factory=list)


def run_batch(machine: Machine, order: Order) -> Answer:
    """The test of a fleet, of which the machine is kept as it is left."""
    return Batch(arena_of(machine, order.target), order).run()


class Batch:
    """One order, at work."""

    def __init__(self, arena: Arena, order: Order):
        self._arena = arena
        self._order = order
        self._seen = unpacked(order.seen)
        self._hung = unpacked(order.hung)
        self._random = Random(order.seed)
        self._longest = arena.bound.longest
        self._inputs = list(order.inputs)
        self._latest: list[bytes] = []
        self._known = set(order.known)
        self._answer = Answer()
        self._custom = None if order.mutator is None else CustomMutator(order.mutator, self._random, self._longest)
        self._mutator = Mutator(self._random, self._longest, order.words)
        self._end = None if order.seconds is None else time.monotonic() + order.seconds

    def run(self) -> Answer:
        try:
            for data in self._order.exact:
                self._try(data[:self._longest])
            while self._answer.runs < self._order.runs and not self._is_late():
                self._try_children(self._parent())
        finally:
            if self._custom is not None:
                self._custom.end()
        return self._answer

    def _is_late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def _parent(self) -> bytes:
        random = self._random.random
        if self._latest and random() < LATEST:
            return self._latest[int(random() * len(self._latest))]
        end = self._order.favoured if self._order.favoured and random() < FAVOURED else len(self._inputs)
        return self._inputs[int(random() * end)] if end else b""

    def _try_children(self, parent: bytes) -> None:
        random, inputs, mutator = self._random.random, self._inputs, self._mutator
        left = self._order.runs - self._answer.runs
        for number in range(min(TRIES_A_PARENT, left)):
            other = inputs[int(random() * len(inputs))] if inputs else b""
            if self._custom is not None and number % SHARE == 0:
                self._try(self._custom.mutate(parent, other))
            elif random() < SPLICED:
                self._try(mutator.splice(parent, other))
            else:
                self._try(mutator.havoc(parent))

    def _run(self, data: bytes) -> Outcome:
        outcome = self._arena.run(data if self._custom is None else self._custom.processed(data))
        self._answer.runs += 1
        self._answer.steps += outcome.steps
        return outcome

    def _try(self, data: bytes) -> None:
        arena = self._arena
        outcome = self._run(data)
        if outcome.verdict == "crash":
            self._note_crash(data, arena.signature(outcome.stop))
        elif outcome.verdict == "hang":
            if look(arena.counts, self._hung) != NOTHING and len(self._answer.hangs) < MOST_HANGS:
                self._hung |= arena.counts
                self._answer.hangs.append((data, trail_of(arena.counts)))
        elif look(arena.counts, self._seen) != NOTHING:
            self._keep(data, outcome.steps)

    def _note_crash(self, data: bytes, signature: Signature) -> None:
        if signature not in self._known and len(self._answer.crashes) < MOST_CRASHES:
            self._known.add(signature)
            self._answer.crashes.append((data, signature))

    def _keep(self, data: bytes, steps: int) -> None:
        """It has done something new: let it be as short as does the same."""
        counts = self._arena.counts.copy()
        data, steps = self._trimmed(data, counts, steps)
        self._seen |= counts
        self._answer.found.append(Found(data, trail_of(counts), steps))
        self._inputs.append(data)
        self._latest.append(data)
        del self._latest[:-LATEST_KEPT]

    def _trimmed(self, data: bytes, counts: NDArray[np.uint8], steps: int) -> tuple[bytes, int]:
        tries = TRIM_MOST if len(data) >= TRIM_FROM else 0
        size = max(len(data) // TRIM_PIECES, 1)
        largest = max(len(data) // 2, 1)
        for length in sorted({size, max(size // 2, 1), max(size // 4, 1), largest}, reverse=True):
            at = 0
            while at < len(data) and len(data) > 1 and tries:
                shorter = data[:at] + data[at + length:]
                tries -= 1
                outcome = self._run(shorter)
                look(self._arena.counts, self._seen)
                if outcome.verdict == "done" and np.array_equal(self._arena.counts, counts):
                    data, steps = shorter, outcome.steps
                else:
                    at += length
        return data, steps


def trail_of(counts: NDArray[np.uint8]) -> Trail:
    places = counts.nonzero()[0]
    return Trail(places.astype(np.uint32), counts[places])


def packed(seen: NDArray[np.uint8]) -> bytes:
    return zlib.compress(seen.tobytes(), FASTEST)


def unpacked(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.decompress(content), np.uint8).copy()
