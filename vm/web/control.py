"""Running a machine as somebody asks who sits in front of it: on, by steps, not at all, and from a snapshot again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from vm.driving import Driver, PlainDriver
from vm.errors import ConfigurationError, VmError
from vm.stop import Stop, StopReason
from vm.web.timeline import Timeline

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm.web.scrollback import Scrollback

MOST_ASKED = 64                 # requests that wait for the machine to stand still
# What the page knows of; a machine that nobody serves is run by a program, if at all.
RUNNING, PAUSED, ENDED, UNSERVED = "running", "paused", "ended", "unserved"
PAUSES = {StopReason.BUDGET: "", StopReason.BREAKPOINT: "breakpoint", StopReason.WATCHPOINT: "watchpoint"}


class Control:
    """Of one machine, and of what its console has printed, which goes back with it.

    - changed, complain: called when it runs or stands otherwise than before; and with what could not be done.
    - mode, why: how it is, and why it does not run.
    """

    def __init__(self, machine: Machine, printed: Scrollback, changed: Callable[[], None],
                 complain: Callable[[str], None]):
        self.timeline = Timeline()
        self.why = ""
        self._machine = machine
        self._printed = printed
        self._changed = changed
        self._complain = complain
        self._serving = self._in_run = False
        self._mode = RUNNING                # while it is served
        self._steps: int | None = None      # that are to be done; None: no end was asked for
        self._end: Stop | None = None       # of the guest
        self._asked: deque[Callable[[], None]] = deque()
        self._stopping = False              # for what was asked

    @property
    def mode(self) -> str:
        return self._mode if self._serving else UNSERVED

    # --- The loop ----------------------------------------------------------------------------------------------------

    def serve(self, driver: Driver | None, watched: Callable[[], bool]) -> Stop:
        """As `WebConsole.serve`; `watched`: whether somebody looks at a guest that has ended."""
        driver = driver or PlainDriver(self._machine)
        inputs = self._machine.inputs
        before, inputs.interactive = inputs.interactive, True
        self._serving, self._end = True, None
        self._be(RUNNING)
        try:
            while not driver.quitting:
                while self._asked:
                    self.attempt(self._asked.popleft())
                if self._mode == RUNNING:
                    stop = self._run(driver)
                    if stop.reason is StopReason.IDLE:
                        inputs.poll()           # somebody may type what it waits for
                    elif stop.reason is not StopReason.REQUESTED:
                        self._note(stop)        # a stop that was asked for too late is that of the next run
                    elif self._stopping:
                        self._stopping = False
                    else:
                        return stop
                elif self._end is not None and not watched():
                    return self._end
                else:
                    inputs.poll()
            return Stop(StopReason.REQUESTED, self._machine.harts[0].pc, 0, 0)
        finally:
            inputs.interactive = before
            self._serving = False
            self._changed()

    def _run(self, driver: Driver) -> Stop:
        before, self._in_run = self._machine.steps, True
        try:
            stop = driver.run(self._steps)
        finally:
            self._in_run = False
        if self._steps is not None:
            self._steps -= self._machine.steps - before
        return stop

    def _note(self, stop: Stop) -> None:
        """Why the machine has stopped."""
        if stop.reason in PAUSES:
            self._be(PAUSED, PAUSES[stop.reason])
        else:
            self._end = stop
            self._be(ENDED, f"{stop.reason.value}{stop.message and ': '}{stop.message}")

    def _be(self, mode: str, why: str = "", steps: int | None = None) -> None:
        self._mode, self.why, self._steps = mode, why, steps
        self._changed()

    # --- What is asked for -------------------------------------------------------------------------------------------

    def ask(self, action: Callable[[], None]) -> None:
        """Do it when the machine stands still, which it does for that."""
        if not self._serving:
            self._complain("a program runs this machine, and does not serve the console now: it can be looked at")
        elif len(self._asked) >= MOST_ASKED:
            self._complain("too much is asked for at once")
        else:
            self._asked.append(action)
            if self._in_run:
                self._stopping = True
                self._machine.request_stop()

    def tell(self, action: Callable[[], None]) -> None:
        """Do it now, in the middle of a run too; but behind what was asked for before."""
        if self._asked:
            self.ask(action)
        else:
            self.attempt(action)

    def attempt(self, action: Callable[[], None]) -> None:
        """Do it, and complain where it cannot be done."""
        try:
            action()
        except (VmError, MemoryError) as error:
            self._complain(str(error) or "the host has no more memory")

    def pause(self) -> None:
        if self._mode == RUNNING:
            self._be(PAUSED)

    def go_on(self) -> None:
        self._start(None)

    def step(self, count: int) -> None:
        """So many steps, all harts together."""
        self._start(count)

    def _start(self, steps: int | None) -> None:
        if self._mode == ENDED:
            raise ConfigurationError("the guest has ended: go back to a snapshot")
        self._be(RUNNING, steps=steps)

    def take(self, name: str) -> None:
        """A snapshot."""
        self.timeline.refuse_more()
        self.timeline.add(name, self._machine.clock.now_ns(), self._machine.snapshot(), self._printed.save())
        self._changed()

    def restore(self, number: int) -> None:
        """Go to a snapshot. A machine that ran runs on from there, one that has ended is paused."""
        moment = self.timeline[number]
        self._machine.restore(moment.snapshot)
        self.timeline.here = number
        self._printed.load(moment.printed)
        self._end = None
        if self._mode == ENDED:
            self._be(PAUSED)
        else:
            self._be(self._mode)

    def drop(self, number: int) -> None:
        del self.timeline[number]
        self._changed()

    def name_functions(self) -> None:
        """Of the guest's Linux, as its own memory has them."""
        _ = self._machine.linux.symbols
        self._changed()
