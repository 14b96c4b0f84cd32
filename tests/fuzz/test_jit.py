"""Random programs give the same on the interpreter and on the compiling engine; see differential.py.

The seeds are fixed, so that a failure is found again: python -m tests.fuzz.differential SEED. Others, and more of them:

    VM_FUZZ_SEED=1000000 VM_FUZZ_CASES=10000 python -m pytest tests/fuzz/test_jit.py

A thousand million steps, in runs a hundred times as long:

    python -m pytest -m slow tests/fuzz/test_jit.py
"""

import os
from itertools import count

import pytest

from tests.fuzz.differential import LONG, USES, check_all

FIRST = int(os.environ.get("VM_FUZZ_SEED", "1"))
CASES = int(os.environ.get("VM_FUZZ_CASES", "600"))


def test_random_programs_do_the_same_on_both_engines():
    steps, interpreted = check_all(range(FIRST, FIRST + CASES))
    assert steps >= 2500 * CASES
    assert interpreted < 0.3 * steps


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_thousand_million_steps_are_the_same_on_both_engines():
    steps = 0
    for first in count(FIRST, USES):
        steps += check_all(range(first, first + USES), LONG).steps
        print(f"{steps:,} steps in {first - FIRST + USES} programs", flush=True)
        if steps >= 10**9:
            break
