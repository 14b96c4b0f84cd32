"""Letting the machine run as a debugger asks for: on, by single instructions of one hart, and backwards.

Harts take turns in one thread. Whatever is asked of one hart, the others run too when it is their turn; except where
one hart alone is stepped (`vCont;s:N` and nothing for the others): that is given the turn, and only its instruction is
executed. A hart that waits has none: then the others run until it goes on, as they do in a recording or a replay, where
the turns are part of what is repeated.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from vm.driving import Driver
from vm.gdb.link import Link
from vm.gdb.masking import without_interrupts
from vm.gdb.points import Points
from vm.gdb.stops import ABORTED, BEGINNING_OF_HISTORY, ENDS, INTERRUPTED, Halt, halt_of
from vm.hart import Hart
from vm.probes import Probe, Watchpoint
from vm.reverse import Past, past_of
from vm.stop import Stop, StopReason

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm_native.execution.scheduler import Scheduler

INNERMOST = -3                      # frames of an exception that a debugger shows
BACKWARDS = ("step back", "run back")
Place = tuple[int, int]             # the step, and the pc of a hart
HITS = (StopReason.BREAKPOINT, StopReason.WATCHPOINT)


class Interrupted(Exception):
    """The debugger, or somebody else, wants a stop on a way that takes several runs."""


class Resume(NamedTuple):
    """What a debugger asks for.

    - hart: whose steps count. others: whether the other harts may run meanwhile.
    - within: while the hart's pc is there, from the first address up to before the second, steps go on.
    """

    action: Literal["run", "step", "step back", "run back"]
    hart: Hart
    others: bool = True
    within: range = range(0)


class Passing(NamedTuple):
    """A watchpoint was met: which, in which direction, by which hart, which is at this pc behind it, in which step."""

    probe: Probe
    backwards: bool
    hart: int
    pc: int
    step: int


class Running:
    """Runs a machine for one debugger. `error`: the exception that the last run ended with, if it did."""

    def __init__(self, machine: Machine, scheduler: Scheduler, driver: Driver, points: Points, link: Link):
        self._machine = machine
        self._scheduler = scheduler
        self._driver = driver
        self._points = points
        self._link = link
        self._ended: tuple[Place, Stop] | None = None       # told as the end of the history, there
        self._stepped_over: Passing | None = None
        self.error: Exception | None = None

    def go(self, resume: Resume) -> Halt | Stop:
        """Do it; the stop as the debugger sees it, or that with which the guest has ended."""
        if self._ended is not None and resume.action in ("run", "step"):
            place, stop = self._ended
            if place == self._place_of(stop.hart):
                return stop
        self._ended = self.error = None
        done = self._is_done(resume)
        self._stepped_over = None
        self._points.settle()
        if done:
            return Halt(resume.hart.id)
        self._link.run_begins()
        try:
            told = ACTIONS[resume.action](self, resume)
            return self._at_access(told, resume)
        except Interrupted:
            return Halt(self._scheduler.current_hart, INTERRUPTED)
        except Exception as error:      # of a device, or because the machine cannot run: the debugger's user hears it
            self.error = error
            text = "".join(traceback.format_exception(error, limit=INNERMOST))
            return Halt(self._scheduler.current_hart, ABORTED, text=text)
        finally:
            self._link.run_ended()

    # --- Over what is watched ----------------------------------------------------------------------------------------

    # Debuggers believe of RISC-V that a watchpoint is met before the access: they take it away, and step over that
    # instruction, in the direction in which they went. When they hear of it here, it has been executed, or undone: that
    # step would lead too far.

    def _at_access(self, told: Halt | Stop, resume: Resume) -> Halt | Stop:
        if isinstance(told, Halt) and told.watched is not None:
            backwards = resume.action in BACKWARDS
            self._stepped_over = Passing(told.watched, backwards, told.hart, self._machine.harts[told.hart].pc,
                                         self._machine.steps)
        return told

    def _is_done(self, resume: Resume) -> bool:
        """Whether that step is asked for."""
        over, hart = self._stepped_over, resume.hart
        return (over is not None and resume.action == ("step back" if over.backwards else "step") and not resume.within
                and over[2:] == (hart.id, hart.pc, self._machine.steps) and self._points.is_withdrawn(over.probe))

    # --- Forwards ----------------------------------------------------------------------------------------------------

    def _run(self, resume: Resume) -> Halt | Stop:
        return self._told(self._driver.run(None))

    def _step(self, resume: Resume) -> Halt | Stop:
        hart = resume.hart
        while True:
            stop = self._step_once(hart, resume.others)
            if stop is not None:
                return self._told(stop)
            if hart.pc not in resume.within:
                return Halt(hart.id)

    def _step_once(self, hart: Hart, others: bool) -> Stop | None:
        """One instruction of this hart; what stopped the machine before, or with it, if that is worth telling."""
        before, place = hart.steps, hart.pc
        if not others:
            self._give_turn(hart)
        while hart.steps == before:
            with without_interrupts(self._machine, hart):
                stop = self._driver.run(1)
            stands = stop.reason is StopReason.BREAKPOINT and (stop.hart, stop.pc) == (hart.id, place)
            if stop.reason is not StopReason.BUDGET and not (stands and hart.steps == before):
                return stop
        return None

    def _give_turn(self, hart: Hart) -> None:
        """Let this hart be the next to run, if it does. Its reservation is lost, as it is with each turn."""
        turn, left, unserved, asked = self._scheduler.save()
        count, history = len(self._machine.harts), self._machine.inputs.history
        if (turn == hart.id and left > 0) or count == 1 or hart.state != "started":
            return
        if history is not None and not isinstance(history, Past):
            return
        self._scheduler.load(((hart.id - 1) % count, 0, unserved, asked))
        if history is not None:
            history.wrote(0, b"")       # whose turn it is has come from outside

    def _told(self, stop: Stop) -> Halt | Stop:
        """The stop as the debugger sees it."""
        if stop.reason in HITS:
            known = [(hit, reason) for hit in stop.hits if (reason := self._points.reason(hit))]
            if not known:
                return Halt(stop.hart)
            hit, reason = known[0]
            return Halt(stop.hart, reason=reason, watched=hit.probe if isinstance(hit.probe, Watchpoint) else None)
        if stop.reason is StopReason.REQUESTED and self._link.interrupted:
            return Halt(self._machine.harts[stop.hart].id, INTERRUPTED)
        if stop.reason in ENDS:
            if past_of(self._machine.inputs) is None:
                return stop
            self._ended = self._place_of(stop.hart), stop       # there is a way back from here
        return halt_of(stop)

    def _place_of(self, hart: int) -> Place:
        return self._machine.steps, self._machine.harts[hart].pc

    # --- Backwards ---------------------------------------------------------------------------------------------------

    def _past(self) -> Past:
        past = past_of(self._machine.inputs)
        assert past is not None             # else the command was refused
        return past

    def _at_beginning(self, hart: int) -> Halt:
        self._go_back(self._machine.steps - self._past().beginning)
        return Halt(hart, reason=BEGINNING_OF_HISTORY)

    def _step_back(self, resume: Resume) -> Halt | Stop:
        """To before the last instruction of the hart."""
        past, hart, machine = self._past(), resume.hart, self._machine
        before, later, distance = hart.steps, machine.steps, 1
        while hart.steps == before:
            if machine.steps == past.beginning:
                return Halt(hart.id, reason=BEGINNING_OF_HISTORY)
            later = machine.steps
            self._go_back(min(distance, machine.steps - past.beginning))
            distance *= 2
        earlier = machine.steps             # the instruction is between there and `later`
        while later - earlier > 1:
            middle = (earlier + later) // 2
            self._stand_at(middle)
            earlier, later = (middle, later) if hart.steps < before else (earlier, middle)
        self._stand_at(earlier)
        return self._undone() or Halt(hart.id)

    def _undone(self) -> Halt | Stop | None:
        """The watchpoint that the instruction ahead meets: a debugger compares with the value that it knew there."""
        if not self._points.watching:
            return None
        step = self._machine.steps
        while self._machine.steps == step:          # a breakpoint may be there
            stop = self._driver.run(1)
            refuse_requested(stop)
        self._go_back(1)
        return self._told(stop) if stop.reason is StopReason.WATCHPOINT else None

    def _stand_at(self, step: int) -> None:
        machine = self._machine
        if step < machine.steps:
            self._go_back(machine.steps - step)
        while machine.steps < step:         # breakpoints may stop it on the way
            refuse_requested(self._driver.run(step - machine.steps))

    def _go_back(self, steps: int) -> None:
        refuse_requested(self._machine.step_back(steps))

    def _run_back(self, resume: Resume) -> Halt | Stop:
        self._past()
        if not self._machine.probes:
            return self._at_beginning(resume.hart.id)
        stop = self._machine.run_back()
        return self._at_beginning(stop.hart) if stop.reason is StopReason.BEGINNING else self._told(stop)


def refuse_requested(stop: Stop) -> None:
    """Raises Interrupted."""
    if stop.reason is StopReason.REQUESTED:
        raise Interrupted


ACTIONS: dict[str, Callable[[Running, Resume], Halt | Stop]] = {
    "run": Running._run, "step": Running._step, "step back": Running._step_back, "run back": Running._run_back,
}
