"""Hooks of basic blocks: before each instruction that a branch, a jump, a trap or a return from one led to."""

import pytest

from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
BRANCHES = {0x63, 0x67, 0x6F}           # opcodes: branch, jalr, jal
SOURCE = """
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
    .balign 4
handler:
    csrr t3, mepc
    addi t3, t3, 4
    csrw mepc, t3
    mret
"""


def blocks_of(g, limit: int = 2000) -> list[tuple[int, int]]:
    """(step, pc) of each block, by single steps: what follows a branch, or does not stand behind what was before."""
    found, before = [], None
    while g.machine.steps < limit:
        pc = g.hart.pc
        word = int.from_bytes(g.hart.virtual.read(pc, 4), "little")
        length = 4 if word & 3 == 3 else 2
        is_branch = word & 0x7F in BRANCHES if length == 4 else is_compressed_branch(word & 0xFFFF)
        if before is None or before[1] or pc != before[0]:
            found.append((g.machine.steps, pc))
        before = pc + length, is_branch
        if g.run(1).reason is StopReason.IDLE:
            break
    return found


def is_compressed_branch(word: int) -> bool:
    """c.j, c.beqz, c.bnez, c.jr, c.jalr; not c.mv, c.add and c.ebreak."""
    if word & 3 == 1:
        return word >> 13 in (5, 6, 7)
    return word & 3 == 2 and word >> 13 == 4 and word & 0x7C == 0 and word & 0xF80 != 0


@pytest.mark.parametrize("pieces", [None, 1, 7])
def test_each_block_is_told_once(pieces, guest):
    expected = blocks_of(guest(SOURCE))
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
    source = SOURCE.replace("    csrr t2, mscratch\n", "").replace("    csrr t3, mepc\n", """
    csrr t3, satp; li t4, 7 << 44; xor t3, t3, t4; csrw satp, t3
    csrr t3, mepc
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


def test_removed_inside_itself(guest):
    g, seen = guest(SOURCE), []

    @g.machine.on_block()
    def once(hart):
        seen.append(hart.pc)
        once.remove()

    g.finish()
    assert len(seen) == 1
