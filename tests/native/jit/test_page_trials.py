"""Accesses that leave their page often come to ask the TLB, and do what they did before."""

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import PAGE

NEAR, FAR = BASE + 0x10_0000, BASE + 0x14_0000
TURNS = 120_000
ENOUGH = 20 * TURNS
SWITCHES = {"windows": False}           # which ask neither

# Two accesses that go to another page each turn, of which one is not aligned, and two that do not.
PROGRAM = """
again:
    ld   t0, 0(s1)
    add  a1, a1, t0
    sw   a0, 13(s1)
    ld   t1, 0(s2)
    add  a2, a2, t1
    sd   a0, 8(s2)
    xor  s1, s1, s3
    addi a0, a0, -1
    bnez a0, again
    wfi
"""


def run(g, distance: int) -> None:
    g["s1"], g["s2"], g["s3"], g["a0"], g["a1"], g["a2"] = NEAR, FAR, distance, TURNS, 0, 0
    g.hart.pc = BASE
    g.run(ENOUGH)
    assert g["a0"] == 0


@pytest.mark.parametrize("switches", [{}, {"trials": False}, {"page_entries": False}])
def test_what_roams_is_compiled_anew(switches, compiled, counters):
    g = compiled(PROGRAM, memory="4M", hot=4, switches=SWITCHES | switches)
    g.store(NEAR, 3)
    g.store(NEAR + PAGE, 4)
    g.store(FAR, 5)
    run(g, PAGE)
    assert (g["a1"], g["a2"]) == (7 * TURNS // 2, 5 * TURNS)
    assert (g.word(NEAR + 13) & 0xFFFF_FFFF, g.word(NEAR + PAGE + 13) & 0xFFFF_FFFF, g.word(FAR + 8)) == (2, 1, 1)
    before = counters(g)
    assert (before["discarded"] > 0) == (not switches)
    run(g, PAGE)
    after = counters(g)
    assert after["discarded"] == before["discarded"], "tried once and for good"
    if not switches:
        assert after["fallbacks"] - before["fallbacks"] <= 3, "the accesses that stay are not taken for others"


def test_what_stays_is_not_tried(compiled, counters):
    g = compiled(PROGRAM, memory="4M", hot=4, switches=SWITCHES)
    run(g, 0)
    assert counters(g)["discarded"] == 0
