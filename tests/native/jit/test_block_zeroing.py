"""cbo.zero in compiled code (unprivileged specification, chapter "CMO Extensions")."""

import pytest

from tests.assembler import BASE

DATA = BASE + 0x10_0000
ISA = "rv64gc_zicboz_zicsr_zifencei_svade"
ILLEGAL, BREAKPOINT = 2, 3
MENVCFG_CBZE, MPP_S = 1 << 7, 1 << 11
ZERO = ".insn i 0x0f, 2, zero, s1, 4"


@pytest.mark.parametrize("windows", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 63])
def test_the_block_around_the_address(offset, windows, compiled, counters):
    g = compiled(f"again: {ZERO}; addi s1, s1, 128; addi a0, a0, -1; bnez a0, again; wfi", memory="4M", isa=ISA, hot=4,
                 switches={"windows": windows})
    g.memory.write(DATA, b"\xaa" * 128 * 100)
    g["s1"], g["a0"] = DATA + offset, 100
    g.finish()
    assert g.memory.read(DATA, 128 * 100) == (bytes(64) + b"\xaa" * 64) * 100
    assert counters(g)["fallbacks"] < 20


def test_its_enable_is_looked_at_each_time(compiled):
    g = compiled(f"""
        csrw mepc, s2
        mret
    loop:
        sd   a0, 0(s1)              # the page is at hand for stores
    zero:
        {ZERO}
        addi a0, a0, -1
        bnez a0, loop
        ebreak
    """, memory="4M", isa=ISA)
    g.open_pmp()
    g["s1"], g["s2"], g["mstatus"], g["menvcfg"], g["a0"] = DATA, g.address("loop"), MPP_S, MENVCFG_CBZE, 50
    assert g.trap().cause == BREAKPOINT
    g["mstatus"], g["menvcfg"], g["a0"], g.hart.pc = MPP_S, 0, 50, BASE
    g.hart.privilege = 3
    trap = g.trap()
    assert (trap.cause, trap.pc, g["a0"]) == (ILLEGAL, g.address("zero"), 50)


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_code_behind_it_in_its_own_block(engine, guest):
    """What has been zeroed is not run as what it was: zeroes are an illegal instruction."""
    g = guest(f"""
        li   a1, 1
        {ZERO}
        li   a1, 2
        .balign 64
    next:
        li   a1, 3
        wfi
        .balign 64
    """, memory="4M", isa=ISA, engine=engine)
    g["s1"] = g.address("next")
    trap = g.trap()
    assert (trap.cause, trap.pc, g["a1"]) == (ILLEGAL, g.address("next"), 2)
