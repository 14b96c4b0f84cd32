"""What a worker does: tests on machines of a pool, one input after the other."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from vm.errors import ConfigurationError, VmError
from vm.fleet.parcel import STORE, Address
from vm.fleet.pool import Pool, Seat
from vm.fleet.result import Result

if TYPE_CHECKING:
    from vm.limits import Limits
    from vm.machine import Machine
    from vm.recording import Recording

Test = Callable[["Machine", Any], Any]
Record = Literal["again", "always", "never"]

NOT_OF_A_TEST = (KeyboardInterrupt, GeneratorExit)      # what ends the worker, too


@dataclass(frozen=True)
class Task:
    """How inputs are run. Attributes as of `Fleet`; `keep`: what the test leaves on the machine is for the next."""

    test: Test
    limits: Limits | None = None
    coverage: bool = False
    record: Record = "again"
    keep: bool = False


def perform(pool: Pool, task: Task, index: int, data: Any) -> Result:
    """One input, on a machine of the pool. What is wrong with the pool is raised, what the test raises is a result."""
    with pool.seat(keep=task.keep) as seat:
        result = run_test(seat, task, index, data, record=task.record == "always")
    if result.ok or task.record != "again":
        return result
    with pool.seat() as seat:
        again = run_test(seat, task, index, data, record=True)
    if (type(again.error), again.console, again.steps) == (type(result.error), result.console, result.steps):
        return replace(result, log=again.log, no_log=again.no_log)
    return replace(result, no_log="none: the test did something else when it was run again to be recorded; "
                                  "record='always' records each run")


def run_test(seat: Seat, task: Task, index: int, data: Any, *, record: bool) -> Result:
    machine = seat.machine
    machine.limits = task.limits or machine._plan.arguments["limits"]
    coverage = seat.count_coverage() if task.coverage else None
    recorder = Recorder(machine) if record else None
    begin, printed = machine.steps, len(machine.console.output)
    value: Any = None
    error: BaseException | None = None
    try:
        value = task.test(machine, data)
    except NOT_OF_A_TEST:
        raise
    except BaseException as raised:         # pytest's outcomes are no Exceptions
        error = raised
    log, no_log = (None, "") if recorder is None else recorder.end()
    return Result(
        index, data, value, error, "" if error is None else "".join(traceback.format_exception(error)),
        console=machine.console.output[printed:], stop=machine._runner.last_stop,
        steps=max(machine.steps - begin, 0), coverage=None if coverage is None else coverage.kept(),
        log=None if error is None else log, no_log="" if error is None else no_log)


class Recorder:
    """Records a test, as far as that goes."""

    def __init__(self, machine: Machine):
        self._machine = machine
        self._recording: Recording | None = None
        self._why_not = ""
        try:
            self._recording = machine.record()
            machine.inputs.on_unfit = self._end
        except ConfigurationError as error:
            self._why_not = f"none: {error}"

    def _end(self, what: str) -> None:
        if self._recording is not None:
            self._recording.stop()
            self._recording = None
            self._why_not = f"none: the test called {what}(), which cannot be part of one"

    def end(self) -> tuple[Any, str]:
        """The log; or None, and why there is none."""
        self._machine.inputs.on_unfit = None
        if self._recording is None:
            return None, self._why_not
        try:
            return self._recording.stop(), ""
        except VmError as error:
            return None, f"none: {error}"


# --- In another process ----------------------------------------------------------------------------------------------

def perform_remotely(address: Address, task: Task, inputs: Sequence[tuple[int, Any]],
                     content: tuple[bytes, bytes] | None = None) -> list[bytes]:
    """Results of these inputs, each pickled by itself. Raises Missing where `content`, the parcel's, is needed."""
    if content is not None:
        STORE.receive(address.digest, content)
    pool = STORE.pool(address)
    return [packed(perform(pool, task, index, data)) for index, data in inputs]


def packed(result: Result) -> bytes:
    """For the way back, without the input, which is there already. What cannot be sent is said so."""
    result = replace(result, input=None)
    try:
        content = pickle.dumps(result)
        pickle.loads(content)               # errors are made anew by their constructors
        return content
    except Exception as error:
        what = f"what the test raised, {result.error!r}," if result.value is None else f"{result.value!r:.200}"
        unsent = TypeError(f"{what} cannot be sent from a worker to the fleet: {error}")
        return pickle.dumps(replace(result, value=None, error=unsent))
