"""Recording a run: all that comes from outside is written down with the moment at which it enters the machine.

In virtual time nothing else makes two runs differ, so the log and the state that it begins with are the run. Nothing is
written while the guest computes: what comes from outside enters between two slices only, and what was typed in the
middle of one (by a callback, or another thread) waits until that ends, after the instruction at hand. What a program
does to the harts and devices between two runs is found by comparing them.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from vm.console import Console
from vm.errors import ConfigurationError, GuestError, MachineBusy
from vm.events import NEVER, EventQueue
from vm.hart import Hart
from vm.inputs import History, Inputs
from vm.log import DIGEST_BYTES, Entry, Kind, Log, Stamp, digest
from vm.memory import Memory
from vm.runner import Runner
from vm.sizes import PAGE_SIZE
from vm.snapshots.encoding import encode
from vm.standing import Standing, changes_of, changes_of_device, packed

# Steps from one checkpoint to the next: each is twice as far away as the one before, from the first to the last here.
# To stop compiled code at just that step can take as long as some 100,000 steps in the interpreter.
NEAREST, FARTHEST = 1 << 20, 1 << 28
RANGE = struct.Struct("<QQ")            # address and size
WORD = struct.Struct("<Q")
SCHEDULE = struct.Struct("<qqq")        # delay, event, data
CANCEL = struct.Struct("<q")            # event
TIME = struct.Struct("<Qq")             # ticks of the timebase, the date in ns

UNCHECKED = {Kind.HART, Kind.CLOCK, Kind.DEVICE, Kind.ANSWER}    # the harts are no more, or not yet, as they were


class Occurrence(NamedTuple):
    """Something that comes from outside: an entry of the log, and what it does to the machine."""

    kind: Kind
    source: str
    data: bytes
    action: Callable[[], None]


class Outside:
    """What of a machine a recording or a replay is attached to, and how."""

    def __init__(self, runner: Runner, inputs: Inputs, memory: Memory, events: EventQueue, console: Console,
                 standing: Standing, reset: Callable[[], None]):
        self.runner = runner
        self.inputs = inputs
        self.memory = memory
        self.events = events
        self.console = console
        self.standing = standing
        self.reset = reset
        self._served = runner.served

    def attach(self, history: History) -> None:
        """From now on `history` is asked and told, and what is served and printed is counted anew."""
        self.tell(history)
        self.count_from(0, 0)

    def tell(self, history: History) -> None:
        """From now on `history` is asked and told."""
        self.inputs.history = self.memory.history = history

    def count_from(self, served: int, printed: int) -> None:
        """So much has been served, and printed, as the digest has it, when the machine stands here."""
        self._served = self.runner.served - served
        self.console.printed = printed

    def detach(self) -> None:
        self.inputs.history = self.memory.history = self.console.printed = None

    def stamp(self) -> Stamp:
        return self.standing.stamp(self.served)

    def description(self) -> dict[str, Any]:
        """What tells the machine from another before it has run, beside the states of its harts.

        - memory: for people. code: of each hart, a digest of the page of RAM that it executes next, or nothing.
        """
        return {"memory": repr(self.memory)[len("<memory: "):-1],
                "code": [digest(page, b"") if page else b"" for page in map(self._page_of, self.standing.harts)]}

    def _page_of(self, hart: Hart) -> bytes:
        try:
            address = hart.virtual.physical(hart.pc, "execute")
            return bytes(self.memory.view(address - address % PAGE_SIZE, PAGE_SIZE))
        except GuestError:
            return b""

    @property
    def served(self) -> int:
        """How often since `attach` something happened between two slices, as a guest could notice."""
        return self.runner.served - self._served

    @property
    def printed_crc(self) -> int:
        """Of what the guest has printed since `attach`."""
        assert self.console.printed is not None
        return self.console.printed

    def printed(self) -> bytes:
        """The same as an entry of a log has it."""
        return self.printed_crc.to_bytes(4, "little")


class Recorder:
    """What the machine tells all that comes from outside, and what writes it down: see vm.inputs.History."""

    live = listens = asks = True

    def __init__(self, outside: Outside):
        self._outside = outside
        self._runner = outside.runner
        self._inputs = outside.inputs
        self._standing = outside.standing
        self._past = bytes(DIGEST_BYTES)    # of all entries from outside
        self._entries: list[Entry] = []
        self._waiting: deque[Occurrence] = deque()      # came in the middle of a slice, or from another thread
        # Another thread ends a slice also before its first step, where a hart has just got its turn or taken an
        # interrupt, and no other run stands. So what comes waits until one was done.
        self._cut = False
        self._cut_at: int | None = None                 # the step at which that was seen
        self._thread = threading.get_ident()            # of the program that runs the machine
        # Threads, which only their own doing follows from; another one may type at the same time.
        self._asking: int | None = None     # that asks a device which is not deterministic
        self._entering: list[int] = []      # in which what the machine's parts do now follows from an entry
        self._interval = NEAREST
        self._next_checkpoint = self._runner.steps + NEAREST
        outside.attach(self)
        self._append(Kind.START, data=encode(outside.description()))
        self.end()

    def log(self) -> Log:
        """What is recorded so far. Raises MachineBusy in a run."""
        if self._runner.thread is not None:
            raise MachineBusy("the log of a recording was asked for while the machine runs: ask between two runs")
        self._let_in()
        self._note_changes()
        return Log((*self._entries, self._checkpoint(Kind.END)))

    # --- What the machine tells --------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._thread = threading.get_ident()
        self._note_changes()

    def end(self) -> None:
        self._left = self._standing.all()

    def next_stop(self) -> tuple[int, int]:
        steps = self._runner.steps
        if self._cut:
            if self._cut_at is None:
                self._cut_at = steps
            if self._cut_at == steps and not self._standing.waits:
                return steps + 1, NEVER
            self._cut, self._cut_at = False, None
        self._let_in()
        if steps >= self._next_checkpoint:
            self._entries.append(self._checkpoint(Kind.CHECKPOINT))
            self._interval = min(self._interval * 2, FARTHEST)
            self._next_checkpoint = steps + self._interval
        return self._next_checkpoint, NEVER

    def before_serving(self) -> bool:
        return False

    def enter(self, source: str, data: bytes) -> None:
        data = bytes(data)
        self._happen(Occurrence(Kind.INPUT, source, data, partial(self._inputs.admit, source, data)))

    def answer(self, device: str, question: Callable[[], int | None]) -> int | None:
        self._asking = threading.get_ident()
        try:
            value = question()
        finally:
            self._asking = None
        self._append(Kind.ANSWER, device, WORD.pack((value or 0) % (1 << 64)))
        return value

    def drove(self, device: str, level: bool) -> None:
        action = partial(self._inputs.witnesses[device].drive, level)
        self._happen(Occurrence(Kind.LINE, device, WORD.pack(level), action))

    def scheduled(self, device: str, delay_ns: int, event: int, data: int) -> None:
        action = partial(self._inputs.witnesses[device].let_schedule, delay_ns, event, data)
        self._happen(Occurrence(Kind.SCHEDULE, device, SCHEDULE.pack(delay_ns, event, data), action))

    def cancelled(self, device: str, event: int) -> None:
        action = partial(self._inputs.witnesses[device].let_cancel, event)
        self._happen(Occurrence(Kind.CANCEL, device, CANCEL.pack(event), action))

    def wrote(self, address: int, data: bytes) -> None:
        if self._asked:
            self._append(Kind.DMA, data=WORD.pack(address) + data)
        elif self._from_outside("memory.write"):
            self._note(Kind.WRITE, data=WORD.pack(address) + data)

    def cleared(self, address: int, size: int) -> None:
        if self._asked:
            self.wrote(address, bytes(size))
        elif self._from_outside("memory.clear"):
            self._note(Kind.CLEAR, data=RANGE.pack(address, size))

    def asked(self, address: int, size: int) -> None:
        if self._from_outside("memory.read of a device"):
            self._note(Kind.READ, data=RANGE.pack(address, size))

    @contextmanager
    def reset(self) -> Iterator[None]:
        self._note(Kind.RESET)
        with self._consequences():
            yield

    # --- Writing down ------------------------------------------------------------------------------------------------

    @property
    def _asked(self) -> bool:
        """Whether a device that is not deterministic does it, which was asked."""
        return self._asking == threading.get_ident()

    @property
    def _follows(self) -> bool:
        """Whether it follows from an entry."""
        return threading.get_ident() in self._entering

    def _from_outside(self, what: str) -> bool:
        """Whether a program does it, and no device or hook: what these do in a run follows from the run."""
        if self._asked or self._follows:
            return False
        if self._runner.may_be_told:
            return True
        if self._runner.thread != threading.get_ident():
            raise MachineBusy(f"{what} from another thread while a machine runs that is recorded: do it between two "
                              "runs")
        return False

    def _happen(self, occurrence: Occurrence) -> None:
        if self._follows:
            occurrence.action()
        elif self._asked:
            self._append(occurrence.kind, occurrence.source, occurrence.data)
            occurrence.action()
        elif self._at_rest and threading.get_ident() == self._thread:
            self._let_happen(occurrence)
        else:
            self._cut = self._cut or threading.get_ident() != self._thread
            self._waiting.append(occurrence)
            self._outside.events.interrupt()

    @property
    def _at_rest(self) -> bool:
        """Whether the machine stands where every run does that comes to this step."""
        return self._runner.may_be_told and (self._runner.thread is None or not self._cut)

    def _let_in(self) -> None:
        """What has waited for the end of a slice."""
        while self._waiting:
            self._let_happen(self._waiting.popleft())

    def _let_happen(self, occurrence: Occurrence) -> None:
        self._note(occurrence.kind, occurrence.source, occurrence.data)
        with self._consequences():
            occurrence.action()

    @contextmanager
    def _consequences(self) -> Iterator[None]:
        """What the machine's parts do inside follows from the entry that was just written."""
        self._entering.append(threading.get_ident())
        try:
            yield
        finally:
            self._entering.remove(threading.get_ident())
            if self._runner.thread is None:
                self.end()

    def _note(self, kind: Kind, source: str = "", data: bytes = b"") -> None:
        if self._runner.thread is None:
            self._note_changes()
        self._append(kind, source, data)

    def _note_changes(self) -> None:
        """What a program has done to the harts, the clock and devices since the last run."""
        left, self._left = self._left, self._standing.all()
        if left.time != self._left.time:
            self._append(Kind.CLOCK, data=TIME.pack(*self._left.time))
        for number, (before, after) in enumerate(zip(left.harts, self._left.harts, strict=True)):
            if before != after:
                self._append(Kind.HART, str(number), changes_of(before, after))
        for name, saved in self._left.devices.items():
            known = left.devices[name]
            if saved is not known and saved != known:
                self._append(Kind.DEVICE, name, changes_of_device(known, saved))

    def _append(self, kind: Kind, source: str = "", data: bytes = b"") -> None:
        entry = Entry(kind, self._outside.stamp(), source, data,
                      b"" if self._asked or kind in UNCHECKED else self._proof())
        self._past = digest(entry.packed(), self._past)
        self._entries.append(entry)

    def _checkpoint(self, kind: Kind) -> Entry:
        return Entry(kind, self._outside.stamp(), proof=self._proof())

    def _proof(self) -> bytes:
        return self._past + self._outside.printed() + packed(self._standing.states())


class Recording:
    """A run that is being recorded, from `Machine.record` until `stop`, or to the end of a `with` block."""

    def __init__(self, outside: Outside):
        self._outside = outside
        self._recorder = Recorder(outside)
        self._stopped: Log | None = None

    @property
    def log(self) -> Log:
        """What is recorded so far, or was until `stop`. MachineBusy while the machine runs."""
        return self._recorder.log() if self._stopped is None else self._stopped

    def stop(self) -> Log:
        """Record no more, and return the log. Twice is harmless. MachineBusy while the machine runs."""
        if self._stopped is None:
            self._stopped = self._recorder.log()
            self._outside.detach()
        return self._stopped

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Recording: {'going on' if self._stopped is None else repr(self._stopped)[1:-1]}>"


def refuse_to_record(kind: str, inputs: Inputs) -> None:
    """Raises ConfigurationError where a machine cannot be recorded, or cannot now; `kind` is its clock's."""
    if kind != "virtual":
        raise ConfigurationError(f"a machine with clock={kind!r} cannot be recorded: no other run has its times; build "
                                 "it with clock='virtual', and without threads")
    if inputs.refuses("record"):
        raise ConfigurationError("the machine is recorded already, replays a log or keeps a history: end that first")
