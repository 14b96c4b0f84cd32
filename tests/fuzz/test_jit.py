"""Random programs give the same on the interpreter and on the compiling engine; see differential.py.

The seeds are fixed, so that a failure is found again: python -m tests.fuzz.differential SEED. Others, and more of them:

    VM_FUZZ_SEED=1000000 VM_FUZZ_CASES=10000 python -m pytest tests/fuzz/test_jit.py
"""

import os

from tests.fuzz.differential import check_all

FIRST = int(os.environ.get("VM_FUZZ_SEED", "1"))
CASES = int(os.environ.get("VM_FUZZ_CASES", "600"))


def test_random_programs_do_the_same_on_both_engines():
    steps, interpreted = check_all(range(FIRST, FIRST + CASES))
    assert steps >= 2500 * CASES
    assert interpreted < 0.3 * steps
