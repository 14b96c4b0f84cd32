"""The machines of a test session: each kind is started once, and each test gets a fork."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import pytest

from vm.log import Log
from vm.machine import Machine
from vm.recording import Recording
from vm.run_folder import save_run
from vm.runner import Ceiling
from vm.snapshot import Snapshot
from vm.testing.starts import Start


class Origin:
    """What tests begin with: a moment of a machine that was started once."""

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot
        self._saved: Path | None = None     # the first folder that has it

    def save(self, folder: Path, log: Log) -> None:
        """Write a run that began here into a folder."""
        save_run(folder, self.snapshot, log, self._saved)
        self._saved = self._saved or folder


@dataclass
class Broken:
    """What did not come to where tests begin. The machine, if it was built, is closed, and can be looked at."""

    error: Exception
    trace: TracebackType | None
    machine: Machine | None = None

    def again(self) -> Exception:
        """The error, to be raised, as it came the first time."""
        return self.error.with_traceback(self.trace)


@dataclass
class Subject:
    """A machine of a test, and what is known of it when the test fails.

    - origin: what it began as; None if it never came there.
    - recording: of its run; None where none was asked for, or none can be.
    - no_recording: why there is none, for people; "" where none was asked for.
    """

    name: str
    machine: Machine
    origin: Origin | None
    folders: pytest.TempPathFactory
    recording: Recording | None = None
    no_recording: str = ""

    def record(self) -> None:
        """From now on, until something is done to the machine that no recording can hold."""
        if self.machine.clock.kind != "virtual":
            self.no_recording = "none: a machine with clock='real' cannot be recorded"
            return
        self.recording = self.machine.record()
        self.machine.inputs.on_unfit = self._end

    def _end(self, what: str) -> None:
        if self.recording is not None:
            self.recording.stop()
            self.recording = None
            self.no_recording = f"none: the test called {what}(), which cannot be part of one"

    def limit(self, seconds: float) -> None:
        """No run of it goes on for longer than this, in guest time from now on."""
        def passed() -> NoReturn:
            pytest.fail(f"the guest of `{self.name}` has run for {seconds:g} seconds of its time, which is all that "
                        "guest_timeout gives this test")

        end = self.machine.clock.now_ns() + round(seconds * 10**9)
        self.machine._runner.limit(Ceiling(end, passed))


class Machines:
    """Those of a session, in one process."""

    def __init__(self) -> None:
        self._origins: list[tuple[Start, Origin | Broken]] = []     # few; what they are of may have no hash

    def fork(self, name: str, start: Start, request: pytest.FixtureRequest,
             subjects: list[Subject]) -> Iterator[Machine]:
        """A fixture: the machine for one test, which is closed behind it. `subjects` are those of the test."""
        folders = request.getfixturevalue("tmp_path_factory")
        origin = self._origin(start)
        if isinstance(origin, Broken):
            if origin.machine is not None:
                subjects.append(Subject(name, origin.machine, None, folders))
            raise origin.again()
        with origin.snapshot.machine() as machine:
            subject = Subject(name, machine, origin, folders)
            subjects.append(subject)
            if to_be_recorded(request.config):
                subject.record()
            if (seconds := guest_timeout(request.node)) is not None:
                subject.limit(seconds)
            yield machine

    def _origin(self, start: Start) -> Origin | Broken:
        for known, origin in self._origins:
            if known == start:
                return origin
        made = begun(start)
        self._origins.append((start, made))
        return made


def begun(start: Start) -> Origin | Broken:
    """What all tests of that start get: an error, too, for another try would take as long."""
    try:
        machine = start.build()
    except Exception as error:
        return Broken(error, error.__traceback__)
    with machine:
        try:
            start.settle(machine)
            return Origin(machine.snapshot())
        except Exception as error:
            return Broken(error, error.__traceback__, machine)


def to_be_recorded(config: pytest.Config) -> bool:
    asked = config.getini("vm_record") or "failed"
    if asked not in ("failed", "never"):
        raise pytest.UsageError(f"{config.inipath}: vm_record = {asked}: it is failed or never")
    return bool(asked == "failed")


def guest_timeout(node: pytest.Item) -> float | None:
    """What the closest mark of that name says."""
    mark = node.get_closest_marker("guest_timeout")
    if mark is None:
        return None
    seconds = mark.args[0] if len(mark.args) == 1 and not mark.kwargs else mark.kwargs.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not isfinite(seconds) or seconds <= 0:
        raise pytest.UsageError(f"mark guest_timeout of {node.nodeid}: it takes one number of guest seconds, above 0")
    return float(seconds)
