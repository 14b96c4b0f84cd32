"""Coverage against single steps of a twin: which instructions were executed, how often, and from where to where."""

from collections import Counter

import pytest

from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
# Branches both ways, calls, environment calls and a load that trap, and a handler that goes on behind them.
PROGRAM = """
    li   s1, 20
loop:
    addi a0, a0, 1
    call twice
    andi t0, s1, 1
    beqz t0, even
odd:
    addi a3, a3, 5
    j    next
even:
    ecall
    lw   t1, 0(zero)
    addi a4, a4, 7
next:
    csrr t2, mscratch
    addi s1, s1, -1
    bnez s1, loop
    wfi
    nop
twice:
    add  a2, a1, a1
    ret
    .balign 4
handler:
    csrr t0, mepc
    addi t0, t0, 4
    csrw mepc, t0
    mret
"""
ECALL, LOAD_FAULT = 11, 5


@pytest.fixture
def covered(guest):
    """covered() -> a guest with the program, whose traps go to the handler"""
    def make(**options):
        g = guest(PROGRAM, **options)
        g["mtvec"] = g.address("handler")
        return g
    return make


def executed(g) -> Counter:
    """How often each instruction is executed to the end of the program, by single steps; of traps, only `ecall`."""
    counts = Counter()
    while True:
        pc = g.hart.pc
        stop = g.run(1)
        if stop.reason is StopReason.IDLE and g.hart.pc == pc:
            return counts
        if g.hart.pc != g.address("handler") or g["mcause"] == ECALL:
            counts[pc] += 1


def test_every_instruction_is_counted_as_often_as_it_is_executed(covered):
    g = covered()
    with g.machine.coverage() as coverage:
        g.finish()
    assert coverage.counts() == executed(covered())
    assert list(coverage.addresses) == sorted(coverage.counts())
