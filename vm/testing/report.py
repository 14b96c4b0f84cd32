"""What the report of a failing test says of its machines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from traceback import walk_tb
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from vm.errors import VmError

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm.testing.machines import Subject

LINES = 30                          # of the console, at most
BYTES = 4000
FOLDER_NAME = 40                    # characters of a test's name in that of its folder
OURS = ("vm", "vm_native")
ON_PURPOSE = VmError, pytest.UsageError, TypeError, ValueError, OSError       # raised here for what was asked
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[^\n\t\x20-\x7e\xa0-\uffff]")       # ECMA-48, and other controls


def sections(subjects: Sequence[Subject], test: str) -> list[tuple[str, str]]:
    """Titles and texts, for each machine of the test."""
    return [section for subject in subjects for section in sections_of(subject, test)]


def sections_of(subject: Subject, test: str) -> Iterator[tuple[str, str]]:
    machine, name = subject.machine, subject.name
    yield f"{name}: console", console_tail(machine)
    yield f"{name}: where it stands", "\n".join(standing(machine))
    if recording := recorded(subject, test):
        yield f"{name}: recording", recording


def console_tail(machine: Machine) -> str:
    text = machine.console.output[-BYTES:].decode(errors="replace").replace("\r\n", "\n")
    lines = ESCAPES.sub("", text).splitlines()[-LINES:]
    return "\n".join(lines) or "it has printed nothing"


def standing(machine: Machine) -> Iterator[str]:
    """How the last run ended, and where each hart is."""
    stop = machine._runner.last_stop
    if stop is None:
        yield "last run: none, or something was raised in it"
    else:
        code = "" if stop.exit_code is None else f", exit code {stop.exit_code}"
        message = f"; {stop.message}" if stop.message else ""
        yield f"last run: {stop.reason.value}{code}, {stop.steps:,} steps{message}"
    yield f"guest time {machine.clock.now_ns() / 10**9:.9f} s, {machine.steps:,} steps"
    for hart in machine.harts:
        symbol = machine.lookup(hart.pc)
        yield f"hart {hart.id}: pc {hart.pc:#x}" + (f" {symbol}" if symbol else "") + f", {hart.state}"


def recorded(subject: Subject, test: str) -> str:
    """Write the recording of the run, and say where; "" where none was asked for."""
    if subject.recording is None or subject.origin is None:
        return subject.no_recording
    name = re.sub(r"\W+", "-", f"{test[:FOLDER_NAME]}-{subject.name}")
    try:
        log = subject.recording.log
        folder = subject.folders.mktemp(name)
        subject.origin.save(folder, log)
    except Exception as error:              # whatever it is, the test's own failure is what the report is for
        return f"none: {error!r}"
    return f"vm replay {folder}"


def hide_our_frames(error: BaseException) -> None:
    """Let pytest show the test's lines and not ours, of this error and those that it came of.

    But where the mistake seems to be in this package, they are what is wanted.
    """
    hidden = isinstance(error, ON_PURPOSE) or not is_ours(frames(error)[-1])
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            waiting += [one.__cause__, one.__context__]
            for frame in filter(is_ours, frames(one)):
                frame.f_globals["__tracebackhide__"] = hidden


def frames(error: BaseException) -> list[FrameType]:
    """From the outermost to the one that raised."""
    return [frame for frame, _ in walk_tb(error.__traceback__)]


def is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in OURS
