"""Fuzzing guided by coverage: inputs that take new edges of the guest's code are kept, and changed further.

Rounds of batches: each worker gets an order, which holds all that it needs, and what they answer is taken in the order
of the batches. So a campaign follows from its seed and the number of its jobs, however fast which worker is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vm.arguments import refuse_other, whole_number
from vm.errors import ConfigurationError
from vm.fleet.arena import Signature, Target
from vm.fleet.batch import Answer, Order, packed, run_batch
from vm.fleet.corpus import Corpus, name_of, read_inputs
from vm.fleet.custom import Function
from vm.fleet.custom import name_of as name_of_mutator
from vm.fleet.dictionary import load_dictionary
from vm.fleet.examining import Examiner
from vm.fleet.findings import Crash, Finding, Fuzzing, Hang
from vm.fleet.fleet import Fleet, at_least_one
from vm.fleet.mutation import Mutator, walk
from vm.fleet.parcel import Devices
from vm.fleet.places import Place
from vm.fleet.pool import Pool
from vm.fleet.worker import Task
from vm.run_folder import save_run
from vm.snapshot import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vm.loaders.common import Source
    from vm.machine import Machine

BATCH = 2000                            # runs, between two looks at what others have found
HINTS, HINTS_AROUND = 256, 32           # inputs that are made of the comparisons of one, at most
LOOKED_AT = 8                           # inputs that do nothing new of which comparisons are looked at, in a round
MOST_INPUTS = 4000                      # of the corpus, in an order
MOST_WORDS = 512                        # of a dictionary, found ones included
KNOWN = 4096                            # signatures that orders name
SEEDS = 1 << 64
BETWEEN = 0x9E3779B97F4A7C15            # seeds of two batches, so that all of their bits differ
FIRST_INPUT = b"0"                      # where nobody gives one
LEAST_BITS, MOST_BITS = 8, 20           # of the map


class Watcher(Protocol):
    """Who is told how it goes, between batches."""

    def __call__(self, campaign: Campaign, /) -> object: ...


def fuzz(snapshot: Snapshot, place: Place | Callable[[Machine, bytes], object], *,
         inputs: str | PathLike[str] | Iterable[bytes] = (), output: str | PathLike[str] | None = None,
         done: Sequence[int | str] = (), crash: Sequence[int | str] = (), steps: int = 1_000_000, seed: int = 0,
         runs: int | None = None, seconds: float | None = None, crashes: int | None = None, jobs: int = 1,
         longest: int | None = None,
         dictionary: str | PathLike[str] | Iterable[bytes] = (), mutator: str | ModuleType | Function | None = None,
         comparisons: bool = True, minimise: bool = True, map_bits: int = 16, symbols: Source | None = None,
         devices: Devices | None = None, progress: Watcher | None = None) -> Fuzzing:
    """Look for inputs that crash a guest. Each is run from the snapshot; those that take new edges are changed further.

    - place: how an input gets into the guest: a `Buffer`, a `Call`, or a function of (machine, data), which does that.
    - inputs: to begin with: a folder of files, or bytes. output: a folder for the corpus, crashes and hangs; what is in
      its corpus already counts as inputs, too.
    - done: addresses, symbols, or registers that hold an address: there a run is over, and all is well. So it is when
      the guest powers off, exits with 0 or waits for what never comes.
    - crash: the same of functions that are called when something is wrong, as "panic". An exit with another code, and a
      trap that nobody handles, is a crash by itself.
    - steps: of a run at most; with more it is a hang.
    - seed: of all that is random. With the same seed and jobs a campaign of so many `runs` is always the same.
    - runs, seconds, crashes: when to end: after so many runs, and some more where an input is being made shorter; host
      seconds; or different crashes. One of them is needed.
    - jobs: processes at once; 1 is this one, in which nothing need be pickled.
    - longest: bytes of an input, where that is not for `place` to say.
    - dictionary: a file in AFL's format, or words.
    - mutator: of your own: a module as AFL++ has it for Python, with fuzz(buf, add_buf, max_size), its name or file; or
      a function of (data, max_size, seed). It makes half of the inputs.
    - comparisons: look what new inputs are compared with, and put that into them.
    - minimise: make inputs that crash shorter, and keep of the corpus what is needed for all of its edges.
    - map_bits: the map of edges has 2**map_bits bytes.
    - symbols, devices: as of a `Fleet`.
    - progress: is called with the campaign between batches.

    Crashes are told apart by the innermost four functions of their stacks, and each is saved as a recording for
    `vm replay`. Raises ConfigurationError, and what `place` and mutators of your own raise.
    """
    if runs is None and seconds is None and crashes is None:
        raise ConfigurationError("say when to end: runs=, seconds= or crashes=")
    refuse_other("fuzz() takes what snapshot() gave", snapshot, Snapshot)
    if snapshot.plan.arguments["clock"] != "virtual":
        raise ConfigurationError("a machine with clock='real' does not do the same again with the same input: build it "
                                 "with clock='virtual'")
    if not LEAST_BITS <= whole_number("map_bits", map_bits) <= MOST_BITS:
        raise ConfigurationError(f"map_bits={map_bits}: from {LEAST_BITS} to {MOST_BITS}")
    target = Target(place, tuple(done), tuple(crash), at_least_one("steps", steps), longest, map_bits)
    words = load_dictionary(dictionary) if isinstance(dictionary, (str, PathLike)) else list(map(bytes, dictionary))
    folders = Folders(None if output is None else Path(output))
    first = read_inputs([Path(inputs)]) if isinstance(inputs, (str, PathLike)) else list(map(bytes, inputs))
    first += folders.known_inputs()
    jobs = at_least_one("jobs", jobs)
    fleet = Fleet(snapshot, jobs, "threads" if jobs == 1 else "processes", record="never", symbols=symbols,
                  devices=devices)
    with fleet:
        campaign = Campaign(fleet, target, folders, jobs, whole_number("seed", seed), words, name_of_mutator(mutator),
                            comparisons, Pool(snapshot, fleet.program, devices).build)
        with campaign:
            return campaign.run(first or [FIRST_INPUT], Ends(runs, seconds, crashes), minimise, progress)


class Ends:
    """When a campaign ends."""

    def __init__(self, runs: int | None, seconds: float | None, crashes: int | None):
        self.runs = None if runs is None else at_least_one("runs", runs)
        self._crashes = None if crashes is None else at_least_one("crashes", crashes)
        if seconds is not None and not seconds > 0:
            raise ConfigurationError(f"seconds={seconds!r}: more than 0")
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def seconds_left(self) -> float | None:
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def reached(self, runs: int, crashes: int) -> bool:
        return (self.runs is not None and runs >= self.runs or self.seconds_left == 0
                or self._crashes is not None and crashes >= self._crashes)


class Folders:
    """Where a campaign writes; nowhere, if that is None."""

    def __init__(self, output: Path | None):
        self.corpus, self._crashes, self._hangs = (
            None if output is None else output / name for name in ("corpus", "crashes", "hangs"))
        for folder in (self.corpus, self._crashes, self._hangs):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        self._saved: Path | None = None

    def known_inputs(self) -> list[bytes]:
        return [] if self.corpus is None else read_inputs([self.corpus])

    def save(self, finding: Finding, snapshot: Snapshot, examiner: Examiner) -> None:
        """The input, its recording and a report."""
        place = self._crashes if isinstance(finding, Crash) else self._hangs
        if place is None:
            return
        folder = place / name_of(finding.data)
        folder.mkdir(exist_ok=True)
        (folder / "input").write_bytes(finding.data)
        (folder / "report.txt").write_text(finding.report())
        log, _ = examiner.record(finding.data)
        save_run(folder, snapshot, log, self._saved)
        self._saved = self._saved or folder
        finding.folder = folder


class Campaign:
    """One call of `fuzz`.

    - runs, steps, seconds: so far. corpus, crashes, hangs: what was found.
    """

    def __init__(self, fleet: Fleet, target: Target, folders: Folders, jobs: int, seed: int, words: list[bytes],
                 mutator: str | Function | None, comparisons: bool, build: Callable[[], Machine]):
        self.runs = self.steps = 0
        self.corpus = Corpus(target.map_bits, folders.corpus)
        self.crashes: list[Crash] = []
        self.hangs: list[Hang] = []
        self._fleet = fleet
        self._target = target
        self._folders = folders
        self._jobs = jobs
        self._seed = seed
        self._words = dict.fromkeys(words[:MOST_WORDS])
        self._mutator = mutator
        self._comparisons = comparisons
        self._examiner = Examiner(target, build)
        self._exact: deque[bytes] = deque()
        self._walks: deque[Iterator[bytes]] = deque()
        self._hung: NDArray[np.uint8] = np.zeros(1 << target.map_bits, np.uint8)
        self._signatures: dict[Signature, None] = {}
        self._endings: dict[tuple[object, ...], Finding] = {}
        self._batches = 0
        self._began = time.monotonic()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *exception: object) -> None:
        self._examiner.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def run(self, first: list[bytes], ends: Ends, minimise: bool, progress: Watcher | None) -> Fuzzing:
        self._exact.extend(first)
        self._add_words(self._examiner.strings())
        while not ends.reached(self.runs, len(self.crashes)):
            for answer in self._round(ends):
                self._take(answer, minimise)
            if progress is not None:
                progress(self)
        if minimise:
            self.corpus.minimise()
        chosen, others = self.corpus.favoured()
        return Fuzzing(self.runs, self.steps, self.seconds, [found.data for found in (*chosen, *others)],
                       self.corpus.edges, self.crashes, self.hangs)

    # --- A round -----------------------------------------------------------------------------------------------------

    def _round(self, ends: Ends) -> Iterable[Answer]:
        task: Any = Task(run_batch, record="never", keep=True)
        for result in sorted(self._fleet._run(task, self._orders(ends)), key=lambda result: result.index):
            yield result.get()

    def _orders(self, ends: Ends) -> list[Order]:
        chosen, others = self.corpus.favoured()
        inputs = tuple(found.data for found in (*chosen, *others)[:MOST_INPUTS])
        left = [BATCH] * self._jobs if ends.runs is None else shares(ends.runs - self.runs, self._jobs)
        seen, hung = packed(self.corpus.seen), packed(self._hung)
        orders = []
        if self._comparisons and inputs:
            self._look_around(inputs)
        for runs in left:
            exact = self._exact_inputs(runs)
            self._batches += 1
            orders.append(Order(self._target, (self._seed + self._batches * BETWEEN) % SEEDS, runs, inputs,
                                len(chosen), exact, seen, hung, tuple(self._words), self._mutator,
                                frozenset(self._signatures), ends.seconds_left))
        return [order for order in orders if order.runs]

    def _exact_inputs(self, runs: int) -> tuple[bytes, ...]:
        """What is to be run as it is, for as many as half of the runs: the rest is left to chance."""
        inputs = [self._exact.popleft() for _ in range(min(len(self._exact), runs))]
        while self._walks and len(inputs) < runs // 2:
            steps = list(islice(self._walks[0], runs // 2 - len(inputs)))
            inputs += steps
            if not steps:
                self._walks.popleft()
        return tuple(inputs)

    def _look_around(self, inputs: tuple[bytes, ...]) -> None:
        """What inputs that do nothing new are compared with: where all hangs on a check sum, most of them are such."""
        random = Random((self._seed + self._batches * BETWEEN + 1) % SEEDS)
        mutator = Mutator(random, max(len(data) for data in inputs) + 1, list(self._words))
        for _ in range(LOOKED_AT):
            self._compare(mutator.havoc(random.choice(inputs)), HINTS_AROUND)

    def _compare(self, data: bytes, most: int) -> None:
        hints, words = self._examiner.hints(data, most)
        self._exact.extend(hints)
        self._add_words(words)

    def _add_words(self, words: Iterable[bytes]) -> None:
        for word in islice(words, MOST_WORDS - len(self._words)):
            self._words[word] = None

    def _take(self, answer: Answer, minimise: bool) -> None:
        self.runs += answer.runs
        self.steps += answer.steps
        for found in answer.found:
            new_edges = self.corpus.add(found)
            if new_edges is not None and self._comparisons:
                self._compare(found.data, HINTS)
            if new_edges:
                self._walks.append(walk(found.data))
        for data, signature in answer.crashes:
            if signature not in self._signatures:
                if len(self._signatures) < KNOWN:
                    self._signatures[signature] = None
                self._take_ending(Crash, self.crashes, data, minimise)
        for data, (places, buckets) in answer.hangs:
            if (buckets & ~self._hung[places]).any():
                self._hung[places] |= buckets
                self._take_ending(Hang, self.hangs, data, minimise)

    def _take_ending(self, kind: type[Crash] | type[Hang], findings: list[Any], data: bytes, minimise: bool) -> None:
        ending = self._examiner.ending(data)
        known = self._endings.get(ending.key)
        if known is not None:
            known.count += 1
            return
        if minimise and kind is Crash:
            data = self._examiner.shortest(data, ending)
            ending = self._examiner.ending(data)
        finding = kind(data, ending.reason, ending.stack, self._examiner.names(ending.stack))
        self._endings[ending.key] = finding
        findings.append(finding)
        self._folders.save(finding, self._fleet.snapshot, self._examiner)


def shares(runs: int, jobs: int) -> list[int]:
    """Of each job in a round, where so many runs are left."""
    several = min(runs, BATCH * jobs)
    return [several // jobs + (number < several % jobs) for number in range(jobs)]
