"""Hooks of basic blocks: before each instruction that a branch, a jump, a trap or a return from one led to."""

import pytest

from tests.stepping import HANDLER, blocks_of, single_steps
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
SOURCE = f"""
    li   s1, 30
    la   t0, handler
    csrw mtvec, t0
loop:
    addi a0, a0, 1
    andi t1, s1, 3
    bnez t1, skip
    ecall
    csrr t2, mscratch
skip:
    call leaf
    addi s1, s1, -1
    bnez s1, loop
    wfi
    j    .
leaf:
    addi a1, a1, 1
    ret
{HANDLER}"""


@pytest.mark.parametrize("pieces", [None, 1, 7])
def test_each_block_is_told_once(pieces, guest):
    expected = [(step.step, step.pc) for step in blocks_of(single_steps(guest(SOURCE), 2000))]
    g, seen = guest(SOURCE), []
    g.machine.on_block(None, lambda hart: seen.append((g.machine.steps, hart.pc)))
    while g.run(pieces).reason is not StopReason.IDLE:
        pass
    assert seen == expected and len(seen) > 100


def test_a_trace_has_the_same_blocks(guest):
    g, seen = guest(SOURCE), []
    g.machine.on_block(None, lambda hart: seen.append((g.machine.steps, hart.pc)))
    with g.machine.trace("blocks") as trace:
        g.finish()
    assert [(int(row["step"]), int(row["pc"])) for row in trace.array] == seen


def test_of_one_place(guest):
    g, seen = guest(SOURCE), []
    hook = g.machine.on_block(g.address("leaf"), lambda hart: seen.append(hart.pc))
    g.finish()
    assert seen == [g.address("leaf")] * 30
    hook.remove()


@pytest.mark.parametrize("options, wanted", [
    ({"privilege": 0}, lambda hart: hart.privilege == 0), ({"privilege": 3}, lambda hart: hart.privilege == 3),
    ({"asid": 7}, lambda hart: hart.csr["satp"] >> 44 & 0xFFFF == 7),
    ({"satp": 0, "privilege": 3}, lambda hart: hart.privilege == 3 and hart.csr["satp"] == 0)])
def test_of_a_privilege_and_an_address_space(options, wanted, guest):
    """The loop is in user mode; each call of the handler, in machine mode, moves to another address space."""
    source = SOURCE.replace("    csrr t2, mscratch\n", "").replace("    csrr t0, mepc\n", """
    csrr t3, satp; li t4, 7 << 44; xor t3, t3, t4; csrw satp, t3
    csrr t0, mepc
""").replace("loop:", """
    li   t1, 0x3fffffffffffff; csrw pmpaddr0, t1; li t1, 0x1f; csrw pmpcfg0, t1
    li   t1, 0x1800; csrc mstatus, t1; la t0, loop; csrw mepc, t0; mret
loop:""", 1)
    g, every, seen = guest(source), [], []
    g.machine.on_block(None, lambda hart: every.append((g.machine.steps, wanted(hart))))
    g.machine.on_block(None, lambda hart: seen.append(g.machine.steps), **options)
    g.run(2000)
    assert seen == [step for step, is_wanted in every if is_wanted] and 0 < len(seen) < len(every)


def test_exception_and_stop_come_before_the_block(guest):
    g = guest(SOURCE)

    fails = iter([True, False])

    @g.machine.on_block(g.address("handler"))
    def look(hart):
        if next(fails):
            raise ZeroDivisionError
        g.machine.request_stop()

    with pytest.raises(ZeroDivisionError):
        g.run()
    assert g.hart.pc == g.address("handler")
    assert g.run().reason is StopReason.REQUESTED and g.hart.pc == g.address("handler")


@pytest.mark.parametrize("recorded", [False, True])
def test_a_hart_that_is_moved_begins_a_block(recorded, guest):
    """As in a trace, whether there is one or not."""
    g, seen = guest("nop; nop; there: nop; nop; wfi"), []
    g.machine.on_block(None, lambda hart: seen.append(hart.pc))
    if recorded:
        g.machine.trace("blocks")
    g.run(1)
    g.hart.pc = g.address("there")
    g.run(1)
    assert seen == [g.address("_start"), g.address("there")]


def test_removed_inside_itself(guest):
    g, seen = guest(SOURCE), []

    @g.machine.on_block()
    def once(hart):
        seen.append(hart.pc)
        once.remove()

    g.finish()
    assert len(seen) == 1
