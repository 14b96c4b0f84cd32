"""A closer look at single inputs: what they compare, where they crash, the shortest that does, and its recording."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from vm.fleet.arena import TRAPPED, Arena, Target
from vm.fleet.comparisons import Pair, Record, candidates, pairs_of, words_of
from vm.hart import cause_name
from vm.log import Log
from vm.profiling.names import source_of_program
from vm.profiling.unwinding import Unwinder
from vm.stop import Stop

if TYPE_CHECKING:
    from vm.hart import Hart
    from vm.hooks import Trap
    from vm.machine import Machine

DEPTH = 16                              # functions of a stack that are shown
TOLD_BY = 4                             # those by which crashes are told apart
LOOKS = 32                              # at the stack of a run that hangs
TRACED = 1 << 16                        # instructions of a run in which comparisons are looked for
TEXT = re.compile(rb"[\x20-\x7e]{3,24}(?=\x00)")     # in a program
MOST_STRINGS = 128
FETCH_FAULTS = (0, 1, 12, 20)           # exceptions of an instruction that is not there (privileged specification)
HANDLERS = ("mtvec", "stvec")
ENVIRONMENT_CALLS = range(8, 12)
MOST_TRIES = 600                        # runs to make an input shorter
FILLING = b"0"                          # what bytes become that do not matter


class Ending(NamedTuple):
    """How a run ended, and where: `key` is the same for those that ended alike."""

    key: tuple[object, ...]
    reason: str
    stack: tuple[int, ...]


class Examiner:
    """Machines of its own, with instruments that would slow the others down."""

    def __init__(self, target: Target, build: Callable[[], Machine]):
        """`build` makes a machine that stands at the snapshot."""
        self._target = target
        self._build = build
        self._tracing: Arena | None = None
        self._crashing: Arena | None = None
        self._trap: tuple[Trap, tuple[int, ...]] | None = None      # the last exception of the run, and its stack

    def close(self) -> None:
        for arena in (self._tracing, self._crashing):
            if arena is not None:
                arena.machine.close()

    # --- Comparisons -------------------------------------------------------------------------------------------------

    def strings(self) -> list[bytes]:
        """Text in the program, words for a dictionary: none of it where there is no program."""
        machine = self._arena_for_traces().machine
        if machine.program is None:
            return []
        content = b"".join(machine.memory.read(place.base, place.end - place.base)
                           for place in machine.program.segments)
        return list(dict.fromkeys(TEXT.findall(content)))[:MOST_STRINGS]

    def hints(self, data: bytes, most: int) -> tuple[list[bytes], list[bytes]]:
        """Inputs that pass what this one fails at, perhaps, at most so many; and words for a dictionary."""
        pairs = self._pairs(data)[::-1]     # what it failed at comes first
        longest = self._arena_for_traces().bound.longest
        return candidates(data, pairs, longest, most), words_of(pairs, data)

    def _arena_for_traces(self) -> Arena:
        if self._tracing is None:
            self._tracing = Arena(self._build(), self._target)
            self._tracing.edges.stop()
        return self._tracing

    def _pairs(self, data: bytes) -> list[Pair]:
        arena = self._arena_for_traces()
        machine = arena.machine
        machine.restore(arena.begin)
        arena.bound.put(data)
        registers = [machine.harts[0].x[number] for number in range(32)]
        with machine.trace("instructions", capacity=TRACED) as trace:
            machine.run(instructions=self._target.steps)
            rows = trace.array[["instruction", "register", "value"]].tolist()
        return pairs_of((Record(*row) for row in rows), registers)

    # --- Crashes -----------------------------------------------------------------------------------------------------

    def ending(self, data: bytes) -> Ending:
        """Run it, and see where it ends."""
        arena = self._arena_for_crashes()
        self._trap = None
        verdict, _, stop = arena.run(data)
        hart = arena.machine.harts[0 if stop is None else stop.hart]
        if self._trap is not None and verdict == "crash":
            trap, stack = self._trap
            return Ending(("trap", trap.cause, *stack[:TOLD_BY]),
                          f"{cause_name(trap.cause)} at {trap.pc:#x}, value {trap.value:#x}", stack)
        stack = self._unwinder.stack(hart, None if stop is None else stop.pc)
        if verdict == "hang":
            key = ("hang", *self._loop(arena, hart, stack)[:TOLD_BY])
            return Ending(key, f"not done after {self._target.steps:,} steps", stack)
        if stop is None:
            return Ending(("place", *stack[:TOLD_BY]), "a place that is said to be a crash", stack)
        return Ending((stop.reason, stop.exit_code, *stack[:TOLD_BY]), reason_of(stop), stack)

    def _loop(self, arena: Arena, hart: Hart, stack: tuple[int, ...]) -> tuple[object, ...]:
        """The functions that a run does not leave that goes on for as long again, wherever in its loop it was."""
        before = staying = self._functions(stack)
        for _ in range(LOOKS):
            if not arena.go_on(self._target.steps // LOOKS + 1):
                break                       # it was only slow
            staying = common_end(staying, self._functions(self._unwinder.stack(hart)))
        return staying if staying and isinstance(staying[0], str) else before

    def _functions(self, stack: tuple[int, ...]) -> tuple[object, ...]:
        return tuple(self._function(address) for address in stack)

    def _arena_for_crashes(self) -> Arena:
        if self._crashing is None:
            machine = self._build()
            self._crashing = Arena(machine, self._target)
            program = machine.program
            source = None if program is None else source_of_program(program)
            function = (lambda address: None) if source is None else source.name_of
            self._function: Callable[[int], object] = lambda address: function(address) or address
            frames = [source.call_frames()] if source is not None and hasattr(source, "call_frames") else []
            self._unwinder = Unwinder(machine.memory, function, frames, DEPTH)
            machine.on_trap(None, self._note_trap)
        return self._crashing

    def _note_trap(self, trap: Trap) -> None:
        if trap.is_interrupt or trap.cause in ENVIRONMENT_CALLS:
            return
        if self._trap is not None and trap.pc in (trap.hart.csr[name] & -4 for name in HANDLERS):
            return                          # where no handler is, its fetch traps, too
        self._trap = trap, self._stack_of(trap)

    def _stack_of(self, trap: Trap) -> tuple[int, ...]:
        if trap.cause in FETCH_FAULTS:      # the pc is anything: who went there is what counts
            return self._unwinder.stack(trap.hart, trap.hart["ra"])
        return self._unwinder.stack(trap.hart, trap.pc)

    def names(self, stack: tuple[int, ...]) -> tuple[str, ...]:
        machine = self._arena_for_crashes().machine
        # A return address may be behind a function that ends with its call.
        return tuple(machine.lookup(address - (place > 0)) or f"{address:#x}" for place, address in enumerate(stack))

    def shortest(self, data: bytes, ending: Ending) -> bytes:
        """A shorter input that ends alike: pieces are left out, then bytes that do not matter become zeroes."""
        def same(other: bytes) -> bool:
            return self.ending(other).key == ending.key

        tries = MOST_TRIES
        size = max(len(data) // 2, 1)
        while size and tries:
            at = 0
            while at < len(data) and tries:
                tries -= 1
                shorter = data[:at] + data[at + size:]
                if same(shorter):
                    data = shorter
                else:
                    at += size
            size //= 2
        for at in range(len(data)):
            if not tries:
                break
            if data[at:at + 1] != FILLING:
                tries -= 1
                plain = data[:at] + FILLING + data[at + 1:]
                if same(plain):
                    data = plain
        return data

    # --- Recordings --------------------------------------------------------------------------------------------------

    def record(self, data: bytes) -> tuple[Log, Stop]:
        """The log of a run of it, which begins at the snapshot."""
        with self._build() as machine:
            begin = machine.snapshot()
            arena = Arena(machine, self._target)
            machine.restore(begin)
            with machine.record() as recording:
                arena.bound.prepare()
                arena.bound.put(data)
                stop = machine.run(instructions=self._target.steps)
            return recording.log, stop


def common_end(one: tuple[object, ...], other: tuple[object, ...]) -> tuple[object, ...]:
    """What both end with."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False)))
    return one[len(one) - same:]


def reason_of(stop: Stop) -> str:
    if stop.reason in TRAPPED:
        return stop.message
    code = "" if stop.exit_code is None else f" with exit code {stop.exit_code}"
    return f"{stop.reason.value}{code}"
