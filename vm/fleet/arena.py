"""One machine on which a fuzzer runs inputs, and how a run is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple
from weakref import WeakKeyDictionary

from vm.fleet.places import Place, address_of, bind
from vm.probes import Probe
from vm.stop import Stop, StopReason
from vm_native.edge_buckets import clear

if TYPE_CHECKING:
    from vm.machine import Machine

Verdict = Literal["done", "crash", "hang"]

TRAPPED = (StopReason.UNHANDLED_TRAP, StopReason.TRAP_LOOP)
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


class Arena:
    """Inputs run here one after the other, each from the snapshot at which the machine stands now.

    `counts`: how often the last run took each edge, an array of bytes.
    """

    def __init__(self, machine: Machine, target: Target):
        """Raises ConfigurationError for a place, or a symbol, that there is not."""
        self.machine = machine
        self.begin = machine.snapshot()
        self.bound = bind(target.place, machine, target.longest)
        done = {*self.bound.done, *(address_of(machine, where) for where in target.done)}
        self._steps = target.steps
        self._crashes: set[Probe] = {machine.breakpoint(where) for where in
                                     {address_of(machine, where) for where in target.crash} - done}
        for where in done:
            machine.breakpoint(where)
        self.edges = machine.edge_map(target.map_bits)
        self.counts = self.edges.array

    def run(self, data: bytes) -> Stop:
        machine = self.machine
        machine.restore(self.begin)
        clear(self.counts)
        self.bound.put(data)
        return machine.run(instructions=self._steps)

    def judge(self, stop: Stop) -> Verdict:
        reason = stop.reason
        if reason is StopReason.BUDGET:
            return "hang"
        if reason is StopReason.BREAKPOINT:
            return "crash" if any(hit.probe in self._crashes for hit in stop.hits) else "done"
        return "crash" if reason in TRAPPED or stop.exit_code else "done"

    def signature(self, stop: Stop) -> Signature:
        """`counts` are those of this run."""
        places = self.counts.nonzero()[0]
        path = int.from_bytes(places.astype("<u4").tobytes(), "little") % PATHS
        return Signature(stop.reason.value, stop.pc, stop.cause, stop.exit_code, path)


ARENAS: WeakKeyDictionary[Machine, Arena] = WeakKeyDictionary()     # of this process: instruments stay on machines


def arena_of(machine: Machine, target: Target) -> Arena:
    """The one on this machine, which stands at the snapshot."""
    if machine not in ARENAS:
        ARENAS[machine] = Arena(machine, target)
    return ARENAS[machine]
