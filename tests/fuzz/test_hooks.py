"""Random programs with random hooks, on both engines and on a twin that is run one instruction at a time.

Hooks that only look are compared with a twin without any: before which steps it stands at their addresses. Hooks that
change the machine, stop it or raise do so by their own count of calls; the twin has the same ones. What on_write tells
is held against a copy of the memory, which must be the memory at the end.
"""

from functools import cache
from random import Random

import pytest

import vm
from tests.conformance.frame import CODE, CODE_SIZE, DATA, DATA_SIZE
from tests.conformance.image import BASE
from tests.conformance.ours import Ours
from tests.conformance.twins import differences
from tests.fuzz.differential import SETTINGS, Case, check_seeds, disturb
from vm.hart import Hart
from vm.stop import StopReason

LOOKED_AT = 500                         # steps, for where the program comes by
LONGEST = 400                           # steps of a piece
PIECES = 4
CSRS = ("fcsr", "fflags", "mscratch", "sscratch", "mstatus", "sstatus", "mepc", "instret")
SPACES = ("virtual", "physical")
ACTS = 0.15                             # of the calls of a hook that does more than to look
TRAPPING = ("mcause", "mepc", "scause", "sepc", "mstatus")      # a step that changes one may have executed elsewhere


class OfTheTest(Exception):
    pass


class Hooks:
    """The hooks of one machine, which follow from a seed, and what they have been told."""

    def __init__(self, ours: Ours, seed: int, acting: bool, visited: list[tuple[int, int]]):
        self.machine, self.acting, self.visited = ours.machine, acting, visited
        self.told: list[tuple] = []
        self.set: list[vm.hooks.Hook] = []
        self.copies: list[tuple[int, bytearray]] = []
        self.places: list[range] = []       # of on_execute, virtual
        draw = Random(seed)
        for _ in range(draw.randrange(1, 6)):
            self.add(draw.getrandbits(32))

    def add(self, seed: int) -> None:
        draw = Random(seed)
        kind = draw.random()
        if kind < 0.4:
            space = draw.choice(SPACES)
            start = draw.choice(self.visited)[SPACES.index(space)]
            where = draw.choice((start, start, range(start, start + draw.choice((2, 30, 400)))))
            if space == "virtual":
                self.places.append(where if isinstance(where, range) else range(where, where + 1))
            self.keep(self.machine.on_execute(where, self.calling(seed), space=space))
        elif kind < 0.75:
            area, room = draw.choice(((DATA, DATA_SIZE - 512), (DATA, DATA_SIZE - 512), (CODE, CODE_SIZE - 512)))
            start = BASE + area + draw.randrange(room)
            where = range(start, start + draw.choice((1, 8, 64, 500, 500)))
            if draw.random() < 0.6:
                space = draw.choice(SPACES)
                copy = None
                if space == "physical" and not self.acting:     # none is removed, none has to wait
                    copy = where.start, bytearray(self.machine.memory.read(where.start, len(where)))
                    self.copies.append(copy)
                self.keep(self.machine.on_write(where, self.calling(seed, copy), space=space))
            else:
                self.keep(self.machine.on_read(where, self.calling(seed), space=draw.choice(SPACES)))
        elif kind < 0.85:
            self.keep(self.machine.on_trap(draw.choice((None, None, 2, 8, 11)), self.calling(seed)))
        elif kind < 0.95:
            self.keep(self.machine.on_csr(draw.choice(CSRS), self.calling(seed)))
        else:
            self.keep(self.machine.on_ecall(None, self.calling(seed)))

    def keep(self, hook) -> None:
        self.set.append(hook)

    def calling(self, seed: int, copy: tuple[int, bytearray] | None = None):
        number, draw = len(self.set), Random(seed ^ 1)

        def call(event):
            hart = event if isinstance(event, Hart) else event.hart
            details = () if event is hart else tuple(event)[1:]
            self.told.append((number, self.machine.steps, hart.id, hart.pc, *details))
            if copy is not None:
                self.compare(event, *copy)
            if self.acting and draw.random() < ACTS:
                self.act(hart, number, draw)

        return call

    def compare(self, event, start: int, copy: bytearray) -> None:
        """The old value is that of the copy, the new one that of memory; then the copy is as memory."""
        size = min(event.size, 8)
        now = self.machine.memory.read(event.address, event.size)
        assert event.value == int.from_bytes(now[:size], "little")
        for at in range(max(event.address, start), min(event.address + event.size, start + len(copy))):
            if at - event.address < size:
                assert event.old >> 8 * (at - event.address) & 0xFF == copy[at - start]
            copy[at - start] = now[at - event.address]

    def act(self, hart: Hart, number: int, draw: Random) -> None:
        kind = draw.random()
        if kind < 0.2:
            self.machine.request_stop()
        elif kind < 0.4:
            self.set[number].remove()
        elif kind < 0.55 and len(self.set) < 12:
            self.add(draw.getrandbits(32))
        elif kind < 0.7:
            hart.x[draw.randrange(5, 32)] = draw.getrandbits(64)
        elif kind < 0.8:
            hart.pc = draw.choice(self.visited)[0]
        else:
            raise OfTheTest

    def check_copies(self) -> None:
        for start, copy in self.copies:
            assert self.machine.memory.read(start, len(copy)) == copy

    def copy_again(self) -> None:
        """Python has written to memory: not told, and rightly so."""
        for start, copy in self.copies:
            copy[:] = self.machine.memory.read(start, len(copy))

    def remove(self) -> None:
        for hook in self.set:
            hook.remove()


@cache
def three(isa: str, setting: int, harts: int) -> tuple[tuple[Ours, vm.Snapshot], ...]:
    """The one that is run step by step, and one of each engine."""
    made = (Ours(isa, engine=engine, harts=harts, settings=SETTINGS[setting])
            for engine in ("interpreter", "interpreter", "jit"))
    return tuple((ours, ours.machine.snapshot()) for ours in made)


def places_of(ours: Ours, fresh: vm.Snapshot, case: Case) -> list[tuple[int, int]]:
    """Where a program comes by: virtual and physical addresses."""
    ours.machine.restore(fresh)
    ours.load(case.program.image)
    found = {}
    for _ in range(LOOKED_AT):
        pc = ours.hart.pc
        physical = ours.native.translate(pc, "execute")
        if physical is not None and pc % 2 == 0:
            found[pc] = physical
        if ours.machine.run(instructions=1).reason is not StopReason.BUDGET:
            break
    return sorted(found.items())


def run_to(ours: Ours, step: int, at_once: int) -> StopReason:
    """In runs of so many steps, over stops and exceptions of hooks; the reason is `budget` if it comes there."""
    while ours.machine.steps < step:
        try:
            reason = ours.machine.run(instructions=min(at_once, step - ours.machine.steps)).reason
        except OfTheTest:
            continue
        if reason not in (StopReason.BUDGET, StopReason.REQUESTED):
            return reason
    return StopReason.BUDGET


def step_and_look(ours: Ours, step: int, seen: list[tuple]) -> StopReason:
    """One instruction at a time: (step, hart, pc before, whether it was surely this one that was executed)."""
    reason = StopReason.BUDGET
    machine = ours.machine
    while reason is StopReason.BUDGET and machine.steps < step:
        before = [(hart.pc, hart.privilege, hart.steps, *(hart.csr[name] for name in TRAPPING))
                  for hart in machine.harts]
        now = machine.steps
        reason = machine.run(instructions=1).reason
        for hart, (pc, privilege, steps, *registers) in zip(machine.harts, before, strict=True):
            if hart.steps != steps:
                plain = privilege == hart.privilege and registers == [hart.csr[name] for name in TRAPPING]
                seen.append((now, hart.id, pc, plain))
    return reason


def executions(hooks: Hooks, seen: list[tuple]) -> tuple[list, list]:
    """What was told of virtual addresses, and what was to be; of steps that surely executed what stood there."""
    plain = {(step, hart): pc for step, hart, pc, is_plain in seen if is_plain}
    places = [place for place in hooks.places]
    told = {(step, hart, pc) for _, step, hart, pc, *details in hooks.told
            if not details and plain.get((step, hart)) == pc and any(pc in place for place in places)}
    wanted = {(step, hart, pc) for (step, hart), pc in plain.items() if any(pc in place for place in places)}
    return sorted(told), sorted(wanted)


def check(case: Case, seed: int) -> None:
    acting = seed % 2 == 1
    trio = three(case.isa, case.setting, case.harts)
    visited = places_of(*trio[0], case)
    for ours, fresh in trio:
        ours.machine.restore(fresh)
        ours.load(case.program.image)
    all_ours = [ours for ours, _ in trio]
    stepped, *free = all_ours
    hooks = [Hooks(ours, seed, acting, visited) for ours in (all_ours if acting else free)]
    seen: list[tuple] = []
    for length, disturbance in case.pieces[:PIECES]:
        for ours in all_ours:
            disturb(ours, disturbance)
        for each in hooks:
            each.copy_again()
        end = stepped.machine.steps + min(length, LONGEST)
        wanted = run_to(stepped, end, 1) if acting else step_and_look(stepped, end, seen)
        for ours in free:
            assert run_to(ours, end, LONGEST) is wanted
            assert not differences(stepped, ours)
        for each in hooks:
            each.check_copies()
            assert each.told == hooks[0].told
        if wanted is not StopReason.BUDGET:
            break
    if not acting:
        told, expected = executions(hooks[0], seen)
        assert told == expected
    for each in hooks:
        each.remove()


def check_all(seeds) -> None:
    try:
        check_seeds(seeds, check)
    finally:
        three.cache_clear()


@pytest.mark.parametrize("seeds", [range(first, first + 20) for first in range(0, 80, 20)], ids=str)
def test_hooks_are_called_as_by_single_stepping(seeds):
    check_all(seeds)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(first, first + 250) for first in range(0, 10_000, 250)], ids=str)
def test_hooks_of_many_programs(seeds):
    """`pytest -m slow tests/fuzz/test_hooks.py`: ten thousand, in parts."""
    check_all(seeds)
