"""The loop around the core: it runs slices, serves what ends them, and says why the run is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from typing import NamedTuple, NoReturn, Protocol

from vm.clock import Clock
from vm.errors import ConfigurationError, LimitReached
from vm.events import NEVER, EventQueue
from vm.firmware import Firmware
from vm.hart import cause_name
from vm.htif import Htif
from vm.inputs import Inputs
from vm.limits import Account, Limits
from vm.memory import unusable
from vm.probes import Hit, Probe
from vm.state import Stateful
from vm.stop import Stop, StopReason
from vm_native.execution.native_machine import NativeMachine
from vm_native.execution.scheduler import STOP_CODES, Scheduler
from vm_native.riscv.hart import NativeHart

CONDITION_EVERY = 10_000                # steps between two looks at `until`
INPUT_EVERY_NS = 10_000_000             # host time between two looks at the inputs while the guest is busy
ANSWER_EVERY_NS = 500_000               # the same while somebody outside is to answer


class Bounds(NamedTuple):
    """Where a run ends at the latest; NEVER for no limit."""

    steps: int                          # of the machine, all harts together
    guest_ns: int
    host_ns: int

    def moved(self, steps: int, ns: int) -> Bounds:
        """As far away as they were, of a machine that has gone to another state."""
        return Bounds(self.steps if self.steps == NEVER else self.steps + steps,
                      self.guest_ns if self.guest_ns == NEVER else self.guest_ns + ns, self.host_ns)


class Charged:
    """A run of a machine that may not take more of the host than it has left. Raises LimitReached if that is nothing.

    `bounds` are those of the run, or nearer ones.
    """

    def __init__(self, account: Account, asked: Bounds, start: int, now_ns: int):
        if (error := account.reached()) is not None:
            raise error
        self.account = account
        self.began_ns = now_ns
        steps, host_ns = account.steps_left, account.host_ns_left
        self._by_steps = steps is not None and start + steps < asked.steps
        self._by_time = host_ns is not None and now_ns + host_ns < asked.host_ns
        self.bounds = asked._replace(
            steps=start + steps if steps is not None and self._by_steps else asked.steps,
            host_ns=now_ns + host_ns if host_ns is not None and self._by_time else asked.host_ns)

    def ended_for(self, reason: StopReason) -> bool:
        """Whether a run that has ended for this reason has ended for what was left."""
        return (self._by_steps and reason is StopReason.BUDGET) or (self._by_time and reason is StopReason.TIMEOUT)

    def reached(self) -> LimitReached:
        error = self.account.reached()
        assert error is not None
        return error


class Request(NamedTuple):
    """That a run is to end, and for what; `hart`: which one has asked, None for the one whose turn it is."""

    reason: StopReason
    exit_code: int | None
    hart: int | None = None


class Fillable(Protocol):
    """What is recorded while the machine runs."""

    @property
    def is_full(self) -> bool: ...

    @property
    def nears_limit(self) -> bool:
        """Whether the instruction that comes next is to be a slice: behind it `reaches_limit` says if the run ends."""

    def reaches_limit(self) -> bool: ...

    def make_room(self) -> bool:
        """Let what is recorded go where it is to go; False where that cannot be."""


class Ceiling(NamedTuple):
    """A guest time that no run goes past, whatever its own limits are: there `passed` is called, which raises.

    A guest that waits for nothing is idle below it, as without one.
    """

    guest_ns: int
    passed: Callable[[], NoReturn]


class Slices(Protocol):
    """Who runs the harts: the scheduler, or somebody in front of it."""

    def run(self, limit: int, stop_ns: int, host_deadline: int, /) -> tuple[int, int]: ...


class Runner(Stateful):
    """Runs the harts of one machine. `firmware` serves the environment calls of harts that have `sbi` set."""

    state = ("request_made",)
    unsaved = ("firmware", "_machine", "_scheduler", "_clock", "_events", "_inputs", "_harts", "_htif", "_requested",
               "asked_to_stop", "_told", "probes", "traces", "makes_room", "_hits", "_look_at_ns", "served", "thread",
               "between_slices", "_ceiling", "last_stop", "_later", "_start", "_moved", "sampler", "account")

    def __init__(self, machine: NativeMachine, scheduler: Scheduler, clock: Clock, events: EventQueue, inputs: Inputs,
                 harts: Sequence[NativeHart]):
        self._machine = machine
        self._scheduler = scheduler
        self._clock = clock
        self._events = events
        self._inputs = inputs
        self._harts = harts
        self.firmware: Firmware | None = None       # a board may have none
        self._htif: Htif | None = None
        self._told: dict[int, Callable[[int], None]] = {}       # what its words' watches call, by numbers in the core
        self.probes: dict[int, Probe] = {}      # by their numbers in the core
        self.traces: list[Fillable] = []        # that are on
        self.makes_room = False                 # of those that are full, at this moment
        self._hits: list[Hit] = []              # until `run` has returned them
        self._requested: Request | None = None      # until `run` has returned it
        self._later: list[Request] = []     # what the runs after that end for: harts in threads ask at the same time
        self.asked_to_stop = False          # by somebody outside, until a run has ended for it
        self._look_at_ns = 0                # host time of the next look at the inputs; only a look moves it on
        self.served = 0                     # how often something happened between two slices, as a guest could notice
        self.thread: int | None = None      # which `run` is in; None: it is not
        self.between_slices = True          # nothing is half done
        self._ceiling: Ceiling | None = None
        self._start = 0                     # the step at which the run began
        self._moved = 0, 0                  # by how many steps and ns hooks have moved the machine in it
        self.sampler: Slices | None = None  # who looks at the harts in between, and runs slices for that
        self.account: Account | None = None     # what it may take of the host, where anybody has said
        self.last_stop: Stop | None = None  # what `run` returned last; None in a run, and where that raised

    def set_limits(self, limits: Limits | None) -> None:
        """From now on, for all runs together."""
        self.account = None if limits is None else Account(limits)

    def limit(self, ceiling: Ceiling) -> None:
        """From now on, for all runs."""
        self._ceiling = ceiling
        self._scheduler.ceiling_ns = ceiling.guest_ns

    # --- What ends a run ---------------------------------------------------------------------------------------------

    def request(self, reason: StopReason, exit_code: int | None) -> None:
        """The guest asked for an end, of what runs between slices: `run` looks at it next; then at what devices ask."""
        if self._requested is not None:
            self._later.insert(0, self._requested)
        self._requested = Request(reason, exit_code)

    def request_of_device(self, reason: StopReason, exit_code: int | None) -> None:
        """The same of a device, in the middle of a slice: that must end."""
        asked = Request(reason, exit_code, self._scheduler.current_hart)
        if self._requested is None:
            self._requested = asked
        else:
            self._later.append(asked)
        self._scheduler.request_stop()

    def ask_to_stop(self) -> None:
        """As `Machine.request_stop`. What a device does in the middle of a slice comes again where that does."""
        if self.between_slices or self.thread != threading.get_ident():
            self.asked_to_stop = True
        self._scheduler.request_stop()

    def take_stop(self) -> bool:
        """Whether somebody outside has asked for a stop; what is at hand ends for it."""
        asked, self.asked_to_stop = self.asked_to_stop, False
        if asked:
            self._scheduler.forget_request()
        return asked

    @property
    def request_made(self) -> tuple[str, int | None] | None:
        """What `run` has not returned yet, as plain data."""
        return self._requested and (self._requested.reason.value, self._requested.exit_code)

    @request_made.setter
    def request_made(self, saved: tuple[str, int | None] | None) -> None:
        self._requested, self._later = saved and Request(StopReason(saved[0]), saved[1]), []

    def watch(self, htif: Htif) -> None:
        """Tell `htif` of stores to its words. Raises ValueError where these cannot be watched."""
        self._htif = htif
        for word, tell in ((htif.tohost, htif.stored), (htif.fromhost, htif.taken)):
            if word is not None:
                self._told[self._machine.add_watch(word, 8, reads=False, writes=True, always=True)] = tell

    def reset(self) -> None:
        """Forget what the guest asked for, and the words that are watched."""
        self._scheduler.forget_stop()
        self.asked_to_stop = False
        self._machine.forget_reports()
        self._machine.take_hits()
        for watch in self._told:
            self._machine.remove_probe(watch)
        self._htif = self._requested = None
        self._later = []
        self._told = {}
        self._hits = []
        if self.firmware is not None:
            self.firmware.reset()

    def parts(self) -> dict[str, Stateful]:
        """What of the firmware has state."""
        return {} if self.firmware is None else {"pmu": self.firmware.pmu, "features": self.firmware.features}

    # --- The loop ----------------------------------------------------------------------------------------------------

    @property
    def may_be_told(self) -> bool:
        """Whether what is done now comes from outside the run: nothing runs, or it is between two slices, and the
        program's thread that does it.
        """
        return self.thread is None or (self.between_slices and self.thread == threading.get_ident())

    @property
    def is_this_thread(self) -> bool:
        """Whether it runs, in the thread that asks."""
        return self.thread == threading.get_ident()

    @property
    def steps(self) -> int:
        return self._clock.steps

    def run(self, instructions: int | None, seconds: float | None, until: Callable[[], bool] | None,
            timeout: float | None) -> Stop:
        """As `Machine.run`, which says what the limits mean."""
        if instructions is not None and (not isinstance(instructions, Integral) or instructions < 0):
            raise ConfigurationError(f"instructions={instructions!r}: a limit is a whole number that is not negative")
        history = self._inputs.history
        if history is not None:
            history.begin()
        self._start, self._moved, self.last_stop = self.steps, (0, 0), None
        bounds = Bounds(NEVER if instructions is None else self._start + instructions,
                        later("seconds", self._clock.now_ns(), seconds),
                        later("timeout", time.monotonic_ns(), timeout))
        charged = None if self.account is None else Charged(self.account, bounds, self._start, time.monotonic_ns())
        if charged is not None:
            bounds = charged.bounds
            self._give_pages()
        try:
            self.thread = threading.get_ident()
            reason, number, exit_code = self._run_slices(bounds, until)
            self._scheduler.release_handlers()
        except BaseException:
            if self._requested is not None:
                self._scheduler.request_stop()      # the next run ends for it
            self._scheduler.release_handlers()
            raise
        finally:
            self.thread, self.between_slices = None, True
            self._scheduler.end_threads()
            if charged is not None:
                charged.account.charge(self.steps - self._start - self._moved[0],
                                       time.monotonic_ns() - charged.began_ns)
                self._machine.limit_pages(None)     # who runs the core otherwise knows of none
            if history is not None:
                history.end()
        self._requested = self._later.pop(0) if self._later else None
        if self._requested is not None:
            self._scheduler.request_stop()
        self.last_stop = self._stop(reason, number, exit_code)
        last_ns = bounds.moved(*self._moved).guest_ns
        if self._ceiling is not None and reason is StopReason.DEADLINE and self._clock.now_ns() < last_ns:
            self._ceiling.passed()
        if charged is not None and charged.ended_for(reason):
            raise charged.reached()
        return self.last_stop

    def _run_slices(self, bounds: Bounds, until: Callable[[], bool] | None) -> tuple[StopReason, int, int | None]:
        """Why the run is over, the hart whose turn it was, and the exit code.

        What the core says is over is served with handlers of signals put off, so that none can raise in between.
        """
        most = NEVER if until is None else CONDITION_EVERY
        history = self._inputs.history
        if not self._make_room(bounds, self._scheduler.current_hart):
            return StopReason.TRACE_FULL, self._scheduler.current_hart, None
        while True:
            if until is not None and until():
                return StopReason.CONDITION, self._scheduler.current_hart, None
            host_ns = bounds.host_ns
            self._scheduler.paced = self._inputs.paced
            if self._inputs.watching:
                if time.monotonic_ns() >= self._look_at_ns:
                    self._look_at_inputs(0)
                host_ns = min(host_ns, self._look_at_ns)
            last_step, stop_ns = bounds.steps, bounds.guest_ns
            if history is not None:
                self.between_slices = False
                due = history.next_stop()
                if due is None:
                    return StopReason.REPLAYED, self._scheduler.current_hart, None
                last_step, stop_ns = min(last_step, due[0]), min(stop_ns, due[1])
            moved = self._moved
            slices: Slices = self._scheduler if self.sampler is None else self.sampler
            near = [trace for trace in self.traces if trace.nears_limit]
            code, number = slices.run(min(last_step - self.steps, 1 if near else most), stop_ns, host_ns)
            if not self._machine.usable:
                raise unusable(self._machine)
            if self._moved != moved:
                bounds = bounds.moved(self._moved[0] - moved[0], self._moved[1] - moved[1])
            if history is not None and code in NOTICED and history.before_serving():
                self._scheduler.leave_unserved(code)
                return StopReason.REPLAYED, number, None
            serve, reason = OUTCOMES[code]
            if not serve(self, bounds, number):
                assert reason is not None       # what is always served has none
                return reason, number, None
            if any([trace.reaches_limit() for trace in near]):
                return StopReason.TRACE_FULL, number, None
            self.between_slices = True
            if self._requested is not None:
                reason, exit_code, hart = self._requested
                return reason, number if hart is None else hart, exit_code

    def _look_at_inputs(self, seconds: float, most_ns: int = 0) -> None:
        """Take what has come from outside, or comes within some time. Handlers of signals run while nothing has.

        Virtual time goes on as the host's meanwhile, by `most_ns` at most: what comes then, comes then.
        """
        self._scheduler.release_handlers()
        began = time.monotonic_ns()
        ready = self._inputs.wait(seconds)
        self._scheduler.put_off_handlers()
        if most_ns > 0 and self._clock.kind == "virtual":
            self._scheduler.let_pass(min(time.monotonic_ns() - began, most_ns))
        self._inputs.take(ready)
        self._look_at_ns = time.monotonic_ns() + (ANSWER_EVERY_NS if self._inputs.expecting else INPUT_EVERY_NS)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Inside, the machine goes to another state; in a run, of which a hook does that, bounds move along."""
        steps, ns = self._clock.steps, self._clock.now_ns()
        yield
        self._machine.take_hits()           # of the state that was left
        self._hits = []
        self._moved = self._moved[0] + self._clock.steps - steps, self._moved[1] + self._clock.now_ns() - ns

    def _stop(self, reason: StopReason, number: int, exit_code: int | None = None) -> Stop:
        hart = self._harts[number]
        steps = self.steps - self._start - self._moved[0]
        if reason is StopReason.UNHANDLED_TRAP:
            pc, (cause, value) = hart.pc, hart.trap
        elif reason is StopReason.TRAP_LOOP:
            pc, cause, value = hart.trap_origin
        else:
            hits, self._hits = tuple(self._hits), []
            return Stop(reason, hart.pc, number, steps, exit_code, hits=hits)
        message = f"hart {number}: {cause_name(cause)} (cause {cause}) at pc {pc:#x}, tval {value:#x}"
        return Stop(reason, pc, number, steps, exit_code, cause, value, message)

    # --- What ends a slice: served, and the run goes on where these return true --------------------------------------

    def _end(self, bounds: Bounds, number: int) -> bool:
        return False

    def _go_on(self, bounds: Bounds, number: int) -> bool:
        return True

    def _spend(self, bounds: Bounds, number: int) -> bool:
        return self.steps < bounds.steps

    def _look_at_clock(self, bounds: Bounds, number: int) -> bool:
        """The time for this run is over; or it is time to look at the inputs, which `run` does."""
        return time.monotonic_ns() < bounds.host_ns

    def _reach_time(self, bounds: Bounds, number: int) -> bool:
        return self._clock.now_ns() < min(bounds.guest_ns, self._scheduler.ceiling_ns)

    def _run_events(self, bounds: Bounds, number: int) -> bool:
        self.served += self._events.run_due()
        return True

    def _hear_request(self, bounds: Bounds, number: int) -> bool:
        """A device's, which `run` looks at; or `Machine.request_stop`."""
        if self._inputs.history is None or self._inputs.history.listens:    # else who repeats the past looks at it
            self.asked_to_stop = False
        return self._requested is not None

    def _give_up(self, bounds: Bounds, number: int, reason: StopReason) -> bool:
        """Nothing but this ends a run at a trap; it is a request, so that no exception of a handler can lose it."""
        self.request(reason, None)
        return True

    def _serve_call(self, bounds: Bounds, number: int) -> bool:
        hart = self._harts[number]
        assert self.firmware is not None
        try:
            self.firmware.handle(hart)
        except BaseException:
            hart.pc -= 4                    # the environment call is repeated
            raise
        self.served += 1
        return True

    def _take_hits(self, bounds: Bounds, number: int, reason: StopReason) -> bool:
        """Breakpoints and watchpoints end the run, by a request as above; HTIF goes on."""
        self.hear_hits(number)
        if self._hits:
            self.request(reason, None)
        return True

    def hear_hits(self, number: int | None = None) -> None:
        """Tell HTIF of stores to its words: what follows from them is then in the state of the machine."""
        for probe, access, address, size, pc, _, _ in self._machine.take_hits(hart=number):
            if probe in self._told:
                self._told[probe](size)
                self.served += 1
            else:
                self._hits.append(Hit(self.probes[probe], access, address, size, pc))

    def _make_room(self, bounds: Bounds, number: int) -> bool:
        """What traces have recorded goes to their files. False where one has none, and is full.

        While the past is repeated nothing is recorded: there is room enough.
        """
        self.makes_room = True
        try:
            return self._machine.silent or all([not trace.is_full or trace.make_room() for trace in self.traces])
        finally:
            self.makes_room = False

    def _give_pages(self) -> None:
        """What is left of the memory that the machine may take."""
        assert self.account is not None
        pages = self.account.limits.pages
        self._machine.limit_pages(None if pages is None else max(pages - self._machine.written_pages, 0))

    def _count_pages(self, bounds: Bounds, number: int) -> bool:
        """A hart wants a page more than its region's share: there may be others' to give."""
        assert self.account is not None and self.account.limits.pages is not None
        if self._machine.written_pages >= self.account.limits.pages:
            raise self.account.out_of_memory()
        self._give_pages()
        return True

    def _sleep(self, bounds: Bounds, number: int) -> bool:
        """Every hart waits, in real time or paced: sleep until something is due or typed. False if nothing ever is."""
        due = min(self._scheduler.next_deadline_ns(), bounds.guest_ns)
        if due == NEVER and bounds.host_ns == NEVER and not self._inputs.watching:
            return False
        left = min(due, self._scheduler.ceiling_ns) - self._clock.now_ns()
        self.between_slices = True
        self._look_at_inputs(max(min(left, bounds.host_ns - time.monotonic_ns()), 0) / 10**9, most_ns=left)
        return True


class Outcome(NamedTuple):
    """What the runner does when a slice ends, and why the run is over if that does not let it go on."""

    serve: Callable[[Runner, Bounds, int], bool]
    reason: StopReason | None = None


OUTCOMES = {STOP_CODES[name]: outcome for name, outcome in {
    "budget": Outcome(Runner._spend, StopReason.BUDGET),
    "deadline": Outcome(Runner._reach_time, StopReason.DEADLINE),
    "timeout": Outcome(Runner._look_at_clock, StopReason.TIMEOUT),
    "event": Outcome(Runner._run_events),
    "requested": Outcome(Runner._hear_request, StopReason.REQUESTED),
    "firmware": Outcome(Runner._serve_call),
    "watch": Outcome(partial(Runner._take_hits, reason=StopReason.WATCHPOINT)),
    "breakpoint": Outcome(partial(Runner._take_hits, reason=StopReason.BREAKPOINT)),
    "restored": Outcome(Runner._go_on),
    "full": Outcome(Runner._make_room, StopReason.TRACE_FULL),
    "memory": Outcome(Runner._count_pages),
    "sleep": Outcome(Runner._sleep, StopReason.IDLE),
    "idle": Outcome(Runner._end, StopReason.IDLE),
    "unhandled-trap": Outcome(partial(Runner._give_up, reason=StopReason.UNHANDLED_TRAP)),
    "trap-loop": Outcome(partial(Runner._give_up, reason=StopReason.TRAP_LOOP)),
}.items()}
# What of these a guest can notice; the others change when the next slice ends, no more.
NOTICED = {STOP_CODES[name] for name in ("event", "firmware", "watch")}


def later(name: str, now_ns: int, seconds: float | None) -> int:
    """`seconds` after `now_ns`, in nanoseconds; NEVER for None and for what is too far away to count."""
    if seconds is not None and not isinstance(seconds, Real):
        raise ConfigurationError(f"{name}={seconds!r}: a limit is a number of seconds")
    if seconds != seconds:
        raise ConfigurationError("a limit of NaN seconds: give a number")
    if seconds is not None and seconds < 0:
        raise ConfigurationError(f"a limit of {seconds:g} seconds: must not be negative")
    if seconds is None or seconds >= NEVER / 10**9:
        return NEVER
    return min(now_ns + round(seconds * 10**9), NEVER)
