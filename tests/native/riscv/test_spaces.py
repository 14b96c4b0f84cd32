"""Several address spaces in turn (privileged specification, sections 12.1.11 and 12.2.1): more than are remembered.

Data is reached from M-mode with mstatus.MPRV, code by mret to S-mode.
"""

from copy import copy
from random import Random

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import ALL, TABLES, G, PageTables, pte
from tests.native.riscv.test_mmu import FENCES, LOAD_PAGE, MPRV

pytestmark = pytest.mark.usefixtures("dispatch")

COUNT = 6
VIRTUAL = 0x1000
FRAMES = [BASE + 0x3000 + 0x1000 * number for number in range(COUNT)]
SEQUENCE, RESULTS = BASE + 0x4_0000, BASE + 0x8_0000
LENGTH = 3_000
MPP_S = 1 << 11


def make_spaces(g) -> list[PageTables]:
    """Of which each maps VIRTUAL to a frame of its own."""
    g.open_pmp()
    spaces = [PageTables(g)]
    for number in range(1, COUNT):
        spaces.append(copy(spaces[0]))
        spaces[-1].root = TABLES + 0x1_0000 * number
        spaces[-1].next_free = spaces[-1].root + 0x1000
    for space, frame in zip(spaces, FRAMES, strict=True):
        space.map(VIRTUAL, frame)
    return spaces


def satp_of(spaces: list[PageTables], number: int) -> int:
    return spaces[number].satp | number + 1 << 44


def give_sequence(g, spaces: list[PageTables]) -> list[int]:
    draw = Random(5)
    order = [draw.randrange(COUNT) for _ in range(LENGTH)]
    for place, number in enumerate(order):
        g.store(SEQUENCE + 8 * place, satp_of(spaces, number))
    g.store(SEQUENCE + 8 * LENGTH, 0)
    g["a0"], g["a1"], g["s1"], g["s2"] = SEQUENCE, RESULTS, MPRV, VIRTUAL
    g["mstatus"] = MPP_S
    return order


def test_each_space_has_its_own_data(guest):
    g = guest("""
loop:
    ld   t0, 0(a0)
    beqz t0, end
    csrw satp, t0
    csrs mstatus, s1
    ld   t1, 0(s2)
    sd   a0, 8(s2)
    csrc mstatus, s1
    sd   t1, 0(a1)
    addi a0, a0, 8
    addi a1, a1, 8
    j    loop
end:
    wfi
""")
    spaces = make_spaces(g)
    for number, frame in enumerate(FRAMES):
        g.store(frame, number)
    order = give_sequence(g, spaces)
    g.finish()
    assert [g.word(RESULTS + 8 * place) for place in range(LENGTH)] == order
    for number, frame in enumerate(FRAMES):
        assert g.word(frame + 8) == SEQUENCE + 8 * max(place for place in range(LENGTH) if order[place] == number)


def test_each_space_has_its_own_code(guest):
    g = guest("""
    la   t0, back
    csrw mtvec, t0
loop:
    ld   t0, 0(a0)
    beqz t0, end
    csrw satp, t0
    csrs mstatus, s3
    csrw mepc, s2
    mret
    .balign 4
back:
    sd   a2, 0(a1)
    addi a0, a0, 8
    addi a1, a1, 8
    j    loop
end:
    wfi
""")
    spaces = make_spaces(g)
    for number, frame in enumerate(FRAMES):
        g.store(frame, 0x0000_0613 | number << 20, 4)       # addi a2, zero, number
        g.store(frame + 4, 0x0000_0073, 4)                  # ecall
    order = give_sequence(g, spaces)
    g["s3"] = MPP_S
    g.finish()
    assert [g.word(RESULTS + 8 * place) for place in range(LENGTH)] == order


@pytest.mark.parametrize("fence", FENCES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_fence_is_for_the_spaces_that_wait(fence, level, guest):
    """The leaf of a space is taken away while another is at hand, and that keeps its own."""
    g = guest(f"""
    csrw satp, s4
    csrs mstatus, s1
    ld   a1, 0(a0)
    csrw satp, s5
    ld   a4, 0(a6)
    csrc mstatus, s1
    sd   zero, 0(a5)
    {fence}
    csrs mstatus, s1
    ld   a4, 0(a6)
    csrw satp, s4
again:
    ld   a1, 0(a0)
    wfi
""")
    spaces = make_spaces(g)
    size = 1 << 12 + 9 * level
    place = spaces[0].map(size, BASE // size * size, level=level)
    g["s1"], g["s4"], g["s5"] = MPRV, satp_of(spaces, 0), satp_of(spaces, 1)
    g["mstatus"] = MPP_S
    g["a0"] = g["a2"] = size + BASE % size
    g["a3"], g["a5"], g["a6"] = 1, place, VIRTUAL
    g.store(FRAMES[1], 77)
    assert g.trap() == (LOAD_PAGE, g.address("again"), g["a0"])
    assert g["a4"] == 77


def test_fence_is_for_code_of_the_spaces_that_wait(guest):
    """Both spaces have run code at one address; the page of the first becomes another."""
    g = guest("""
    la   t0, back
    csrw mtvec, t0
    li   s6, 100
loop:
    csrw satp, s4
    jal  t3, visit
    csrw satp, s5
    jal  t3, visit
    addi s6, s6, -1
    bnez s6, loop
    sd   a4, 0(a5)
    li   t5, 2
    sfence.vma s2, t5           # of the other: it may be there any more, or not
    li   t5, 1
    sfence.vma s2, t5
    csrw satp, s4
    jal  t3, visit
    wfi
visit:
    csrw mepc, s2
    csrs mstatus, s3
    mret
    .balign 4
back:
    jr   t3
""")
    spaces = make_spaces(g)
    for number, frame in enumerate(FRAMES):
        g.store(frame, 0x0016_0613 | number << 20, 4)       # addi a2, a2, 1 or, in the second, 1 | 1; 3 in the third
        g.store(frame + 4, 0x0000_0073, 4)
    g["s2"], g["s3"], g["s4"], g["s5"] = VIRTUAL, MPP_S, satp_of(spaces, 0), satp_of(spaces, 1)
    g["mstatus"] = MPP_S
    g["a4"], g["a5"] = pte(FRAMES[2], ALL), spaces[0].place(VIRTUAL)
    g.finish()
    assert g["a2"] == 100 * (1 + 1) + 3


@pytest.mark.parametrize("own", [True, False], ids=["own code, too", "common code alone"])
def test_code_on_a_global_page_is_the_same_in_all(own, guest):
    """Until there is another page, and a fence of its address says so; that the supervisor has code of one space as
    well changes nothing.
    """
    g = guest(f"""
    la   t0, back
    csrw mtvec, t0
    li   s6, {LENGTH // 2}
loop:
    ld   t0, 0(a0)
    beqz t0, end
    csrw satp, t0
    mv   s7, s4
    jal  t3, visit
    {"mv   s7, s2; jal t3, visit" if own else ""}
    sd   a2, 0(a1)
    addi a0, a0, 8
    addi a1, a1, 8
    addi s6, s6, -1
    bnez s6, loop
    ld   t1, 0(s8)              # the global page becomes another, in all spaces
    sd   s9, 0(s8)
    sfence.vma s4
    j    loop
end:
    wfi
visit:
    csrw mepc, s7
    csrs mstatus, s3
    mret
    .balign 4
back:
    jr   t3
""")
    common, before, after = 0x40_0000, BASE + 0x2_0000, BASE + 0x2_1000
    spaces = make_spaces(g)
    place = spaces[0].map(common, before, ALL | G)
    for space in spaces[1:]:                                # by the same table
        space.guest.store(space.place(common, level=1), g.word(spaces[0].place(common, level=1)))
    for number, frame in enumerate(FRAMES):
        g.store(frame, 0x0006_0613 | number << 20, 4)       # addi a2, a2, number
        g.store(frame + 4, 0x0000_0073, 4)                  # ecall
    for frame, value in ((before, 100), (after, 200)):
        g.store(frame, 0x0000_0613 | value << 20, 4)        # addi a2, zero, value
        g.store(frame + 4, 0x0000_0073, 4)
    order = give_sequence(g, spaces)
    g["s3"], g["s4"], g["s8"], g["s9"] = MPP_S, common, place, pte(after, ALL | G)
    g.finish()
    found = [g.word(RESULTS + 8 * at) for at in range(LENGTH)]
    assert found == [(100 if at < LENGTH // 2 else 200) + own * number for at, number in enumerate(order)]
