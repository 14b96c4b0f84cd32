"""The part of a machine that takes its states and goes to them: snapshots, forks, recordings, running backwards."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

from vm.arguments import refuse_other, whole_number
from vm.errors import ConfigurationError, SnapshotError, VmError
from vm.plan import MachineState
from vm.sizes import PAGE_SIZE
from vm.snapshot import Comparison, CompiledCode, Snapshot, differences_in
from vm_native.state.content import changed_pages

if TYPE_CHECKING:
    from typing import Self

    from vm.boards import Board
    from vm.boot import Start
    from vm.clock import Clock
    from vm.console import Console
    from vm.events import EventQueue
    from vm.hart import Hart
    from vm.inputs import Inputs
    from vm.loaders import Program
    from vm.log import Log
    from vm.memory import Memory
    from vm.plan import MachinePlan
    from vm.probing import Probing
    from vm.recording import Outside, Recording
    from vm.reverse import Past, Until
    from vm.runner import Runner
    from vm.state import Stateful
    from vm.stop import Stop
    from vm_native.execution.native_machine import NativeMachine
    from vm_native.execution.scheduler import Scheduler
    from vm_native.memory.bus import Bus
    from vm_native.riscv.hart import NativeHart

Identity = Literal["same", "new"] | int

IDENTITY_BYTES = 16                     # of a number that tells two forks apart
OF_THE_GUEST = ("htif", "events")   # parts whose state fits once the machine knows which guest it has


class StatesOfMachine(ABC):
    """What `Machine` can do with its states; what is declared here is the machine's."""

    harts: tuple[Hart, ...]
    memory: Memory
    clock: Clock
    events: EventQueue
    inputs: Inputs
    console: Console
    board: Board
    _bus: Bus
    _native: NativeMachine
    _natives: list[NativeHart]
    _scheduler: Scheduler
    _runner: Runner
    _probing: Probing
    _plan: MachinePlan
    _start: Start | None
    _named_by: Program | None
    _in_run: bool                           # or is between two states
    _stands_on: Snapshot | None = None      # the last one taken or gone back to
    _compiled: CompiledCode | None = None   # what its snapshots know of its code, once there is one

    @property
    @abstractmethod
    def steps(self) -> int: ...

    @abstractmethod
    def _parts(self) -> Mapping[str, Stateful | Scheduler]: ...

    @abstractmethod
    def _map_devices(self) -> None: ...

    @abstractmethod
    def _reset(self) -> None: ...

    @abstractmethod
    def _belong_to(self, start: Start | None) -> None: ...

    @abstractmethod
    def _refuse_if_running(self, what: str, *, in_hook: bool = False) -> None: ...

    @abstractmethod
    def _refuse_unless_still(self, what: str, *, in_hook: bool = False) -> None: ...

    # --- States ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Take the whole state of the machine as a value, which `restore` goes back to: a `vm.Snapshot`.

        It costs what was written since the snapshot before; of RAM nothing is copied by the first one. From then on
        the first write to a page takes a little longer.

        Raises MachineBusy inside a callback, or while memory is open for writing; MemoryError, and the machine is as it
        was.
        """
        self._refuse_unless_still("snapshot", in_hook=True)
        with self._busy():
            if self.inputs.history is None:         # which notes when HTIF is told
                self._runner.hear_hits()
            return self._take_snapshot()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Other threads find the machine running."""
        before, self._in_run = self._in_run, True
        try:
            yield
        finally:
            self._in_run = before

    def _take_snapshot(self) -> Snapshot:
        """`snapshot`, between two runs or two slices."""
        before_this = self._stands_on
        known = before_this.state.parts if before_this is not None and before_this.plan.is_like(self._plan) else {}
        parts = {name: part.save() if name not in known or part.differs(known[name]) else known[name]
                 for name, part in self._parts().items()}
        harts = tuple([native.save() for native in self._natives])
        before = None if self._stands_on is None else weakref.ref(self._stands_on)
        self._stands_on = Snapshot(self._plan, MachineState(self._native.capture(), harts, parts), self.steps,
                                   self._start, before, self._code_to_share())
        return self._stands_on

    def _code_to_share(self) -> CompiledCode:
        if self._compiled is None:
            self._compiled = CompiledCode(self._native)
        return self._compiled

    def restore(self, snapshot: Snapshot) -> None:
        """Be as the machine was when a snapshot was taken: this one, or another of the same shape.

        It costs what was written since. Translated and compiled code lives on where the bytes are the same. What
        belongs to the host stays: files, whoever watches the console, compiled code, counters in `stats`.

        Raises SnapshotError for a snapshot of a machine with other memory, harts or devices, and what `snapshot`
        raises; the machine is then as it was.
        """
        self._refuse_unless_still("restore", in_hook=True)
        refuse_other("restore() takes what snapshot() gave", snapshot, Snapshot)
        if snapshot.plan is not self._plan:
            self._refuse_unfit(snapshot)
        with self._busy():
            if snapshot.plan is self._plan:
                self._go_to(snapshot)
            else:
                self._go_abroad(snapshot)

    def _go_abroad(self, snapshot: Snapshot) -> None:
        """The same with a state that another machine, or who knows who, has made: where it is none, nothing happens."""
        here = self._take_snapshot()
        try:
            self._begin_as(snapshot)
        except BaseException:
            self._go_to(here)
            raise

    def _begin_as(self, snapshot: Snapshot) -> None:
        """Take over a state that may be none of such a machine: then the machine is of no use. Raises SnapshotError."""
        try:
            self._go_to(snapshot)
        except VmError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise SnapshotError(f"the snapshot holds what no machine like this one can be: {error!r}; save it "
                                "again") from error

    def _go_to(self, snapshot: Snapshot) -> None:
        """`restore` of a machine of the same shape, between two runs or two slices."""
        self._map_devices()
        state = snapshot.state
        with self._runner.moving():
            self._native.restore(state.memory, state.harts)
            if snapshot.start is not self._start:
                self._runner.reset()
                self._belong_to(snapshot.start)
            for name, part in self._parts().items():
                saved = state.parts[name]
                if part.differs(saved):
                    part.load(saved)
            self._scheduler.settle_harts()
        self._stands_on = snapshot

    @overload
    def fork(self, *, identity: Identity = "same") -> Self: ...

    @overload
    def fork(self, n: int, *, identity: Identity = "same") -> list[Self]: ...

    def fork(self, n: int | None = None, *, identity: Identity = "same") -> Self | list[Self]:
        """Another machine in the state of this one, or a list of `n`.

        They share RAM that none of them writes, and what has been compiled until then.

        identity: "same", and with the same input they do the same; "new", and what must differ between computers does:
        entropy, the date of a virtual clock, and what vm.devices.GenerationId tells the guest; a number, and it differs
        the same way each time.

        Each has disks of its own: what it writes goes to a layer above the image. Raises what `snapshot` raises.
        """
        count = 1 if n is None else whole_number("n", n)
        if count < 0:
            raise ConfigurationError(f"n={n}: there cannot be less than no fork")
        if not isinstance(identity, str):
            identity = whole_number("identity", identity)
        elif identity not in ("same", "new"):
            raise ConfigurationError(f"identity={identity!r}: it is 'same', 'new' or a whole number")
        snapshot = self.snapshot()
        forks: list[Any] = []      # of the same class: a plan builds it
        try:
            for _ in range(count):
                forks.append(snapshot.machine())
                forks[-1]._be_another(identity)
                if self._named_by is not None:
                    forks[-1]._name_by(self._named_by)
        except BaseException:
            for machine in forks:
                machine.close()
            raise
        return forks[0] if n is None else forks

    def equals(self, snapshot: Snapshot) -> Comparison:
        """Whether the machine is in the state of a snapshot. What differs is in `differences` of the answer, by name.

        Raises SnapshotError where the two cannot be compared, and MachineBusy inside a callback.
        """
        self._refuse_unless_still("equals", in_hook=True)
        refuse_other("equals() takes what snapshot() gave", snapshot, Snapshot)
        self._plan.refuse_other(snapshot.plan)
        found = []
        for native, saved in zip(self._natives, snapshot.state.harts, strict=True):
            found += native.differences(saved)
        for ram, content in zip(self._bus.ram_regions(), snapshot.state.memory, strict=True):
            pages = changed_pages(ram, content)
            if pages:
                many = f"{len(pages)} pages, the first" if len(pages) > 1 else "one page,"
                found.append(f"memory: {many} at {ram.base + pages[0] * PAGE_SIZE:#x}")
        for name, part in self._parts().items():
            saved = snapshot.state.parts[name]
            found += differences_in(name, part.save(), saved) if part.differs(saved) else []
        return Comparison(found)

    def _refuse_unfit(self, snapshot: Snapshot) -> None:
        """Raise SnapshotError for the state of a machine that is not like this one."""
        state = snapshot.state
        try:
            self._plan.refuse_other(snapshot.plan)
            for native, saved in zip(self._natives, state.harts, strict=True):
                native.refuse_unfit(saved)
            for name, part in self._parts().items():
                if name not in OF_THE_GUEST:
                    part.refuse_unfit(state.parts[name])
        except (ValueError, KeyError, TypeError) as error:
            where = "" if snapshot.file is None else f"{snapshot.file[0]}: "
            what = "" if isinstance(error, SnapshotError) else "the snapshot does not fit this machine: "
            raise SnapshotError(f"{where}{what}{error}") from error

    def _be_another(self, identity: Identity) -> None:
        if identity == "same":
            return
        number = int.from_bytes(os.urandom(IDENTITY_BYTES), "little") if identity == "new" else identity
        number %= 2 ** (8 * IDENTITY_BYTES)
        for placed in self.board.devices.values():
            placed.device.renew(number)
        for native in self._natives:
            native.renew_entropy(number % 2**64)
        self.clock.renew(number)

    # --- Recording ---------------------------------------------------------------------------------------------------

    def record(self) -> Recording:
        """Write down all that comes from outside from now on, until `stop()` or to the end of a `with` block.

        What that is, `Recording.log`, and a snapshot of this moment are the whole run: see `vm.replay`. Raises
        ConfigurationError where the clock is real.
        """
        from vm.recording import Recording, refuse_to_record

        self._refuse_if_running("record")
        refuse_to_record(self.clock.kind, self.inputs)
        return Recording(self._outside())

    def replay(self, log: Log) -> None:
        """Let all that comes from outside be what the log has, from now on until it ends.

        The machine must stand where the recording began, as one does that a snapshot of that moment was restored to.
        It then runs by `run`, on any engine and in any pieces; that stops with reason `replayed` where the log ends,
        and goes on as any other machine. Until then input and changes from outside raise MachineBusy. ReplayDiverged is
        raised here where the machine stands elsewhere, and by `run` where it comes elsewhere.
        """
        from vm.log import Log
        from vm.recording import refuse_to_record
        from vm.replaying import Replay

        self._refuse_if_running("replay")
        refuse_other("replay() takes the log of a recording, a vm.Log", log, Log)
        refuse_to_record(self.clock.kind, self.inputs)
        Replay(self._outside(), log)

    def _outside(self) -> Outside:
        from vm.recording import Outside
        from vm.standing import Standing

        self._map_devices()
        standing = Standing(self.harts, self._natives, self.clock, self._scheduler, self.board.devices)
        return Outside(self._runner, self.inputs, self.memory, self.events, self.console, standing, self._reset)

    # --- Running backwards -------------------------------------------------------------------------------------------

    def keep_history(self, spacing: int = 8_000_000, snapshots: int = 64, memory: int | str = "1G") -> Past:
        """From now on the machine can go back, by `step_back` and `run_back`, to any step from here on.

        While it runs, snapshots are taken, ever farther apart the longer ago they are.

        - spacing: steps between the last two, at most; going back by one repeats as many at worst. There are fewer
          where the guest is slow, so that this takes no longer.
        - snapshots: how many at most, 4 or more; those where something came from outside are kept longest. When all of
          them are such, the beginning of the history moves on.
        - memory: of the host, for copies of pages that the guest has written; with more there are fewer snapshots.

        In a replay, what comes from outside comes from the log each time; behind its end as in any machine.

        It ends with `stop()`, or with a `with` block. Raises ConfigurationError where the clock is real, or the run is
        recorded.
        """
        from vm.recording import refuse_to_record
        from vm.replaying import Replay
        from vm.reverse import Past, Workings

        self._refuse_unless_still("keep_history")
        history = self.inputs.history
        replay = history if isinstance(history, Replay) and history.past is None else None
        if replay is None:
            refuse_to_record(self.clock.kind, self.inputs)
        workings = Workings(self._native, self._scheduler, self._natives, self._probing, self._take_snapshot,
                            self._go_to)
        outside = self._outside() if replay is None else replay.outside
        return Past(outside, workings, spacing, snapshots, memory, replay)

    def step_back(self, n: int = 1) -> Stop:
        """Be where the machine was `n` steps ago, all harts together, as if it had never been later.

        Running on, it does the same again, and what came from outside comes again at its step; until something else
        does. Raises ConfigurationError where no history is kept, or it does not reach so far; the machine is then where
        it was.
        """
        return self._past("step_back").step_back(whole_number("n", n))

    def run_back(self, until: Until = None) -> Stop:
        """Run backwards, to before what happened last of what is asked for.

        - until: a breakpoint or watchpoint, or several in a list or tuple; None for all that are set;
          ("write", address, size), or "read" or "access" first, for the last access to a range of physical memory;
          text or bytes, for the byte of the console's output that completed it.

        The next instruction is then the one that is at the breakpoint, does the access or prints the byte, and the
        reason as of a run: `breakpoint`, `watchpoint`, `condition`; `steps` is how many were gone back. Where it did
        not happen since the history began, the reason is `beginning`, and the machine is where it was.

        Raises what `step_back` raises.
        """
        return self._past("run_back").run_back(until)

    def _past(self, what: str) -> Past:
        from vm.reverse import past_of

        self._refuse_unless_still(what)
        past = past_of(self.inputs)
        if past is None:
            raise ConfigurationError(f"{what}(): no history is kept; call keep_history() before the run")
        return past
