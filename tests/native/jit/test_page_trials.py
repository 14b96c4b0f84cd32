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


# Each turn works on a page in a loop, whose block is compiled by itself, and with what leads there.
PAGE_BY_PAGE = """
again:
    xor  s1, s1, s3
    lw   t1, 0(s1)
    xor  s6, s6, s7
    mv   s2, s6
    add  s4, s2, s5
    j    inside
inside:
    ld   t0, 0(s2)
    add  a1, a1, t0
    sd   a0, 8(s2)
    addi s2, s2, 32
    bne  s2, s4, inside
    addi a0, a0, -1
    bnez a0, again
    wfi
"""
STEPS_INSIDE = PAGE // 32 * 5           # in a turn


def size_inside(compiled, counters, trials: bool) -> int:
    """Of the host code of the inner loop, after it has come to go from page to page."""
    g = compiled(PAGE_BY_PAGE, memory="4M", hot=4, switches=SWITCHES | {"trials": trials})
    g["s1"], g["s5"], g["s6"] = NEAR, PAGE, FAR
    # First what leads there roams, until a trial has begun.
    for turns, distance_before, distance_inside in ((13_000, PAGE, 0), (5000, 0, PAGE)):
        g["a0"], g["s3"], g["s7"] = turns, distance_before, distance_inside
        g.hart.pc = BASE
        g.run(2 * turns * STEPS_INSIDE)
        assert g["a0"] == 0
        assert (counters(g)["discarded"] > 0) == trials
    (size,) = [len(code) for pc, *_, code, _ in g.machine.compiler.traces() if pc == g.address("inside")]
    return size


def test_a_block_is_tried_wherever_it_is_compiled(compiled, counters):
    """Its turns in a loop of its own count, too: one stray in a page's worth of them is no roaming."""
    assert size_inside(compiled, counters, trials=True) == size_inside(compiled, counters, trials=False)
