"""What makes a trace: it goes on through a branch to where the guest mostly goes."""

import pytest

from vm_native.ir.uops import UOPS

LOOP = """
    .option norvc
    li   s0, 100
decide:
    {branch} a0, a1, taken
fallen:
    addi a2, a2, 1
    j    next
taken:
    addi a3, a3, 1
next:
    addi s0, s0, -1
    bnez s0, decide
    wfi
"""
# The conditional branches of RV64I, with operands for which they are taken and for which they are not.
BRANCHES = {
    "beq": ((1, 1), (1, 2)),
    "bne": ((1, 2), (1, 1)),
    "blt": ((-1, 1), (1, -1)),
    "bge": ((1, -1), (-1, 1)),
    "bltu": ((1, -1), (-1, 1)),
    "bgeu": ((-1, 1), (1, -1)),
}


def test_the_uops_that_are_branches():
    assert {row.name for row in UOPS if row.is_branch} == BRANCHES.keys()


@pytest.mark.parametrize("side, other", [("taken", "fallen"), ("fallen", "taken")])
@pytest.mark.parametrize("branch", BRANCHES)
def test_a_trace_goes_on_on_the_hot_side(branch, side, other, compiled):
    g = compiled(LOOP.format(branch=branch), hot=10)
    g.machine.compiler.marking = True
    a0, a1 = BRANCHES[branch][side == "fallen"]
    g["a0"], g["a1"] = a0 % 2**64, a1 % 2**64
    g.finish()
    assert g["a3" if side == "taken" else "a2"] == 100
    traces = [[pc for pc, _ in marks] for *_, marks in g.machine.compiler.traces()]
    decide = g.address("decide")
    assert all(g.address(other) not in trace for trace in traces)
    # Behind the last part stands 0: this one leads back to its head.
    assert [trace[trace.index(decide) + 1] or trace[0] for trace in traces if decide in trace] == [g.address(side)]


def test_a_trace_goes_on_into_a_function_that_is_called_by_its_address(compiled):
    """As calls are where the linker does not shorten them: in a Debian kernel all are."""
    g = compiled("""
        .option norvc
        li   s0, 100
    again:
        auipc ra, %pcrel_hi(function)
        jalr ra, %pcrel_lo(again)(ra)
        addi s0, s0, -1
        bnez s0, again
        wfi
    function:
        addi a0, a0, 1
        ret
    """, hot=10)
    g.machine.compiler.marking = True
    g.finish()
    traces = [[pc for pc, _ in marks] for *_, marks in g.machine.compiler.traces()]
    assert g["a0"] == 100
    assert [g.address("function") in trace for trace in traces if g.address("again") in trace] == [True]
