"""Which outcomes of a litmus test a memory model allows: all executions are gone through, and its axioms decide.

RVWMO is that of the unprivileged specification, "RVWMO Memory Consistency Model": the load value and atomicity axioms,
and the rules of preserved program order, by their numbers. A global memory order that has all of these exists where
they make no circle. TSO is that of x86, with our mapping of RISC-V on it: what a machine with a host thread for each
hart may show at most. SC is one order of everything, which harts that take turns keep.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import permutations, product
from typing import NamedTuple

from tests.litmus.shapes import DEPENDENCIES, Outcome, Shape

NOWHERE = -1                    # reads-from: the initial zero


class Event(NamedTuple):
    """A memory operation. An AMO is one that reads and writes; load-reserved and store-conditional are two."""

    hart: int
    place: str
    reads: bool
    writes: bool
    value: int | None           # that it writes; None: what it read
    acquire: bool = False
    release: bool = False
    conditional: bool = False   # SC: may fail, and is none then
    locked: bool = False        # AMO or SC: on x86, a locked instruction
    pair: int = NOWHERE         # of SC: its LR
    needs: tuple[tuple[str, int], ...] = ()             # (kind of dependency, event that it is on)
    fences: tuple[str, ...] = ()                        # between the event before it and this one

    @property
    def annotated(self) -> bool:
        return self.acquire or self.release


class Execution(NamedTuple):
    """A candidate: which events there are, where each read has its value from, and how writes of a place follow."""

    events: tuple[Event, ...]
    there: tuple[int, ...]                              # numbers of those that are, in program order hart by hart
    source: dict[int, int]
    coherence: dict[str, tuple[int, ...]]
    values: dict[int, int]                              # what each write wrote


Order = Callable[[Execution, int, int], bool]           # whether a model keeps two events, the first earlier in program


# --- Events of a shape ------------------------------------------------------------------------------------------------

@cache
def events_of(shape: Shape) -> tuple[Event, ...]:
    found: list[Event] = []
    for hart, accesses in enumerate(shape.harts):
        last_read = NOWHERE
        control: list[tuple[str, int]] = []             # a branch is before all that follows
        for access in accesses:
            control += [("ctrl", last_read)] * ("ctrl" in access.before)
            needs = (*((kind, last_read) for kind in DEPENDENCIES[:2] if kind in access.before), *control)
            fences = tuple(one for one in access.before if one.startswith("fence"))
            acquire, release = access.order.startswith("aq"), access.order.endswith("rl")
            if access.kind == "X":                      # as compilers do: lr.aqrl and sc.rl for both
                address = tuple(need for need in needs if need[0] != "data")
                found.append(Event(hart, access.place, True, False, None, acquire, acquire and release, needs=address,
                                   fences=fences))
                last_read = len(found) - 1
                found.append(Event(hart, access.place, False, True, access.value, False, release, True, True,
                                   last_read, needs))
                continue
            amo = access.kind in "AO"
            found.append(Event(hart, access.place, access.kind != "W", amo or access.kind == "W",
                               None if access.kind in "RLO" else access.value, acquire, release, locked=amo,
                               needs=needs, fences=fences))
            if access.kind != "W":
                last_read = len(found) - 1
    return tuple(found)


# --- Executions -------------------------------------------------------------------------------------------------------

def executions(shape: Shape) -> Iterator[Execution]:
    """All in which reads have their values from somewhere, plausible or not."""
    events = events_of(shape)
    conditional = [number for number, event in enumerate(events) if event.conditional]
    for failing in product((False, True), repeat=len(conditional)):
        failed = {number for number, fails in zip(conditional, failing, strict=True) if fails}
        there = tuple(number for number in range(len(events)) if number not in failed)
        writes = {place: [number for number in there if events[number].writes and events[number].place == place]
                  for place in shape.places}
        for orders in product(*(permutations(writes[place]) for place in shape.places)):
            coherence = dict(zip(shape.places, orders, strict=True))
            # An AMO reads what its write comes after; other loads, anything.
            fixed = {number: order[at - 1] if at else NOWHERE for order in orders for at, number in enumerate(order)
                     if events[number].reads}
            free = [number for number in there if events[number].reads and number not in fixed]
            values: dict[int, int] = {NOWHERE: 0}
            for order in orders:
                for number in order:
                    written = events[number].value
                    values[number] = values[fixed[number]] if written is None else written
            for sources in product(*((NOWHERE, *writes[events[number].place]) for number in free)):
                yield Execution(events, there, fixed | dict(zip(free, sources, strict=True)), coherence, values)


def outcome_of(shape: Shape, execution: Execution) -> Outcome:
    found = []
    for number, event in enumerate(execution.events):
        if event.conditional:
            found.append(int(number not in execution.there))
        elif event.reads:
            found.append(execution.values[execution.source[number]])
    last = [execution.coherence[place] for place in shape.finals]
    return (*found, *(execution.values[order[-1]] if order else 0 for order in last))


def is_possible(execution: Execution, keeps: Order) -> bool:
    """Whether an order of all events has what is demanded: of reads and writes, of LR and SC, and by the model."""
    events, there, source = execution.events, execution.there, execution.source
    after = dict.fromkeys(there, 0)                     # of each event those that must come later, as bits
    for order in execution.coherence.values():
        for at, number in enumerate(order):
            for later in order[at + 1:]:
                after[number] |= 1 << later
    for number, origin in source.items():
        event, order = events[number], execution.coherence[events[number].place]
        if origin != NOWHERE and events[origin].hart != event.hart:
            after[origin] |= 1 << number
        elif origin > number:
            return False                                # its own later store
        for later in order[order.index(origin) + 1 if origin != NOWHERE else 0:]:
            if later == number:
                continue
            if events[later].hart == event.hart and later < number:
                return False                            # it has overwritten that itself
            after[number] |= 1 << later
    if not all(is_atomic(execution, number) for number in there if events[number].conditional):
        return False
    for at, first in enumerate(there):
        for second in there[at + 1:]:
            if events[first].hart == events[second].hart and keeps(execution, first, second):
                after[first] |= 1 << second
    return has_no_circle(after)


def is_atomic(execution: Execution, conditional: int) -> bool:
    """No store of another hart is between what the LR read and the SC."""
    event = execution.events[conditional]
    order = execution.coherence[event.place]
    origin = execution.source[event.pair]
    begin, end = (order.index(origin) + 1 if origin != NOWHERE else 0), order.index(conditional)
    return begin <= end and all(execution.events[number].hart == event.hart for number in order[begin:end])


def has_no_circle(after: dict[int, int]) -> bool:
    left = dict(after)
    while left:
        mask = sum(1 << number for number in left)
        last = [number for number, later in left.items() if not later & mask]
        if not last:
            return False
        for number in last:
            del left[number]
    return True


# --- Models -----------------------------------------------------------------------------------------------------------

def kept_by_rvwmo(execution: Execution, first: int, second: int) -> bool:
    """Preserved program order, by the rules of its definition."""
    a, b = execution.events[first], execution.events[second]
    between = [number for number in execution.there if first < number < second]
    same = a.place == b.place
    read = execution.source.get(second)
    return (
        b.writes and same                                                                               # 1
        or a.reads and b.reads and same and read != execution.source[first]
        and not any(execution.events[number].writes and execution.events[number].place == a.place
                    for number in between)                                                              # 2
        or a.locked and b.reads and read == first                                                       # 3
        or is_fenced(execution, first, second)                                                          # 4
        or a.acquire or b.release or a.annotated and b.annotated                                        # 5, 6, 7
        or b.pair == first                                                                              # 8
        or any(on == first and (kind != "ctrl" or b.writes) for kind, on in b.needs)                    # 9, 10, 11
        or b.reads and any(read == number and any(on == first and kind != "ctrl"
                           for kind, on in execution.events[number].needs) for number in between)       # 12
        or b.writes and any(("addr", first) in execution.events[number].needs for number in between)    # 13
    )


def fences_between(execution: Execution, first: int, second: int) -> Iterator[str]:
    for number in range(first + 1, second + 1):
        yield from execution.events[number].fences


def is_fenced(execution: Execution, first: int, second: int) -> bool:
    a, b = execution.events[first], execution.events[second]
    for fence in fences_between(execution, first, second):
        _, before, *rest = fence.split(".")
        if before == "tso":
            if a.reads or b.writes:                     # read to anything, write to write
                return True
        elif (a.reads and "r" in before or a.writes and "w" in before) and (
                b.reads and "r" in rest[0] or b.writes and "w" in rest[0]):
            return True
    return False


def kept_by_tso(execution: Execution, first: int, second: int) -> bool:
    """All but a store and a load behind it, unless a locked instruction or a full fence says more."""
    a, b = execution.events[first], execution.events[second]
    if a.reads or b.writes or a.locked or b.locked:
        return True
    between = execution.events[first + 1:second + 1]
    return any(fence_is_full(fence) for event in between for fence in event.fences) or any(
        event.locked and number in execution.there for number, event in enumerate(between, first + 1)) or any(
        event.reads and event.release for event in between)         # lr.aqrl: nothing of x86 is like it but a fence


def fence_is_full(fence: str) -> bool:
    """Whether our mapping needs one of x86's for it: it keeps writes before reads."""
    _, before, *rest = fence.split(".")
    return "w" in before and before != "tso" and "r" in rest[0]


def kept_by_sc(execution: Execution, first: int, second: int) -> bool:
    return True


MODELS: dict[str, Order] = {"RVWMO": kept_by_rvwmo, "TSO": kept_by_tso, "SC": kept_by_sc}


@cache
def allowed(shape: Shape, model: str = "RVWMO") -> frozenset[Outcome]:
    """The outcomes of all executions that the model has."""
    found: set[Outcome] = set()
    for execution in executions(shape):
        outcome = outcome_of(shape, execution)
        if outcome not in found and is_possible(execution, MODELS[model]):
            found.add(outcome)
    return frozenset(found)
