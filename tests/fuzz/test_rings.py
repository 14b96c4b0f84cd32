"""Some of the cases of `tests.fuzz.rings`; a million for each device:

    pytest -m slow tests/fuzz/test_rings.py
"""

import pytest

from tests.fuzz.rings import KINDS, run


@pytest.mark.parametrize("name", KINDS)
def test_hostile_rings(name):
    run(name, 0, 3000)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_million_hostile_rings(name):
    run(name, 0, 1_000_000)
