"""Every row of the vector extension a hundred times with each width of elements and each length of groups.

    python -m pytest -m slow -s tests/conformance/test_vector_rows.py
"""

from __future__ import annotations

from random import Random

import pytest

from tests.conformance.ours import Ours
from tests.conformance.test_vectors import ALL, SEED
from tests.conformance.vector_rows import TURNS, Judge, choose, hashes_of_ours, hashes_of_spike, program, settings
from tests.conformance.vectors import Setting, rows_of
from vm_native.arithmetic.vector.elements import use_loops
from vm_native.arithmetic.vector.loops import base, kernels
from vm_native.riscv import isa as isa_strings

ISA = f"rv64gcv_{ALL}_zicntr_svade"
LONGER = [ISA, f"rv64gcv_zvl256b_{ALL}_svade", f"rv64gcv_zvl512b_{ALL}_svade"]
ENOUGH = 100


def difference(found: list[int], wanted: list[int]) -> str | None:
    """In which hash; there may be padding behind those of Spike."""
    assert len(found) <= len(wanted) and len(set(found)) > len(found) // 2
    bad = [index for index, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]]
    return f"hash {bad[0]} of {len(found)}" if bad else None


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
@pytest.mark.parametrize("loops", [kernels, base.kernels, None], ids=["best", "base", "none"])
def test_loops_of_every_instruction_set_compute_as_spike(engine, loops):
    """A part of the rows, drawn by the seed, with a few settings."""
    random = Random(SEED)
    judge = Judge(ISA)
    rows = random.sample(rows_of(isa_strings.parse(ISA).extensions), 60)
    use_loops(loops)
    try:
        for setting in (Setting(0, 0), Setting(1, -1), Setting(2, 1), Setting(3, 2)):
            image = program(choose(judge, rows, setting, random, 3), setting, random)
            ours = Ours(ISA, engine=engine)
            assert difference(hashes_of_ours(image, ours), hashes_of_spike(image, ISA)) is None
    finally:
        use_loops(kernels)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("isa", LONGER)
def test_every_row_with_every_setting(isa):
    rows = rows_of(isa_strings.parse(isa).extensions)
    judge = Judge(isa)
    executed: dict[str, int] = dict.fromkeys((row.name for row in rows), 0)
    for setting in settings():
        random = Random(SEED + 8 * setting.size + setting.lmul)
        chosen = choose(judge, rows, setting, random, 3)
        image = program(chosen, setting, random)
        wanted = hashes_of_spike(image, isa)
        for engine in ("interpreter", "jit"):
            assert difference(hashes_of_ours(image, Ours(isa, engine=engine)), wanted) is None, (setting, engine)
        assert all(TURNS * len(one.words) >= ENOUGH for one in chosen), setting
        for one in chosen:
            executed[one.row.name] += TURNS * len(one.words)
        print(f"{setting}: {len(chosen)} rows, {sum(TURNS * len(one.words) for one in chosen)} executed")
    assert not [name for name, count in executed.items() if count < ENOUGH]
