"""`--record` and `--replay`: a run on the terminal that is written down, or comes again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vm.log import Log
from vm.machine import Machine
from vm.terminal import Terminal


class Audience(Terminal):
    """A terminal that shows what a replayed guest prints. Ctrl-A works; what else is typed is lost, and it says so."""

    _told = False

    def _type(self, data: bytes) -> None:
        history = self.machine.inputs.history
        if history is None or history.live:
            super()._type(data)
        elif data and not self._told:
            self._told = True
            self.report("vm: keys are lost: all that is typed comes from the log")


def audience_or(machine: Machine, terminal: type[Terminal]) -> type[Terminal]:
    """What the user sits at: this terminal, or an audience where a log is replayed."""
    return Audience if machine.inputs.history is not None and not machine.inputs.history.live else terminal


@contextmanager
def logged(machine: Machine, record: str | None, replay: str | None) -> Iterator[None]:
    """Record what the machine does inside, and write the log however it ends; or let it replay one."""
    if replay:
        machine.replay(Log.load(replay))
    recording = machine.record() if record else None
    try:
        yield
    finally:
        if recording is not None and record is not None:
            recording.stop().save(record)
