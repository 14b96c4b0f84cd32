"""What is compiled where harts have threads: atomics, and stores of vectors, which other harts are told of."""

import pytest

from tests.assembler import BASE
from tests.guest import Guest
from vm_native.riscv.csrs import mask

DATA = BASE + 0x8_0000
FEW, MANY = 20_000, 40_000
LOOPS = {
    "amo": "amoadd.d t1, t2, (s1); amomaxu.w t1, t2, (s2)",
    "swap": "amoswap.w.aq t1, t2, (s1); amoswap.w.rl zero, zero, (s1)",
    "lr and sc": "2: lr.d t1, (s1); add t1, t1, t2; sc.d t3, t1, (s1); bnez t3, 2b",
    "lr and sc of a word": "2: lr.w.aq t1, (s2); add t1, t1, t2; sc.w.rl t3, t1, (s2); bnez t3, 2b",
    "vectors": "vse64.v v8, (s1); vs4r.v v8, (s2)",
}


def fallbacks(body: str, turns: int) -> int:
    """Of a loop of one hart that has a thread."""
    guest = Guest(f"""
        .option arch, +v
        vsetivli zero, 3, e64, m2, ta, ma
    1:  {body}
        addi s0, s0, -1
        bnez s0, 1b
        wfi
    """, threads=True, engine="jit", isa="default_v")
    with guest.machine as machine:
        guest["mstatus"] = mask("mstatus", "VS")
        guest["s0"], guest["t2"], guest["s1"], guest["s2"] = turns, 1, DATA, DATA + 200
        guest.finish()
        return machine.stats()["jit"]["fallbacks"]


@pytest.mark.parametrize("body", LOOPS.values(), ids=LOOPS)
def test_a_loop_stays_in_compiled_code(body):
    assert fallbacks(body, MANY) == fallbacks(body, FEW)
