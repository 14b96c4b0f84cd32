"""Runs random programs on the interpreter and on the compiling engine, and compares everything that a guest can see.

A case is a seed and nothing else: engine settings, program, lengths of the pieces that it is run in and what Python
does between them follow from it. A program is a loop around random units, so that its blocks become hot, are linked,
left by side exits and entered again. On a difference the piece is bisected, and the units are thinned out; to see it:

    python -m tests.fuzz.differential SEED [long]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

import vm
from tests.conformance.compare import disassemble
from tests.conformance.frame import CODE, CODE_SIZE, DATA, DATA_SIZE
from tests.conformance.generator import Program, make_program, names
from tests.conformance.image import BASE
from tests.conformance.ours import Ours
from tests.conformance.scenery import Scenery
from tests.conformance.twins import differences
from vm_native.jit.compiler import SWITCHES
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.registers import CSR_NUMBERS

ISAS = (isa_strings.DEFAULT, isa_strings.DEFAULT, "rv64gc_zicntr_svade")
# How the compiling engine is set: when it compiles, and the parts of it that are turned off one at a time.
SETTINGS = (
    vm.Settings(hot=0), vm.Settings(hot=1), vm.Settings(hot=3), vm.Settings(hot=6, seed=1), vm.Settings(hot=20, seed=7),
    *(vm.Settings(hot=2, switches={switch: False}) for switch in SWITCHES),
    vm.Settings(hot=0, switches={"superblocks": False}), vm.Settings(hot=0, code_bytes=1 << 20),
    vm.Settings(hot=1, draft_bytes=0), vm.Settings(hot=2, draft_bytes=0, code_bytes=1 << 20),
    vm.Settings(hot=0, draft_bytes=0, switches={"windows": False}),
)  # fmt: skip
USES = 250          # cases, before new machines are made: pages overwritten again and again, as by loading, are
                    # no longer translated
LENGTHS = (1, 7, 60, 300, 1500, 4000, 30_000)
LONG = tuple(100 * length for length in LENGTHS)    # the programs are loops, and few ever end by themselves


class Difference(AssertionError):
    """The two engines did not do the same. The message says where."""


class Case(NamedTuple):
    """What follows from a seed."""

    setting: int
    isa: str
    harts: int
    program: Program
    pieces: tuple[tuple[int, int], ...]         # steps to run, and the seed of what is done before


class Bench(NamedTuple):
    """The interpreter and the compiling engine, and both as they were before they ran anything."""

    both: tuple[Ours, Ours]
    fresh: tuple[vm.Snapshot, vm.Snapshot]

    def ready(self, case: Case) -> tuple[Ours, Ours]:
        """Both with the program of a case, and nothing of the ones before but what was translated of them."""
        for ours, fresh in zip(self.both, self.fresh, strict=True):
            ours.machine.restore(fresh)
            ours.load(case.program.image)
        return self.both


@cache
def bench(isa: str, setting: int, harts: int) -> Bench:
    interpreting, compiling = (Ours(isa, engine=engine, harts=harts, settings=SETTINGS[setting])
                               for engine in ("interpreter", "jit"))
    return Bench((interpreting, compiling), (interpreting.machine.snapshot(), compiling.machine.snapshot()))


def make_case(seed: int, lengths: Sequence[int] = LENGTHS) -> Case:
    """`lengths`: the longest that pieces may have, of which each draws one."""
    random = Random(seed)
    isa = random.choice(ISAS)
    extensions = isa_strings.parse(isa).extensions
    choices = names(extensions)
    kind = random.random()
    if kind < 0.5:              # few rows, so that compiled code is seldom left
        choices = random.sample(choices, random.randrange(3, 30)) + ["neighbours"] * random.choice((0, 1, 5))
    elif kind < 0.7:
        choices = [name for name in choices if name[0] == "f" or name.startswith(("c.f", "constant"))]
    units = [(random.choice(choices), random.getrandbits(24)) for _ in range(random.choice((3, 10, 40, 120)))]
    scenery = Scenery(random.getrandbits(32), random.choice((3, 3, 1, 0)), random.choice((0, 0, 8, 9)))
    program = make_program([("refresh", random.getrandbits(24)), *units, ("again", 0)], scenery, extensions)
    pieces = tuple((random.randrange(1, random.choice(lengths) + 1), random.getrandbits(24))
                   for _ in range(random.randrange(3, 12)))
    return Case(random.randrange(len(SETTINGS)), isa, random.choice((1, 1, 1, 1, 1, 2)), program, pieces)


def disturb(ours: Ours, seed: int) -> None:
    """What Python, a device or time may do between two pieces; often nothing."""
    random = Random(seed)
    hart, kind = ours.hart, random.random()
    if kind < 0.15:
        ours.native.mtimecmp = hart.csr["time"] + random.randrange(1, 40)
        hart.csr["mie"] |= 0x80
        hart.csr["mstatus"] |= 8
    elif kind < 0.2:
        ours.machine.memory.write(BASE + DATA + random.randrange(DATA_SIZE - 64), random.randbytes(64))
    elif kind < 0.3:            # an instruction of the program becomes another one of it
        source, target = (BASE + CODE + random.randrange(0, CODE_SIZE // 8, 4) for _ in range(2))
        ours.machine.memory.write(target, ours.machine.memory.read(source, 4))
    elif kind < 0.35:
        hart.csr["fcsr"] = random.choice((0, 0, 31, 0x20, 0x40, 0x60))
    elif kind < 0.4:
        hart.csr["satp"] = hart.csr["satp"] ^ 7 << 44
    elif kind < 0.45 and ours.native.read_csr(CSR_NUMBERS["stimecmp"]) is not None:
        hart.csr["menvcfg"] |= 1 << 63
        hart.csr["stimecmp"] = hart.csr["time"] + random.randrange(1, 40)
        hart.csr["sie"] |= 0x20
        hart.csr["sstatus"] |= 2


def run_piece(ours: Ours, piece: tuple[int, int]) -> tuple[vm.StopReason, int]:
    length, seed = piece
    disturb(ours, seed)
    stop = ours.machine.run(instructions=length)
    return stop.reason, stop.steps


class Count(NamedTuple):
    """Steps of one case or of several: all, and those that the interpreter did for the compiling engine."""

    steps: int = 0
    interpreted: int = 0


def check(case: Case) -> Count:
    """Run a case on both engines. Raises Difference; then it is for new machines to go on."""
    both = bench(case.isa, case.setting, case.harts).ready(case)
    compiling = both[1].machine
    before = Count(compiling.steps, compiling.stats()["jit"]["interpreted"])
    for index, piece in enumerate(case.pieces):
        wanted, found = (run_piece(ours, piece) for ours in both)
        problems = differences(*both)
        if wanted != found:
            problems.append(f"the run ended with {found}, not {wanted}")
        if problems:
            bench.cache_clear()
            raise Difference(f"{SETTINGS[case.setting]} {case.isa}, piece {index}: {'; '.join(problems)}")
        if wanted[0] is not vm.StopReason.BUDGET:
            break
    return Count(compiling.steps - before.steps, compiling.stats()["jit"]["interpreted"] - before.interpreted)


def check_all(seeds: Iterable[int], lengths: Sequence[int] = LENGTHS) -> Count:
    """Run many cases. Raises Difference, with the seed in front."""
    kind = " long" if lengths is LONG else ""
    steps = interpreted = 0
    for number, seed in enumerate(seeds):
        if number % USES == 0:
            bench.cache_clear()
        try:
            count = check(make_case(seed, lengths))
        except Difference as difference:
            raise Difference(f"python -m tests.fuzz.differential {seed}{kind}\n{difference}") from difference
        steps += count.steps
        interpreted += count.interpreted
    return Count(steps, interpreted)


def fails(case: Case) -> bool:
    """On machines that ran nothing before."""
    bench.cache_clear()
    try:
        check(case)
    except Difference:
        return True
    return False


# --- To look at a failing case ---------------------------------------------------------------------------------------

def thinned(case: Case) -> Case:
    """The same difference with fewer units and pieces."""
    extensions = isa_strings.parse(case.isa).extensions
    pieces = list(case.pieces)
    while len(pieces) > 1 and fails(case._replace(pieces=tuple(pieces[:-1]))):
        pieces.pop()
    case = case._replace(pieces=tuple(pieces))
    units, size = list(case.program.units), len(case.program.units) // 2
    while size:
        at = 1
        while at < len(units) - 1:
            fewer = units[:at] + units[min(at + size, len(units) - 1) :]
            smaller = case._replace(program=make_program(fewer, case.program.scenery, extensions))
            if fails(smaller):
                case, units = smaller, fewer
            else:
                at += size
        size //= 2
    return case


def first_wrong_step(case: Case) -> str:
    """Bisect the last piece: the instruction whose step makes the difference, and what it is."""
    *before, (length, seed) = case.pieces

    def after(steps: int) -> tuple[Ours, Ours]:
        bench.cache_clear()
        both = bench(case.isa, case.setting, case.harts).ready(case)
        for ours in both:
            for piece in [*before, (steps, seed)]:
                run_piece(ours, piece)
        return both

    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if differences(*after(middle)) else (middle, high)
    problems = differences(*after(high))
    ours, _ = after(low)
    hart = ours.hart
    physical = ours.native.translate(hart.pc, "execute")
    word = 0 if physical is None else int.from_bytes(ours.machine.memory.read(physical, 4), "little")
    return f"step {high} of the last piece, {hart.pc:#x} {disassemble(word, hart.pc)}: {'; '.join(problems)}"


def main(seed: int, kind: str = "") -> None:
    case = make_case(seed, LONG if kind == "long" else LENGTHS)
    if not fails(case):
        print("no difference")
        return
    case = thinned(case)
    print(SETTINGS[case.setting], case.isa, case.program.scenery, f"pieces {case.pieces}")
    for unit in case.program.units:
        print("   ", unit)
    code = case.program.image.data[CODE : CODE + 400]
    at = 0
    while at < len(code) and any(code[at : at + 4]):
        word = int.from_bytes(code[at : at + 4], "little")
        print(f"{BASE + CODE + at:#x}  {disassemble(word, BASE + CODE + at)}")
        at += 4 if word & 3 == 3 else 2
    print(first_wrong_step(case))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])


def check_seeds(seeds: Iterable[int], check: Callable[[Case, int], None]) -> None:
    """check(case, seed) of the case of each; what fails says of which."""
    for seed in seeds:
        try:
            check(make_case(seed), seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
