"""One machine on which a fuzzer runs inputs, and how a run is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from vm.events import NEVER
from vm.fleet.places import Place, address_of, bind
from vm.probes import Probe
from vm.scope import END, EVERYBODY, start_recorder
from vm.stop import Stop, StopReason
from vm.trace import LEAST_CAPACITY
from vm_native.edge_buckets import clear
from vm_native.execution.scheduler import STOP_CODES

if TYPE_CHECKING:
    from vm.machine import Machine

Verdict = Literal["done", "crash", "hang"]

TRAPPED = (StopReason.UNHANDLED_TRAP, StopReason.TRAP_LOOP)
RUNNING = ("clock", "scheduler", "runner", "events")   # parts of a machine that change in any run
AT_BREAKPOINT = STOP_CODES["breakpoint"]
PATHS = (1 << 61) - 1                   # of hashes of maps


@dataclass(frozen=True)
class Target:
    """What is fuzzed, beside the snapshot. Attributes as of `vm.fleet.fuzz`."""

    place: Place | Callable[[Machine, bytes], object]
    done: tuple[int | str, ...] = ()
    crash: tuple[int | str, ...] = ()
    steps: int = 1_000_000
    longest: int | None = None
    map_bits: int = 16


class Signature(NamedTuple):
    """How a run ended that crashed, as far as it can be told without another."""

    reason: str
    pc: int
    cause: int | None
    exit_code: int | None
    path: int                           # a hash of its edges


class Outcome(NamedTuple):
    """How a run ended. `stop`: what `Machine.run` has returned; None where that was not needed."""

    verdict: Verdict
    steps: int
    stop: Stop | None = None


class Arena:
    """Inputs run here one after the other, each from the snapshot at which the machine stands now.

    `counts`: how often the last run took each edge, an array of bytes.
    """

    def __init__(self, machine: Machine, target: Target):
        """Raises ConfigurationError for a place, or a symbol, that there is not."""
        self.machine = machine
        self.bound = bind(target.place, machine, target.longest)
        done = {*self.bound.done, *(address_of(machine, where) for where in target.done)}
        self._steps = target.steps
        self._crashes: set[Probe] = {machine.breakpoint(where) for where in
                                     {address_of(machine, where) for where in target.crash} - done}
        for where in done:
            machine.breakpoint(where)
        self.edges = machine.edge_map(target.map_bits)
        self.counts = self.edges.array
        self.bound.prepare()
        self.begin = machine.snapshot()
        # Most runs need nothing of what `Machine.run` has for others: the core alone is twice as fast. And where none
        # has touched a device, there is none to be restored.
        self._is_plain = not machine.inputs.watching and machine.clock.kind == "virtual"
        self._mmio = start_recorder("fuzz", machine._native, "mmio", range(END), EVERYBODY, capacity=LEAST_CAPACITY,
                                    ring=True)
        self._parts = [(part, self.begin.state.parts[name]) for name, part in machine._parts().items()
                       if name in RUNNING]
        self._devices_touched = True

    def run(self, data: bytes) -> Outcome:
        machine = self.machine
        self._restore()
        clear(self.counts)
        self.bound.put(data)
        if self._is_plain:
            return self._run_plainly()
        self._devices_touched = True
        return self._judged(machine.run(instructions=self._steps))

    def _restore(self) -> None:
        """As `Machine.restore`, but for parts that are as they were."""
        machine = self.machine
        if self._devices_touched or self._mmio.count or self._mmio.wrapped or not self.bound.is_memory:
            machine._go_to(self.begin)
            self._mmio.clear()
            self._devices_touched = False
            return
        machine._native.restore(self.begin.state.memory, self.begin.state.harts)
        for part, saved in self._parts:
            if part.differs(saved):
                part.load(saved)
        machine._scheduler.settle_harts()

    def _run_plainly(self) -> Outcome:
        """The same as `Machine.run`, which is called for all but a breakpoint."""
        machine = self.machine
        scheduler = machine._scheduler
        code, _ = scheduler.run(self._steps, NEVER, NEVER)
        scheduler.release_handlers()
        steps = machine.steps - self.begin.steps
        if code == AT_BREAKPOINT:
            hits = machine._native.take_hits()
            probes = machine._runner.probes
            return Outcome("crash" if any(probes[hit[0]] in self._crashes for hit in hits) else "done", steps)
        self._devices_touched = True
        scheduler.leave_unserved(code)
        outcome = self._judged(machine.run(instructions=self._steps - steps))
        return outcome._replace(steps=outcome.steps + steps)

    def go_on(self, steps: int) -> bool:
        """Let a run that has hung go on for so many steps; whether it still hangs then."""
        self._devices_touched = True
        return self._verdict(self.machine.run(instructions=steps)) == "hang"

    def _judged(self, stop: Stop) -> Outcome:
        return Outcome(self._verdict(stop), stop.steps, stop)

    def _verdict(self, stop: Stop) -> Verdict:
        reason = stop.reason
        if reason is StopReason.BUDGET:
            return "hang"
        if reason is StopReason.BREAKPOINT:
            return "crash" if any(hit.probe in self._crashes for hit in stop.hits) else "done"
        return "crash" if reason in TRAPPED or stop.exit_code else "done"

    def signature(self, stop: Stop | None) -> Signature:
        """`counts` are those of this run."""
        places = self.counts.nonzero()[0]
        path = int.from_bytes(places.astype("<u4").tobytes(), "little") % PATHS
        if stop is None:
            return Signature("breakpoint", self.machine.harts[0].pc, None, None, path)
        return Signature(stop.reason.value, stop.pc, stop.cause, stop.exit_code, path)


def arena_of(machine: Machine, target: Target) -> Arena:
    """The one on this machine, which stands at the snapshot. It is kept there: its instruments are, too."""
    arena: Arena | None = vars(machine).get("_arena")
    if arena is None:
        arena = vars(machine)["_arena"] = Arena(machine, target)
    return arena
