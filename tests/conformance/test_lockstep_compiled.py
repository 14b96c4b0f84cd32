"""Random programs in lockstep with Spike on the compiling engine; see compiled.py.

Code is compiled before it runs for the first time, or after a number of executions that is drawn for each block; the
programs for the latter are loops. The seed is fixed. The long run:

    python -m pytest -m slow tests/conformance/test_lockstep_compiled.py -s
"""

from __future__ import annotations

import os
from random import Random

import pytest

import vm
from tests.conformance import spike
from tests.conformance.compare import Difference
from tests.conformance.compiled import CompiledLockstep, new_pair
from tests.conformance.generator import Program, make_program, names
from tests.conformance.scenery import Scenery
from tests.conformance.test_lockstep import SHARES, STEPS
from vm_native.riscv import isa as isa_strings

SEED = int(os.environ.get("VM_CONFORMANCE_SEED", "20240417"))
# Settings of the compiler, whether programs are loops, and the share of the programs.
SETTINGS = (
    (vm.Settings(hot=0), False, 4), (vm.Settings(hot=0), True, 10), (vm.Settings(hot=4, seed=1), True, 1),
    (vm.Settings(hot=1), True, 1), (vm.Settings(hot=0, draft_bytes=0), True, 4),
)  # fmt: skip
UNITS = 160
USES = 20                       # of a machine: code that keeps being overwritten, as by loading, is no longer compiled
CI_STEPS, SLOW_STEPS, SLOW_PARTS = 300_000, 10_000_000, 20
COMPILED = 0.95


class Tally:
    """What the programs came to."""

    def __init__(self) -> None:
        self.programs = self.steps = self.interpreted = self.cut_short = 0

    def __str__(self) -> str:
        return (f"{self.programs} programs, {self.cut_short} cut short, {self.steps} steps, "
                f"{1 - self.interpreted / self.steps:.2%} of them in compiled code")


def random_program(random: Random, isa: str, loop: bool) -> Program:
    extensions = isa_strings.parse(isa).extensions
    choices = names(extensions)
    if loop and random.random() < 0.97:
        choices = [name for name in choices if name != "store code"]        # in a loop, it soon leaves nothing compiled
    units = [(random.choice(choices), random.getrandbits(24)) for _ in range(UNITS)]
    if loop:
        units = [("refresh", random.getrandbits(24)), *units[: random.randrange(10, UNITS)], ("again", 0)]
    modes = [mode for mode, name in ((0, None), (8, "Sv39"), (9, "Sv48"), (10, "Sv57")) if name in (None, *extensions)]
    scenery = Scenery(random.getrandbits(32), random.choice((3, 1, 0)), random.choice(modes))
    return make_program(units, scenery, extensions)


def compare_programs(steps: int, start: int) -> Tally:
    """Compare programs until as many steps have been done. Raises Difference, with the seed that finds it again."""
    tally, pairs = Tally(), {}
    while tally.steps < steps:
        seed = start + tally.programs
        random = Random(seed)
        isa = random.choices(list(SHARES), list(SHARES.values()))[0]
        settings, loop, _ = random.choices(SETTINGS, [share for *_, share in SETTINGS])[0]
        key = isa, str(settings)
        pair, uses = pairs.pop(key, None) or (new_pair(isa, settings), 0)
        machine = pair[1].machine
        before = machine.stats()["jit"]["interpreted"]
        program = random_program(random, isa, loop)
        lockstep = CompiledLockstep(*pair, random)
        try:
            lockstep.compare(program.image, spike.run(program.image, isa, STEPS))
        except Difference as difference:
            raise Difference(f"VM_CONFORMANCE_SEED={seed}: {settings} {isa}\n{difference}") from difference
        tally.programs += 1
        tally.steps += lockstep.compared
        tally.interpreted += machine.stats()["jit"]["interpreted"] - before
        tally.cut_short += lockstep.cut_short
        if uses < USES and not (loop and any(name == "store code" for name, _ in program.units)):
            pairs[key] = pair, uses + 1
    return tally


def check(*tallies: Tally) -> None:
    steps, interpreted = sum(tally.steps for tally in tallies), sum(tally.interpreted for tally in tallies)
    assert interpreted <= (1 - COMPILED) * steps


def test_compiled_code_agrees_with_spike():
    check(compare_programs(CI_STEPS, SEED))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_million_compiled_instructions_agree_with_spike():
    tallies = []
    for part in range(1, SLOW_PARTS + 1):
        tallies.append(compare_programs(SLOW_STEPS // SLOW_PARTS, SEED + part * 1_000_000))
        print(tallies[-1], flush=True)
    check(*tallies)
