"""Running backwards: a history of snapshots, and running forwards again from one of them, up to where it is wanted.

In virtual time a machine does the same again, as long as nothing comes from outside. Where something does (input,
memory or registers written by a program, a reset), the state after it is kept: when a later run comes to that step, it
goes on with that state, so that all of the past can be repeated, and the future too until something else comes.

To run back to an event is to look at the intervals between snapshots, the last one first: each is run once with probes
that only note what they meet, and then once more up to the last of that.

Where the machine replays a log, that has all that comes from outside: each snapshot knows the place in the log (the
replay is told by the machine then, and tells the history), and nothing else is kept. What comes after the end of the
log comes as in any machine.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from vm.arguments import whole_number
from vm.errors import ConfigurationError, MachineBusy, ReplayDiverged
from vm.events import NEVER
from vm.marks import Mark, Marks
from vm.probes import Access, Hit, Probe, WatchedAccess
from vm.probing import Probing
from vm.recording import Outside
from vm.replaying import Replay
from vm.scope import EVERYBODY, in_64_bits
from vm.sizes import parse_size
from vm.snapshot import Snapshot
from vm.standing import Whole
from vm.stop import Stop, StopReason
from vm_native.execution.native_machine import NativeMachine
from vm_native.execution.scheduler import STOP_CODES, Scheduler
from vm_native.riscv.hart import NativeHart

if TYPE_CHECKING:
    from vm.inputs import History, Inputs

Until = Probe | Sequence[Probe] | tuple[WatchedAccess, int, int] | str | bytes | None
Met = tuple[int, Access, int, int, int, int, int]       # as `NativeMachine.take_hits` has it

LEAST_SPACING, LEAST_SNAPSHOTS = 1_000, 4
FEWEST = 500_000        # steps from one snapshot to the next, where the guest is slow
REPEATED_NS = 4_000_000     # of the host, to go from one to the next
RUN_FOR_SNAPSHOT = 8        # the guest runs so many times as long as a snapshot took, before the next one
FAR = 1 << 17           # steps from a snapshot to a place, from which on another snapshot is taken on the way ...
NEAR = 1 << 14          # ... so many steps before it: the next step back is probably one from there


class AskedToStop(Exception):
    """Somebody outside wants no more of the past to be repeated."""


class Workings(NamedTuple):
    """What of a machine its history needs besides, with how a snapshot is taken and gone back to between two slices."""

    native: NativeMachine
    scheduler: Scheduler
    harts: Sequence[NativeHart]
    probing: Probing
    take: Callable[[], Snapshot]
    go_to: Callable[[Snapshot], None]


class Past:
    """The history of a machine, from `Machine.keep_history` until `stop`, or to the end of a `with` block.

    It is told by the machine what comes from outside (vm.inputs.History).
    """

    def __init__(self, outside: Outside, workings: Workings, spacing: int, snapshots: int, memory: int | str,
                 replay: Replay | None = None):
        """`spacing`, `snapshots` and `memory` as `Machine.keep_history` has them. Raises ConfigurationError.

        `replay`: of the machine, if it replays a log; then `outside` is that one's.
        """
        spacing, snapshots = whole_number("spacing", spacing), whole_number("snapshots", snapshots)
        if spacing < LEAST_SPACING or snapshots < LEAST_SNAPSHOTS:
            raise ConfigurationError(f"spacing={spacing}, snapshots={snapshots}: at least {LEAST_SPACING} steps, and "
                                     f"{LEAST_SNAPSHOTS} of them")
        self._outside = outside
        self._native, self._scheduler, self._harts, self._probing, self._take, self._go_to = workings
        self._marks = Marks(spacing, snapshots, parse_size(memory))
        self._spacing = min(FEWEST, spacing)      # from one snapshot to the next, as fast as the guest is now
        self._timed = 0, 0              # host time and step at which a stretch began that says how fast that is
        self._runner = outside.runner
        self._inputs = outside.inputs
        self._standing = outside.standing
        self._waiting: deque[Callable[[], None]] = deque()      # came in the middle of a slice, or from another thread
        self._asked = False             # a device that is not deterministic
        self._disturbed = False         # something has come from outside since the present mark
        self._before_hooks: Whole | None = None         # while hooks are called: what there was
        self._hooked = False            # what has come is what hooks have done before the next instruction
        self.live = True                # False: what runs is the past
        self.listens = True
        self._replay = replay
        self._native.onlooker = self
        if replay is None:
            outside.attach(self)
            self._add_mark(kept=True)
            self.end()
        else:
            replay.past = self
            self._add_mark(kept=True)

    # --- For the program ---------------------------------------------------------------------------------------------

    @property
    def beginning(self) -> int:
        """The step that one can go back to. It moves on where there is no room for all that came from outside."""
        return self._marks.beginning if self._marks else self._runner.steps

    @property
    def is_of_replay(self) -> bool:
        """Whether it began in the replay of a log."""
        return self._replay is not None

    @property
    def snapshots(self) -> int:
        """How many there are now."""
        return len(self._marks)

    @property
    def copied_bytes(self) -> int:
        """Host memory of the pages of RAM that were copied for it."""
        return self._marks.copied_bytes

    def stop(self) -> None:
        """Keep no history any more, and forget this one. Twice is harmless. MachineBusy while the machine runs."""
        if past_of(self._inputs) is not self:
            return
        if self._runner.thread is not None:
            raise MachineBusy("a history was to end while its machine runs: end it between two runs")
        self._native.onlooker = None
        if self._inputs.history is self:
            self._outside.detach()
        else:
            assert self._replay is not None
            self._replay.past = None
        self._marks.forget()

    def __enter__(self) -> Past:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<history since step {self.beginning:,}: {self.snapshots} snapshots, {self.copied_bytes >> 20} MiB>"

    # --- For the machine: vm.inputs.History --------------------------------------------------------------------------

    def begin(self) -> None:
        if self.live:
            self._catch_up()
            self.begin_stretch()

    def end(self) -> None:
        if self.live:
            if self._disturbed and self._hooked:
                self._note_disturbance()        # what the program does now is something else
            if not self._disturbed and not self._waiting:
                self._let_come_again()
            self._left = self._standing.all()

    def next_stop(self) -> tuple[int, int]:
        while self._waiting:
            self._let_in(self._waiting.popleft())
        return self.next_mark(), NEVER

    def _let_come_again(self) -> Mark | None:
        """What came from outside at this step, where the machine has been later. Returns the next mark ahead.

        Hooks are called again but in the past, and do it themselves: what came of that is another future.
        """
        while (ahead := self._ahead()) is not None and ahead.steps <= self._runner.steps:
            if ahead.hooked and self.live:
                self._marks.forget_future()
                return None
            self._marks.present += 1
            if ahead.kept:
                self._go_to(ahead.snapshot)
        return ahead

    def _ahead(self) -> Mark | None:
        """The next mark; but the log must end before those that are behind its end."""
        ahead = self._marks.next
        return None if ahead is None or (ahead.position is not None) != self._in_log else ahead

    def before_serving(self) -> bool:
        return False

    def enter(self, source: str, data: bytes) -> None:
        self._happen(partial(self._inputs.admit, source, bytes(data)))

    @property
    def asks(self) -> bool:
        """Whether a device is to ask the host: not where it did at this step, and what followed is kept."""
        return self.live and not self._marks.is_kept_ahead(self._runner.steps + self._scheduler.running)

    def answer(self, device: str, question: Callable[[], int | None]) -> int | None:
        if not self.asks:
            return 0
        self._asked = True
        try:
            return question()
        finally:
            self._asked = False
            self._disturbed = True
            self._outside.events.interrupt()

    def drove(self, device: str, level: bool) -> None:
        self._happen(partial(self._inputs.witnesses[device].drive, level))

    def scheduled(self, device: str, delay_ns: int, event: int, data: int) -> None:
        self._happen(partial(self._inputs.witnesses[device].let_schedule, delay_ns, event, data))

    def cancelled(self, device: str, event: int) -> None:
        self._happen(partial(self._inputs.witnesses[device].let_cancel, event))

    def wrote(self, address: int, data: bytes) -> None:
        self._disturbed |= self._runner.may_be_told or self._native.in_hook

    def cleared(self, address: int, size: int) -> None:
        self._disturbed |= self._runner.may_be_told or self._native.in_hook

    def asked(self, address: int, size: int) -> None:
        self._disturbed |= self._runner.may_be_told or self._native.in_hook

    def hooks_begin(self) -> None:
        """Hooks are about to be called, between two slices of a run."""
        self._before_hooks = self._standing.all() if self.live else None

    def hooks_end(self) -> bool:
        """They were: whether they have changed the machine, which is then kept as it is now."""
        before, self._before_hooks = self._before_hooks, None
        if before is not None:
            self._disturbed |= before != self._standing.all()
            self._hooked |= self._disturbed and self._native.hooked_ahead
        return self._disturbed

    @contextmanager
    def reset(self) -> Iterator[None]:
        yield
        self._disturbed = True

    def _happen(self, action: Callable[[], None]) -> None:
        """Something comes from outside; in the middle of a slice it waits until that ends."""
        if not self.live:
            return                      # it came, and what that led to is kept
        if self._asked or self._runner.may_be_told:
            self._let_in(action)
        else:
            self._waiting.append(action)
            self._outside.events.interrupt()

    def _let_in(self, action: Callable[[], None]) -> None:
        self._disturbed = True
        action()

    # --- For the replay of a log -------------------------------------------------------------------------------------

    @property
    def _teller(self) -> History:
        """Whom the machine tells: the replay, or this."""
        return self._replay if self._replay is not None and self._inputs.history is self._replay else self

    @property
    def _in_log(self) -> bool:
        """Whether the machine replays one, and it has not ended."""
        return self._teller is not self

    def begin_stretch(self) -> None:
        """A run begins."""
        self._timed = time.perf_counter_ns(), self._runner.steps

    def next_mark(self) -> int:
        """Between slices: take a snapshot where it is time for one. Returns the step where the slice must end."""
        if self._disturbed:
            self._note_disturbance()
        ahead = self._let_come_again()
        due = NEVER
        if self.live:
            if self._marks[self._marks.present].steps + self._spacing <= self._runner.steps:
                self._adapt_spacing()
                self._add_mark(kept=False)
                self.begin_stretch()
            due = self._marks[self._marks.present].steps + self._spacing
        return due if ahead is None else min(due, ahead.steps)

    def log_ended(self) -> None:
        """What comes from now on comes from outside."""
        self._outside.tell(self)
        self._left = self._standing.all()

    # --- Keeping it --------------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Between two runs: what has been done to the machine since the last one counts as having come from outside."""
        if self._disturbed or self._left != self._standing.all():
            self._note_disturbance()
            self.end()

    def _note_disturbance(self) -> None:
        hooked, self._disturbed, self._hooked = self._hooked, False, False
        self._marks.forget_future()
        self._add_mark(kept=True, hooked=hooked)

    def _adapt_spacing(self) -> None:
        """As many steps as are repeated in about the same time, whatever the guest does; where snapshots take long, it
        may be twice that.
        """
        (began_ns, began_step), now_ns = self._timed, time.perf_counter_ns()
        repeated_ns = min(max(REPEATED_NS, self._snapshot_ns * RUN_FOR_SNAPSHOT), 2 * REPEATED_NS)
        reached = (self._runner.steps - began_step) * repeated_ns // max(now_ns - began_ns, 1)
        self._spacing = min(max(reached, FEWEST), self._marks.spacing)

    def _add_mark(self, kept: bool, hooked: bool = False) -> None:
        began_ns = time.perf_counter_ns()
        self._marks.add(self._mark_here(kept, hooked))
        self._snapshot_ns = time.perf_counter_ns() - began_ns

    def _mark_here(self, kept: bool, hooked: bool) -> Mark:
        teller = self._teller
        position = teller.position if isinstance(teller, Replay) else None
        return Mark(self._take(), kept, position, hooked)

    # --- Going back --------------------------------------------------------------------------------------------------

    def step_back(self, count: int) -> Stop:
        """As `Machine.step_back`."""
        return self._unless_asked_to_stop(lambda: self._step_back(count))

    def run_back(self, until: Until) -> Stop:
        """As `Machine.run_back`."""
        return self._unless_asked_to_stop(lambda: self._run_back(until))

    def _unless_asked_to_stop(self, go: Callable[[], Stop]) -> Stop:
        try:
            return go()
        except AskedToStop:
            return self._stop(StopReason.REQUESTED, 0)

    def _step_back(self, count: int) -> Stop:
        self._teller.begin()
        target = self._runner.steps - count
        if count < 0 or (count and target < self.beginning):
            raise ConfigurationError(f"step_back({count}): from 0 to {self._runner.steps - self.beginning:,}, which "
                                     f"is where the history begins")
        if count:
            with self._repeating():
                self._stand_at(target)
        return self._stop(StopReason.BUDGET, count)

    def _run_back(self, until: Until) -> Stop:
        if isinstance(until, (str, bytes)):
            if not until:
                raise ConfigurationError("run_back() to a text of no bytes: say which")
            return self._run_back_to_text(until.encode() if isinstance(until, str) else until)
        if isinstance(until, tuple) and len(until) == 3 and isinstance(until[0], str):
            access, address, size = until
            start = in_64_bits("address", address)
            watchpoint = self._probing.add_watchpoint(range(start, start + in_64_bits("size", size)), access,
                                                      "physical", EVERYBODY)
            try:
                return self._run_back_to_probe((watchpoint,))
            finally:
                watchpoint.remove()
        return self._run_back_to_probe(self._probing.several(until))

    def _run_back_to_probe(self, wanted: Collection[Probe]) -> Stop:
        """To before the last instruction that met one of these probes."""
        self._teller.begin()
        now = self._runner.steps
        with self._repeating() as come_back:
            hits = self._last_hits({number for number, probe in self._runner.probes.items() if probe in wanted})
            if hits:
                *_, pc, hart, step = hits[0]
                self._stand_at(step)
                if self._harts[hart].pc != pc:
                    self._let_come_again()      # hooks have sent it there
                self._stand_before(pc)
            else:
                come_back()
        if not hits:
            return self._stop(StopReason.BEGINNING, 0)
        found = tuple(Hit(self._runner.probes[probe], access, address, size, pc)
                      for probe, access, address, size, pc, _, _ in hits)
        reason = StopReason.BREAKPOINT if found[0].access == "execute" else StopReason.WATCHPOINT
        return Stop(reason, pc, hart, now - step, hits=found)

    def _run_back_to_text(self, text: bytes) -> Stop:
        """To before the byte was printed with which the text was, the last time."""
        self._teller.begin()
        now = self._runner.steps
        begins = self._outside.console.output.rfind(text)
        number = self._marks.last_with(lambda mark: printed(mark) < begins + len(text))
        if begins < 0 or number < 0:
            return self._stop(StopReason.BEGINNING, 0)
        with self._repeating():
            self._stand_at(self._moment_of_byte(number, begins + len(text)))
        return self._stop(StopReason.CONDITION, now - self._runner.steps)

    def _stop(self, reason: StopReason, steps: int) -> Stop:
        number = self._scheduler.current_hart
        return Stop(reason, self._harts[number].pc, number, steps)

    @contextmanager
    def _repeating(self) -> Iterator[Callable[[], None]]:
        """Nothing of what runs inside is heard outside. Gives what brings the machine back to where it was, as happens
        where it fails. Raises AskedToStop.
        """
        self._heed_requests()
        here, present = self._mark_here(kept=False, hooked=False), self._marks[self._marks.present]

        def come_back() -> None:
            self._be_at(here)
            self._marks.stand_on(present)

        console = self._outside.console
        mirror, console.mirror = console.mirror, None
        account, self._runner.account = self._runner.account, None      # it has been paid for
        self.live = self.listens = False
        self._native.noting = self._native.silent = True
        try:
            yield come_back
        except BaseException:
            come_back()
            raise
        finally:
            console.mirror = mirror
            self._runner.account = account
            self.live = self.listens = True
            self._native.noting = self._native.silent = False
            self._native.take_hits(noted=True)
            if self._runner.asked_to_stop:      # too late: the next run ends for it
                self._scheduler.request_stop()
            self._teller.end()

    def _stand_at(self, step: int) -> None:
        number = max(self._marks.at_or_before(step), 0)     # of the first one the step may be that of a hook
        self._return_to(number)
        if step - self._marks[number].steps > FAR:
            self._run_to(step - NEAR)
            self._add_mark(kept=False)
        self._run_to(step)

    def _stand_before(self, pc: int) -> None:
        """The next instruction is there: take the interrupt that leads to it, if one does."""
        number = self._native.add_breakpoint(pc, physical=False)
        try:
            self._native.noting = False
            self._native.forget_reports()
            code, hart = self._scheduler.run(1, NEVER, NEVER)
            self._scheduler.release_handlers()
            if code != STOP_CODES["breakpoint"]:
                raise ReplayDiverged(self._runner.steps, hart, self._runner.steps, f"pc {pc:#x} was next before")
        finally:
            self._native.noting = True
            self._native.remove_probe(number)

    def _return_to(self, number: int) -> None:
        self._marks.present = number
        self._be_at(self._marks[number])

    def _be_at(self, mark: Mark) -> None:
        self._go_to(mark.snapshot)
        if mark.position is None:
            self._outside.tell(self)
        else:
            assert self._replay is not None
            self._replay.go_to(mark.position)

    def _run_to(self, step: int) -> None:
        """Until then something may have ended a run: it goes on, as it did."""
        while (before := self._runner.steps) < step:
            self._heed_requests()
            stop = self._runner.run(step - before, None, None, None)
            if stop.reason is StopReason.IDLE and self._runner.steps == before:
                raise ReplayDiverged(before, stop.hart, self._marks[self._marks.present].steps,
                                     "every hart waits, and one went on before")

    def _heed_requests(self) -> None:
        if self._runner.take_stop():
            raise AskedToStop

    def _last_hits(self, wanted: Collection[int]) -> Sequence[Met]:
        """What met the probes of these numbers last, all of one step."""
        end = self._runner.steps
        for number in range(self._marks.present, -1, -1):
            if self._marks[number].steps == end:
                continue
            self._return_to(number)
            self._native.take_hits(noted=True)
            self._run_to(end)
            hits = [hit for hit in self._native.take_hits(noted=True) if hit[0] in wanted]
            if hits:
                last = max(hit[-1] for hit in hits)
                return [hit for hit in hits if hit[-1] == last]
            end = self._marks[number].steps
        return []

    def _moment_of_byte(self, number: int, count: int) -> int:
        """The step before the byte of this number, from 1 on, was printed: behind this mark, and before the next."""
        console = self._outside.console
        ahead = self._marks[number + 1].steps if number < self._marks.present else self._runner.steps
        found: list[int] = []

        def look(data: bytes) -> None:
            if not found and len(console.output) + len(data) >= count:
                # A device prints in the middle of an instruction; what is served for the guest comes after its own.
                found.append(self._runner.steps - (not self._scheduler.running))

        self._return_to(number)
        console.mirror = look
        self._run_to(ahead)
        console.mirror = None
        return max(found[0], self._marks[number].steps) if found else ahead


def past_of(inputs: Inputs) -> Past | None:
    """The history that is kept of a machine, by which it can go back."""
    history = inputs.history
    kept = history.past if isinstance(history, Replay) else history
    return kept if isinstance(kept, Past) else None


def printed(mark: Mark) -> int:
    """How many bytes of output there were."""
    return len(mark.snapshot.state.parts["console"]["output"])
