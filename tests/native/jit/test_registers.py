"""Guest registers that live in others of the host's during a trace than everywhere: traces around it have the same, and
what lies between them is not swapped."""

import pytest

from vm_native.riscv.instructions import encode

capstone = pytest.importorskip("capstone")

# Two blocks that use registers which live in memory elsewhere; they lead to each other, and the second at last away.
# The first is compiled alone, the second with the first behind it.
BLOCKS = """
    .option norvc
first:
    add  s2, s2, s3
    add  s4, s4, s2
    add  s5, s5, s4
    xor  s2, s2, s5
    add  s3, s3, s2
    sub  s4, s4, s3
    add  s5, s5, s2
    add  s2, s2, s4
    add  s3, s3, s5
    j    second
second:
    add  s2, s2, s4
    sub  s3, s3, s5
    addi s0, s0, -1
    bnez s0, first
    wfi
"""
S = ("s2", "s3", "s4", "s5")
U64 = (1 << 64) - 1


def expected(values: list[int], turns: int, second: bool = True) -> list[int]:
    """Of s2 to s5, as the assembly says it."""
    a, b, c, d = values
    for _ in range(turns):
        a = a + b & U64
        c = c + a & U64
        d = d + c & U64
        a ^= d
        b = b + a & U64
        c = c - b & U64
        d = d + a & U64
        a = a + c & U64
        b = b + d & U64
        if second:
            a = a + c & U64
            b = b - d & U64
    return [a, b, c, d]


def run(g, turns: int) -> list[int]:
    values = [3, 5, 7, 11]
    for name, value in zip(S, values, strict=True):
        g[name] = value
    g["s0"] = turns
    g.hart.pc = g.address("first")
    g.finish()
    return [g[name] for name in S]


def jumps_behind_ways_in(g) -> set[tuple[int, int]]:
    """The pcs of traces of which the one leads to where the other has swapped its registers."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    traces = g.machine.compiler.traces()
    found = set()
    for source, _, _, host, code, _ in traces:
        for _, _, mnemonic, target in decoder.disasm_lite(code, host):
            if mnemonic[0] != "j" or not target.startswith("0x"):
                continue
            for pc, _, _, start, _, marks in traces:
                if start < int(target, 16) < start + marks[0][1] and pc != source:
                    found.add((source, pc))
    return found


@pytest.mark.parametrize("neighbours", [True, False])
def test_traces_that_hold_the_same_swap_nothing_in_between(neighbours, compiled):
    g = compiled(BLOCKS, switches={"neighbours": neighbours})
    g.machine.compiler.marking = True
    assert run(g, 1000) == expected([3, 5, 7, 11], 1000)
    assert jumps_behind_ways_in(g) == ({(g.address("first"), g.address("second"))} if neighbours else set())


def test_such_a_jump_ends_with_what_it_leads_to(compiled, counters):
    """Then registers are where everybody finds them."""
    g = compiled(BLOCKS)
    assert run(g, 100) == expected([3, 5, 7, 11], 100)
    nop = encode("addi", rd=0, rs1=0, imm=0).to_bytes(4, "little")
    g.memory.write(g.address("second"), 2 * nop)
    assert run(g, 100) == expected([3, 5, 7, 11], 100, second=False)
    assert counters(g)["discarded"] > 0


@pytest.mark.parametrize("step", range(1, 60))
def test_budgets_are_exact_between_them(step, compiled, guest):
    """Wherever a run ends, registers are what the interpreter's are."""
    results = []
    for g in (compiled(BLOCKS), guest(BLOCKS, engine="interpreter")):
        run(g, 50)
        g["s0"] = 50
        g.hart.pc = g.address("first")
        g.machine.run(instructions=step)
        results.append([g.hart.pc, *(g[name] for name in S)])
    assert results[0] == results[1]
