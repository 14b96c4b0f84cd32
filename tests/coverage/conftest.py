"""The guest of tests of coverage."""

import pytest

from tests.stepping import HANDLER, with_handler

# Branches both ways, calls, environment calls and a load that trap, and a handler that goes on behind them.
PROGRAM = f"""
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
{HANDLER}"""


@pytest.fixture
def covered(guest):
    """covered(**options) -> a guest with the program, whose traps go to the handler"""
    def make(**options):
        return with_handler(guest(PROGRAM, **options))
    return make
