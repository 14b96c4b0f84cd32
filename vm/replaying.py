"""Replaying a recorded run: each entry of the log comes at its moment, and where the machine stands is compared.

The slices of a run end where the next entry is due, so that it does not matter which engine runs it, nor how the caller
divides it into runs. Time that was jumped over while every hart waited, or that went by at the host's pace, is jumped
over as far as that entry.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar, runtime_checkable

from vm.arguments import refuse_other
from vm.errors import BusError, LogError, MachineBusy, ReplayDiverged
from vm.events import NEVER
from vm.log import DEVICE_KINDS, DIGEST_BYTES, Entry, Kind, Log, Stamp, digest
from vm.recording import CANCEL, RANGE, SCHEDULE, TIME, WORD, Outside
from vm.snapshots.encoding import EncodingError, decode

PRINTED_END = DIGEST_BYTES + 4
PROOF_PARTS = slice(DIGEST_BYTES), slice(DIGEST_BYTES, PRINTED_END), slice(PRINTED_END, None)
WITNESSED = DEVICE_KINDS - {Kind.DMA}           # entries that name a device


class Player(Protocol):
    """A machine, as far as `replay` needs one."""

    def replay(self, log: Log) -> None: ...

    def close(self) -> None: ...


Built = TypeVar("Built", bound=Player, covariant=True)


@runtime_checkable
class Restorable(Protocol[Built]):
    """A snapshot, as far as `replay` needs one."""

    def machine(self, **overrides: Any) -> Built: ...


class Rewinder(Protocol):
    """A history of the replay, by which it can go back: what it is told (vm.reverse.Past)."""

    listens: bool

    def begin_stretch(self) -> None:
        """A run begins."""

    def next_mark(self) -> int:
        """Between slices: take a snapshot where it is time for one. Returns the step where the slice must end."""

    def log_ended(self) -> None:
        """What comes from now on comes from outside: whoever has been told by the log is told by the host."""


class Position(NamedTuple):
    """Where a replay is in its log: what a snapshot of the machine does not know.

    - number: of the entry that comes next. entered: the digest of all before it. fitted: the last step that was found
      to be as recorded.
    - served, printed: how much has been since the log began, as its entries count it.
    """

    number: int
    entered: bytes
    fitted: int | None
    served: int
    printed: int


class Replay:
    """What the machine is told by, instead of the host, until the log ends. Then it is an ordinary machine again.

    `past`: a history that is kept of it, which is told what comes after the end, and goes back into the log from there.
    """

    live = asks = False

    def __init__(self, outside: Outside, log: Log):
        """The machine must stand where the log begins. Raises ReplayDiverged where it does not."""
        self.outside = outside
        self.past: Rewinder | None = None
        self._runner = outside.runner
        self._standing = outside.standing
        self._entries = log.entries
        self._number = 0
        self._entered = bytes(DIGEST_BYTES)
        self._entering = False          # what the machine's parts do now follows from an entry
        self._fitted: int | None = None
        self._end_step = log.end.steps
        start = self._next.stamp
        stamp = outside.standing.stamp(start.served)
        if stamp[:2] != start[:2]:
            raise self._diverged(f"it begins at {start} and {start.ns:,} ns, and the machine stands at {stamp} and "
                                 f"{stamp.ns:,} ns; restore the snapshot that was taken then", stamp)
        self._check(self._next, stamp, self._other_machine(self._next))
        for entry in log:
            if entry.source not in self._sources(entry.kind):
                raise self._diverged(f"{WHAT[entry.kind]} at {entry.stamp}, of {entry.source!r}, and this machine has "
                                     "none", stamp)
        outside.attach(self)
        self._fitted = stamp.steps
        self._take()
        self.end()

    def _sources(self, kind: Kind) -> Container[str]:
        """What an entry of a kind can be of, in this machine."""
        if kind is Kind.INPUT:
            return self.outside.inputs.sources
        if kind is Kind.HART:
            return self._standing.numbers
        if kind is Kind.DEVICE:
            return self._standing.names
        return self.outside.inputs.witnesses if kind in WITNESSED else ("",)

    # --- For a history -----------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Where it is, between two slices or two runs."""
        return Position(self._number, self._entered, self._fitted, self.outside.served, self.outside.printed_crc)

    def go_to(self, position: Position) -> None:
        """The machine has gone to where it was when the log was there."""
        self._number, self._entered, self._fitted, served, printed = position
        self.outside.tell(self)
        self.outside.count_from(served, printed)
        self.end()

    # --- For the machine: vm.inputs.History --------------------------------------------------------------------------

    @property
    def listens(self) -> bool:
        """Somebody may want to quit."""
        return self.past is None or self.past.listens

    def begin(self) -> None:
        if self._standing.all() != self._left:
            self._refuse("a hart, the clock or a device was changed")
        if self.past is not None:
            self.past.begin_stretch()

    def end(self) -> None:
        self._left = self._standing.all()

    def next_stop(self) -> tuple[int, int] | None:
        marked = NEVER if self.past is None else self.past.next_mark()      # before what comes now
        stamp = self._deliver()
        if stamp is None:
            return None
        due, within = self._next.stamp, self._next.within_slice
        waits = stamp.steps == due.steps and stamp.ns < due.ns
        if stamp.steps > due.steps or stamp.ns > due.ns or stamp.served > due.served or (not within and (
                (stamp.steps < due.steps and stamp.ns == due.ns)
                or (stamp[:2] == due[:2] and self.outside.events.first_ns() > stamp.ns))):
            raise self._missed(stamp)
        last = due.steps + (waits or within)        # a step more would be the divergence
        return min(last, marked), due.ns + within

    def before_serving(self) -> bool:
        return self._deliver() is None

    def enter(self, source: str, data: bytes) -> None:
        if not self._follows():
            self._refuse(f"input of {source!r}")
        self.outside.inputs.admit(source, data)

    def wrote(self, address: int, data: bytes) -> None:
        if not self._follows():
            self._refuse(f"a write to memory at {address:#x}")

    def cleared(self, address: int, size: int) -> None:
        if not self._follows():
            self._refuse(f"a write to memory at {address:#x}")

    def asked(self, address: int, size: int) -> None:
        if not self._follows():
            self._refuse(f"a read of the device at {address:#x}")

    def reset(self) -> AbstractContextManager[None]:
        if not self._entering:
            self._refuse("a reset")
        return nullcontext()

    def answer(self, device: str, question: Callable[[], int | None]) -> int | None:
        """The device is not asked: the log has what it did, and said."""
        while True:
            entry, stamp = self._next, self.outside.stamp()
            if not entry.within_slice or stamp[:2] != entry.stamp[:2]:
                raise self._missed(stamp, f"the guest asks {device!r}")
            self._take()
            if entry.kind is Kind.ANSWER:
                if entry.source != device:
                    raise self._diverged(f"the guest asked {entry.source!r}, and asks {device!r}", stamp)
                value: int = WORD.unpack(entry.data)[0]
                return value
            self._apply(entry)

    def drove(self, device: str, level: bool) -> None:
        if self._entering:
            self.outside.inputs.witnesses[device].drive(level)

    def scheduled(self, device: str, delay_ns: int, event: int, data: int) -> None:
        if self._entering:
            self.outside.inputs.witnesses[device].let_schedule(delay_ns, event, data)

    def cancelled(self, device: str, event: int) -> None:
        if self._entering:
            self.outside.inputs.witnesses[device].let_cancel(event)

    # --- Coming to entries -------------------------------------------------------------------------------------------

    def _follows(self) -> bool:
        """Whether what happens is the machine's own doing."""
        return self._entering or (self._runner.thread is not None and not self._runner.between_slices)

    def _refuse(self, what: str) -> NoReturn:
        raise MachineBusy(f"{what}: the machine replays a log, which says all that comes from outside until step "
                          f"{self._end_step:,}; run it to there first")

    def _deliver(self) -> Stamp | None:
        """Let all come that is due now. Returns where the machine stands; None where the log ends."""
        while True:
            stamp = self.outside.stamp()
            if self._next.stamp[:3] != stamp[:3] or self._next.within_slice:
                return stamp
            entry = self._next
            self._check(entry, stamp)
            if entry.kind is Kind.END:
                if self.past is None:
                    self.outside.detach()
                else:
                    self.past.log_ended()
                return None
            self._fitted = stamp.steps
            self._take()
            self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        self._entering = True
        try:
            APPLY[entry.kind](self, entry)
        finally:
            self._entering = False

    @property
    def _next(self) -> Entry:
        return self._entries[self._number]

    def _take(self) -> None:
        """The entry at hand is done: to the next one."""
        if self._next.kind is not Kind.CHECKPOINT:
            self._entered = digest(self._next.packed(), self._entered)
        self._number += 1

    def _other_machine(self, start: Entry) -> list[str]:
        """What of this machine is not as the log's was, for people."""
        try:
            then = decode(start.data)
            memory, code = then["memory"], then["code"]
        except (EncodingError, TypeError, LookupError) as error:
            raise LogError(f"the start of the log does not say what was recorded: {error}") from error
        ours = self.outside.description()
        told = [f"the machine has {ours['memory']}; recorded was one with {memory}"] if memory != ours["memory"] else []
        if code != ours["code"]:
            told.append("its harts stand in another program than the one that was recorded")
        return told

    def _check(self, entry: Entry, stamp: Stamp, told: Sequence[str] = ()) -> None:
        """Compare with what the entry says of the moment before it; `told` is what differs beside that."""
        if not entry.proof:
            return
        entered, printed, states = (entry.proof[part] for part in PROOF_PARTS)
        told = [*told, self._standing.difference(states)]
        if entry.stamp.hart != stamp.hart:
            told.append(f"it is the turn of hart {stamp.hart}, and was that of {entry.stamp.hart}")
        if self._fitted is not None and printed != self.outside.printed():
            told.append("the guest has not printed what it printed then")
        if entered != self._entered:
            told.append("what came from outside before is not what was recorded: the log was changed")
        if told := [one for one in told if one]:
            raise self._diverged("; ".join(told), stamp)

    def _missed(self, stamp: Stamp, instead: str = "the guest stands") -> ReplayDiverged:
        due = self._next.stamp
        return self._diverged(f"{WHAT[self._next.kind]} at {due}, {due.ns:,} ns, served {due.served}; {instead} at "
                              f"{stamp}, {stamp.ns:,} ns, served {stamp.served}", stamp)

    def _diverged(self, difference: str, stamp: Stamp) -> ReplayDiverged:
        if self._fitted == self._entries[0].stamp.steps:
            difference += "; perhaps it is another program, or other content of RAM, than the recording was made with"
        return ReplayDiverged(stamp.steps, stamp.hart, self._fitted, difference)

    # --- What comes --------------------------------------------------------------------------------------------------

    def _checkpoint(self, entry: Entry) -> None:
        pass

    def _input(self, entry: Entry) -> None:
        self.outside.inputs.admit(entry.source, entry.data)

    def _write(self, entry: Entry) -> None:
        address, = WORD.unpack_from(entry.data)
        with suppress(BusError):            # then it was one when it was recorded, too
            self.outside.memory.write(address, entry.data[WORD.size:])

    def _clear(self, entry: Entry) -> None:
        with suppress(BusError):
            self.outside.memory.clear(*RANGE.unpack(entry.data))

    def _read(self, entry: Entry) -> None:
        with suppress(BusError):
            self.outside.memory.read(*RANGE.unpack(entry.data))

    def _hart(self, entry: Entry) -> None:
        self._standing.change(int(entry.source), entry.data)

    def _device(self, entry: Entry) -> None:
        self._standing.change_device(entry.source, entry.data)

    def _clock(self, entry: Entry) -> None:
        self._standing.set_time(*TIME.unpack(entry.data))

    def _reset(self, entry: Entry) -> None:
        self.outside.reset()

    def _line(self, entry: Entry) -> None:
        self.outside.inputs.witnesses[entry.source].drive(bool(WORD.unpack(entry.data)[0]))

    def _schedule(self, entry: Entry) -> None:
        self.outside.inputs.witnesses[entry.source].let_schedule(*SCHEDULE.unpack(entry.data))

    def _cancel(self, entry: Entry) -> None:
        self.outside.inputs.witnesses[entry.source].let_cancel(*CANCEL.unpack(entry.data))


def replay(snapshot: Restorable[Built], log: Log, **overrides: Any) -> Built:
    """The machine of the snapshot, ready to run as it ran when `log` was recorded from there: see `Machine.replay`.

    `overrides` are those of `Snapshot.machine`, as `engine="interpreter"`. The caller closes the machine.
    """
    refuse_other("replay() takes the snapshot that the recording began with", snapshot, Restorable)
    refuse_other("replay() takes the log of a recording, a vm.Log", log, Log)
    machine = snapshot.machine(**overrides)
    try:
        machine.replay(log)
    except BaseException:
        machine.close()
        raise
    return machine


APPLY: dict[Kind, Callable[[Replay, Entry], None]] = {
    Kind.CHECKPOINT: Replay._checkpoint, Kind.INPUT: Replay._input, Kind.WRITE: Replay._write,
    Kind.CLEAR: Replay._clear, Kind.READ: Replay._read, Kind.HART: Replay._hart, Kind.CLOCK: Replay._clock,
    Kind.RESET: Replay._reset, Kind.DMA: Replay._write, Kind.LINE: Replay._line, Kind.SCHEDULE: Replay._schedule,
    Kind.CANCEL: Replay._cancel, Kind.DEVICE: Replay._device,
}
# The same for people, before "at step N".
WHAT = {
    Kind.START: "the recording began",
    Kind.CHECKPOINT: "there was a checkpoint", Kind.END: "the recording ended", Kind.INPUT: "input came",
    Kind.WRITE: "memory was written", Kind.CLEAR: "memory was cleared", Kind.READ: "a device was read",
    Kind.HART: "a hart was changed", Kind.CLOCK: "the clock was set", Kind.RESET: "the machine was reset",
    Kind.ANSWER: "a device was asked", Kind.DMA: "a device wrote memory", Kind.LINE: "an interrupt line was driven",
    Kind.SCHEDULE: "a device scheduled an event", Kind.CANCEL: "a device cancelled an event",
    Kind.DEVICE: "a device was changed",
}
