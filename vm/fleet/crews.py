"""Who runs the tests of a fleet: threads and processes of this computer, a Dask cluster, or another executor.

All of them are executors after `concurrent.futures`; what differs is how a worker gets the snapshot, and what is done
about one that is gone.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, Literal, Protocol

from vm.errors import ConfigurationError
from vm.fleet.parcel import Missing, Parcel, receive
from vm.fleet.pool import Pool
from vm.fleet.worker import Task, perform, perform_remotely

Inputs = Sequence[tuple[int, Any]]      # each with its place among all
Name = Literal["threads", "processes"]
FEW = 4                                 # inputs under way for each worker: none waits for the fleet


class Crew(Protocol):
    """The workers of a fleet."""

    @property
    def room(self) -> int:
        """How many calls are worth being under way."""

    def start(self, task: Task, inputs: Inputs) -> Future[list[Any]]:
        """Let a worker run these inputs: results, or each of them pickled."""

    def start_alone(self, task: Task, inputs: Inputs) -> Future[list[Any]]:
        """The same, while no other worker does anything: if one is lost, it was for this."""

    def is_loss(self, error: BaseException) -> bool:
        """Whether that is what becomes of a call whose worker is lost."""

    @property
    def deaths(self) -> int:
        """How many workers were lost for a call of which that becomes."""

    def recover(self) -> None:
        """Behind a loss: from now on there are workers again."""

    def ship(self, missing: Missing) -> bool:
        """Send the parcel to the worker that lacks it. False: it goes with the calls from now on."""

    def interrupt(self) -> bool:
        """Let calls that are under way end, if that can be: nobody needs what they would give. False: none is."""

    def close(self) -> None: ...


class Threads:
    """Threads of this process."""

    deaths = 1

    def __init__(self, pool: Pool, executor: Executor, room: int, own: bool):
        self._pool = pool
        self._executor = executor
        self._own = own
        self._interrupted = False
        self.room = room

    def start(self, task: Task, inputs: Inputs) -> Future[list[Any]]:
        return self._executor.submit(self._perform, task, inputs)

    start_alone = start

    def _perform(self, task: Task, inputs: Inputs) -> list[Any]:
        return [perform(self._pool, task, index, data) for index, data in inputs if not self._interrupted]

    def is_loss(self, error: BaseException) -> bool:
        return False

    def recover(self) -> None:
        raise AssertionError("threads are not lost")

    def ship(self, missing: Missing) -> bool:
        raise AssertionError("they have the snapshot")

    def interrupt(self) -> bool:
        self._interrupted = True
        self._pool.interrupt()
        return True

    def close(self) -> None:
        if self._own:
            self._executor.shutdown(cancel_futures=True)
        self._pool.close()


class Processes:
    """Processes of this computer, which read the parcel's file. Where one dies, all of a pool are replaced."""

    deaths = 1

    def __init__(self, parcel: Parcel, workers: int):
        self._parcel = parcel
        self._workers = workers
        self._executor: ProcessPoolExecutor | None = None
        self._alone: ProcessPoolExecutor | None = None
        self.room = FEW * workers

    def start(self, task: Task, inputs: Inputs) -> Future[list[Any]]:
        if self._executor is None:
            refuse_unfound(task)
            self._executor = new_processes(self._workers)
        return self._executor.submit(perform_remotely, self._parcel.address, task, inputs)

    def start_alone(self, task: Task, inputs: Inputs) -> Future[list[Any]]:
        if self._alone is None:
            self._alone = new_processes(1)
            refuse_unborn(self._alone)
        return self._alone.submit(perform_remotely, self._parcel.address, task, inputs)

    def is_loss(self, error: BaseException) -> bool:
        return isinstance(error, BrokenExecutor)

    def recover(self) -> None:
        """Those of a pool that is broken end, and so does the lonely one, which may be the broken one."""
        for executor in (self._executor, self._alone):
            if executor is not None:
                executor.shutdown(cancel_futures=True)
        self._executor = self._alone = None

    def ship(self, missing: Missing) -> bool:
        raise AssertionError(f"the folder of the fleet, {self._parcel.address.folder}, is not there any more")

    def interrupt(self) -> bool:
        for executor in (self._executor, self._alone):
            if executor is not None:
                # Executors end processes themselves since 3.14. Before 3.12, calls that were cancelled make them fail
                # at hearing that those are gone.
                executor._pending_work_items.clear()
                for process in list((executor._processes or {}).values()):
                    process.terminate()
        self.recover()
        return False

    def close(self) -> None:
        self.recover()
        self._parcel.close()


def new_processes(workers: int) -> ProcessPoolExecutor:
    # Not forked: what runs in other threads of this process would be copied in the middle of it.
    return ProcessPoolExecutor(workers, mp_context=get_context("forkserver"), initializer=end_with_parent)


def end_with_parent() -> None:
    """In a worker: end it when the fleet's process is gone, as one that is killed tells nobody that it is."""
    parent = parent_process()
    assert parent is not None

    def wait_for_end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait_for_end, name="vm-fleet-parent", daemon=True).start()


def refuse_unfound(task: Task) -> None:
    """Raise ConfigurationError for a test that other processes would not find."""
    name = getattr(task.test, "__qualname__", repr(task.test))
    if getattr(task.test, "__module__", None) == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
        raise ConfigurationError(f"processes cannot find {name}, which is in no file: put it in a module, or use "
                                 "threads")
    try:
        pickle.dumps(task)
    except Exception as error:              # whatever its own methods raise
        raise ConfigurationError(f"processes cannot be given {name}: {error}; put it at the top of a module, or use "
                                 "threads") from error


def refuse_unborn(executor: ProcessPoolExecutor) -> None:
    """Raise ConfigurationError where not even a process that does nothing lives: no input has ended it."""
    try:
        executor.submit(int).result()
    except BrokenExecutor as error:
        raise ConfigurationError("processes end before they are given anything to do; a script that uses them, and is "
                                 "loaded by them, has its own doings under `if __name__ == \"__main__\":`") from error


class Others:
    """An executor that the user gave. Workers that cannot read the parcel's file get it with their calls."""

    deaths = 1

    def __init__(self, parcel: Parcel, executor: Executor, room: int):
        self._parcel = parcel
        self._executor = executor
        self._content: tuple[bytes, bytes] | None = None
        self.room = room

    def start(self, task: Task, inputs: Inputs) -> Future[list[Any]]:
        return self._executor.submit(perform_remotely, self._parcel.address, task, inputs, self._content)

    start_alone = start

    def is_loss(self, error: BaseException) -> bool:
        return False                        # whose executor it is has to say what becomes of it

    def recover(self) -> None:
        raise AssertionError("the executor is the user's")

    def ship(self, missing: Missing) -> bool:
        self._content = self._parcel.content()
        return False

    def interrupt(self) -> bool:
        return True                         # how, nobody knows

    def close(self) -> None:
        self._parcel.close()


class Cluster:
    """Workers of Dask. One that lacks the parcel is sent it, once; the scheduler runs again what a lost one had."""

    def __init__(self, parcel: Parcel, client: Any):
        self._parcel = parcel
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._shipped: set[str] = set()
        self._content: tuple[bytes, bytes] | None = None

    @property
    def room(self) -> int:
        threads: int = sum(self._client.nthreads().values())
        return FEW * max(threads, 1)

    def start(self, task: Task, inputs: Inputs) -> Future[list[Any]]:
        future: Future[list[Any]] = self._executor.submit(perform_remotely, self._parcel.address, task, inputs)
        return future

    start_alone = start

    def is_loss(self, error: BaseException) -> bool:
        from distributed import KilledWorker

        return isinstance(error, KilledWorker)

    @property
    def deaths(self) -> int:
        """The scheduler tries it again by itself, so often."""
        import dask

        allowed: int = dask.config.get("distributed.scheduler.allowed-failures")
        return allowed + 1

    def recover(self) -> None:
        """Whoever starts workers does it again when one is gone."""

    def ship(self, missing: Missing) -> bool:
        if missing.worker is None:
            raise ConfigurationError("a worker of the cluster does not know its own address: it is no Dask worker")
        if missing.worker not in self._shipped:
            if self._content is None:
                self._content = self._parcel.content()
            answers = self._client.run(receive, self._parcel.address.digest, self._content, workers=[missing.worker],
                                       on_error="ignore")          # one that is gone meanwhile needs none
            self._shipped |= answers.keys()
        return True

    def interrupt(self) -> bool:
        return True                         # what a worker does already it does to its end

    def close(self) -> None:
        self._parcel.close()


def is_dask_client(executor: object) -> bool:
    distributed: Any = sys.modules.get("distributed")       # whoever has a client has imported it
    return distributed is not None and isinstance(executor, distributed.Client)


def cpus() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def own_threads(pool: Pool, workers: int) -> Threads:
    return Threads(pool, ThreadPoolExecutor(workers, thread_name_prefix="vm-fleet"), FEW * workers, own=True)
