"""Random programs give the same on the interpreter and on the compiling engine; see differential.py.

The seeds are fixed, so that a failure is found again: python -m tests.fuzz.differential SEED. Others, and more of them:

    VM_FUZZ_SEED=1000000 VM_FUZZ_CASES=10000 python -m pytest tests/fuzz/test_jit.py
"""

import os

from tests.fuzz.differential import Difference, check, make_case

FIRST = int(os.environ.get("VM_FUZZ_SEED", "1"))
CASES = int(os.environ.get("VM_FUZZ_CASES", "250"))


def test_random_programs_do_the_same_on_both_engines():
    steps = interpreted = 0
    for seed in range(FIRST, FIRST + CASES):
        try:
            count = check(make_case(seed))
        except Difference as difference:
            raise AssertionError(f"python -m tests.fuzz.differential {seed}") from difference
        steps += count.steps
        interpreted += count.interpreted
    print(f"{CASES} programs, {steps} steps, {interpreted} interpreted")
    assert steps >= 2500 * CASES
    assert interpreted < 0.3 * steps
