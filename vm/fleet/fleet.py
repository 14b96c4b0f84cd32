"""A function over inputs, each on a machine of its own that begins at a snapshot."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from re import sub
from typing import TYPE_CHECKING, Any

from vm.arguments import one_of, refuse_other, whole_number
from vm.errors import ConfigurationError, WorkerLost
from vm.fleet.crews import FEW, Cluster, Crew, Name, Others, Processes, Threads, cpus, is_dask_client, own_threads
from vm.fleet.parcel import Devices, Missing, Parcel
from vm.fleet.pool import Pool
from vm.fleet.result import Result
from vm.fleet.worker import Record, Task, Test
from vm.limits import Limits
from vm.run_folder import save_run
from vm.snapshot import Snapshot

if TYPE_CHECKING:
    from vm.loaders import Program
    from vm.loaders.common import Source
    from vm.machine import Machine

AGAIN = 0.1                             # seconds, between attempts to interrupt
LOSSES = 3                              # of its worker until an input is reported as such
NAME = 40                               # characters of an error in the name of a folder


class Fleet:
    """Runs tests on forks of a snapshot. To be used in a `with` statement.

    - workers: how many at once; as many as there are CPUs for this process. An executor of your own has its number.
    - executor: "threads"; "processes"; a `distributed.Client` of Dask; or another executor after `concurrent.futures`.
      Threads need nothing, and use several CPUs while guests run. Elsewhere tests, inputs and values are pickled.
    - limits: a `vm.Limits` for each input. It begins anew with each, and ends it with LimitReached.
    - coverage: let each result have what was executed.
    - record: "again": a test that fails is run once more, and recorded; "always": each run is, which takes longer, and
      gets failures that do not come again; "never".
    - recordings: a folder, where recorded failures are saved, each in one of its own, for `vm replay`.
    - symbols: an ELF file that names addresses, where the snapshot is from a file. Each machine has it as its program.
    - devices: a function that returns devices by their names on the board, for each machine. Processes need one for
      devices that a file cannot make, as disks are.
    - chunk: how many inputs a worker is given at once. More are faster where each takes less than a millisecond.
    - progress: show how many are done, on standard error.

    Results are the same on all executors, and in the order of inputs from `map`. A worker that dies loses nothing: what
    it had is run again. An input whose worker dies 3 times gets WorkerLost as its error.

    Raises ConfigurationError for what cannot be, also a snapshot that other processes cannot have.
    """

    def __init__(self, snapshot: Snapshot, workers: int | None = None, executor: Name | Executor | Any = "threads", *,
                 limits: Limits | None = None, coverage: bool = False, record: Record = "again",
                 recordings: str | Path | None = None, symbols: Source | None = None, devices: Devices | None = None,
                 chunk: int = 1, progress: bool = False):
        refuse_other("Fleet() takes what snapshot() gave", snapshot, Snapshot)
        if limits is not None and not isinstance(limits, Limits):
            raise ConfigurationError(f"limits={limits!r}: they are a vm.Limits")
        one_of("record", record, Record)
        self._chunk = at_least_one("chunk", chunk)
        self._workers = cpus() if workers is None else at_least_one("workers", workers)
        self.snapshot = snapshot
        self._options = Task(nothing, limits, coverage, record)
        self._recordings = None if recordings is None else usable_folder(recordings)
        self._saved: Path | None = None         # the first recording, which has the snapshot's file
        self._devices = devices
        self._progress = progress
        self._executor = executor
        self.program = self._program(symbols)
        self._crew: Crew | None = self._new_crew(executor, self.program)
        self._under_way: set[Future[list[Any]]] = set()

    def _new_crew(self, executor: Name | Executor | Any, program: Program | None) -> Crew:
        if executor == "threads":
            return own_threads(Pool(self.snapshot, program, self._devices), self._workers)
        if isinstance(executor, ThreadPoolExecutor):
            pool = Pool(self.snapshot, program, self._devices)
            return Threads(pool, executor, FEW * executor._max_workers, own=False)
        if executor == "processes":
            return Processes(Parcel(self.snapshot, program, self._devices), self._workers)
        if is_dask_client(executor):
            return Cluster(Parcel(self.snapshot, program, self._devices), executor)
        if not isinstance(executor, Executor):
            raise ConfigurationError(f"executor={executor!r}: 'threads', 'processes', a distributed.Client, or an "
                                     "executor after concurrent.futures")
        return Others(Parcel(self.snapshot, program, self._devices), executor, FEW * self._workers)

    def _program(self, symbols: Source | None) -> Program | None:
        """Who names addresses on all machines."""
        if symbols is None:
            return None if self.snapshot.start is None else self.snapshot.start.program
        with self.snapshot.machine(devices=None if self._devices is None else self._devices()) as machine:
            return machine.read_symbols(symbols)

    # --- Running -----------------------------------------------------------------------------------------------------

    def map(self, test: Test, inputs: Iterable[Any]) -> Iterator[Result]:
        """Call `test(machine, input)` for each, on a machine that stands at the snapshot; results in their order.

        What the test leaves on the machine, as hooks and breakpoints, is gone for the next. Inputs are taken as there
        are workers for them: they may be endless. The test and what it returns can be pickled, where other processes
        are to run it.
        """
        waiting: dict[int, Result] = {}
        wanted = 0
        for result in self.as_completed(test, inputs):
            waiting[result.index] = result
            while wanted in waiting:
                yield waiting.pop(wanted)
                wanted += 1

    def as_completed(self, test: Test, inputs: Iterable[Any]) -> Iterator[Result]:
        """The same, each result as soon as it is there."""
        if not callable(test):
            raise ConfigurationError(f"test={test!r}: it is called with a machine and an input")
        total = len(inputs) if isinstance(inputs, Sized) else None
        return self._run(replace(self._options, test=test), inputs, total)

    def _run(self, task: Task, inputs: Iterable[Any], total: int | None = None) -> Iterator[Result]:
        if self._crew is None:
            raise ConfigurationError("the fleet is closed: use it in a `with` statement")
        with self._bar(total) as advance:
            for result in Round(self._crew, task, enumerate(inputs), self._chunk, self._under_way).results():
                advance()
                yield self._save(result)

    def _save(self, result: Result) -> Result:
        if self._recordings is None or result.log is None:
            return result
        name = sub(r"\W+", "-", f"{result.index:06}-{type(result.error).__name__}")[:NAME]
        folder = self._recordings / name
        folder.mkdir(parents=True, exist_ok=True)
        save_run(folder, self.snapshot, result.log, self._saved)
        self._saved = self._saved or folder
        return replace(result, recording=folder)

    @contextmanager
    def _bar(self, total: int | None) -> Iterator[Any]:
        if not self._progress:
            yield lambda: None
            return
        from rich import progress as bars
        from rich.console import Console  # here: elsewhere nobody waits for it to load

        columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(),
                   bars.TimeRemainingColumn())
        with bars.Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
            task = bar.add_task("inputs", total=total)
            yield lambda: bar.advance(task)

    # --- End ---------------------------------------------------------------------------------------------------------

    def close(self, *, at_once: bool = False) -> None:
        """Let the workers go; twice is harmless. Executors of your own go on.

        `at_once`: runs of machines are stopped, and processes terminated, as where an exception leaves the `with`
        block. A test that is busy in Python ends in processes only.
        """
        crew, self._crew = self._crew, None
        if crew is not None:
            for future in self._under_way:
                future.cancel()
            while at_once and crew.interrupt() and wait(self._under_way, timeout=AGAIN).not_done:
                pass                        # once more: a test may begin another run
            if not at_once:
                wait(self._under_way)
            crew.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.close(at_once=kind is not None)

    def __repr__(self) -> str:
        return f"<Fleet of {self.snapshot!r}: {'closed' if self._crew is None else self._executor}>"


class Round:
    """One pass over inputs."""

    def __init__(self, crew: Crew, task: Task, inputs: Iterator[tuple[int, Any]], chunk: int,
                 under_way: set[Future[list[Any]]]):
        self._crew = crew
        self._task = task
        self._inputs = inputs
        self._chunk = chunk
        self._calls: dict[Future[list[Any]], list[tuple[int, Any]]] = {}
        self._again: deque[list[tuple[int, Any]]] = deque()     # for want of the parcel
        self._suspects: deque[tuple[int, Any]] = deque()        # one of them has ended a worker
        self._broken = False                                    # nobody has recovered from that loss
        self._losses: dict[int, int] = {}
        self._under_way = under_way

    def results(self) -> Iterator[Result]:
        try:
            while self._start() or self._calls or self._suspects:
                if not self._calls:
                    yield self._examine(self._suspects.popleft())
                    continue
                done, _ = wait(self._calls, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda future: self._calls[future][0][0]):
                    yield from self._finish(future)
        finally:
            for future in self._calls:
                future.cancel()

    def _start(self) -> bool:
        """Let workers have more to do, unless one was lost: first it is to be known for what."""
        started = False
        while not self._suspects and len(self._calls) < self._crew.room:
            inputs = self._again.popleft() if self._again else list(islice(self._inputs, self._chunk))
            if not inputs:
                break
            try:
                future = self._crew.start(self._task, inputs)
            except BaseException as error:      # the pool is broken, and nobody has looked at its calls yet
                if not self._crew.is_loss(error):
                    raise
                self._lose(inputs)
                break
            self._calls[future] = inputs
            self._under_way.add(future)
            started = True
        return started

    def _finish(self, future: Future[list[Any]]) -> Iterator[Result]:
        inputs = self._calls.pop(future)
        self._under_way.discard(future)
        error = future.exception()
        if error is None:
            yield from self._answers(future.result(), inputs)
        elif isinstance(error, Missing):
            self._crew.ship(error)
            self._again.append(inputs)
        elif self._crew.is_loss(error):
            self._lose(inputs)
        else:
            raise error

    def _answers(self, answers: list[Any], inputs: list[tuple[int, Any]]) -> Iterator[Result]:
        for answer, (index, data) in zip(answers, inputs, strict=True):
            result: Result = pickle.loads(answer) if isinstance(answer, bytes) else answer
            yield replace(result, input=data, attempts=1 + self._losses.get(index, 0))

    def _lose(self, inputs: list[tuple[int, Any]]) -> None:
        """A worker is gone, and these were under way."""
        for index, _ in inputs:
            self._losses[index] = self._losses.get(index, 0) + 1
        self._broken = True
        self._suspects.extend(inputs)

    def _examine(self, suspect: tuple[int, Any]) -> Result:
        """Run one by itself, while nothing else runs, until it has a result or has ended its worker too often."""
        index, data = suspect
        if self._broken:
            self._crew.recover()
            self._broken = False
        times = 0
        while times < LOSSES:
            answers = self._alone([suspect])
            if answers is not None:
                return next(self._answers(answers, [suspect]))
            times += self._crew.deaths
            self._losses[index] += 1
            self._crew.recover()
        error = WorkerLost(f"input {index} ({data!r:.200}) has ended its worker {times} times, while nothing else ran",
                           times)
        return Result(index, data, error=error, attempts=self._losses[index])

    def _alone(self, inputs: list[tuple[int, Any]]) -> list[Any] | None:
        """None: the worker was lost."""
        while True:
            future = self._crew.start_alone(self._task, inputs)
            error = future.exception()
            if error is None:
                return future.result()
            if isinstance(error, Missing):
                self._crew.ship(error)
            elif self._crew.is_loss(error):
                return None
            else:
                raise error


def nothing(machine: Machine, data: Any) -> None:
    """The test, until there is one."""


def usable_folder(path: str | Path) -> Path:
    """Made, if it is not there. Raises ConfigurationError where that cannot be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"recordings={str(path)!r}: {error.strerror}; name a folder") from error
    return folder


def at_least_one(name: str, value: int) -> int:
    number = whole_number(name, value)
    if number < 1:
        raise ConfigurationError(f"{name}={value}: at least 1")
    return number
