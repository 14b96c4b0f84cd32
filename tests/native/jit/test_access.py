"""Accesses of compiled code that are not aligned, and fences of one address: what stays compiled, and is right."""

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import ALL, PAGE, PageTables, pte

DATA = BASE + 0x8_0000
FRAMES = BASE + 0x9_0000
VIRTUAL = 0x1000_0000
SUPERVISOR = 1
LOAD_MISALIGNED, STORE_MISALIGNED = 4, 6
TURNS = 100
RET = 0x0000_8067


def li_a1(value: int) -> int:
    return value << 20 | 11 << 7 | 0x13


@pytest.mark.parametrize("size, load, store", [(2, "lhu", "sh"), (4, "lwu", "sw"), (8, "ld", "sd")])
@pytest.mark.parametrize("offset", [1, PAGE - 9])
def test_unaligned_accesses_in_a_page_are_compiled(size, load, store, offset, compiled, counters):
    g = compiled(f"1: {load} a0, 0(s1); addi a0, a0, 1; {store} a0, 0(s1); addi s0, s0, -1; bnez s0, 1b; wfi")
    g["s0"], g["s1"] = TURNS, DATA + offset
    g.finish()
    assert g.word(DATA, PAGE) == TURNS << 8 * offset
    assert counters(g)["fallbacks"] <= 3, "the first load, the first store and wfi"


@pytest.mark.parametrize("size, load, store", [(2, "lhu", "sh"), (4, "lwu", "sw"), (8, "ld", "sd")])
def test_accesses_across_pages_are_right(size, load, store, compiled):
    g = compiled(f"1: {load} a0, 0(s1); addi a0, a0, 1; {store} a0, 0(s1); addi s0, s0, -1; bnez s0, 1b; wfi")
    g["s0"], g["s1"] = TURNS, DATA + PAGE - 1
    g.store(DATA + PAGE - 1, 255, 1)
    g.finish()
    assert g.word(DATA, 2 * PAGE) == 255 + TURNS << 8 * (PAGE - 1)


@pytest.mark.parametrize("instruction, cause", [
    ("lr.d a0, (s1)", LOAD_MISALIGNED), ("sc.w a0, a1, (s1)", STORE_MISALIGNED),
    ("amoadd.d a0, a1, (s1)", STORE_MISALIGNED),
])
def test_atomics_that_are_not_aligned_trap_in_a_page_that_is_remembered(instruction, cause, compiled):
    g = compiled(f"1: {instruction}; addi s1, s1, 2; j 1b")         # a pointer that moves on keeps its slot
    g["s1"], g["a1"] = DATA, 1
    assert g.trap() == (cause, BASE, DATA + 2)


def fenced(guest, address: str):
    """Calls s1 so many times, writes the entry a0 to s2, fences an address, calls s1 again."""
    g = guest(f"""
        .option norvc
    1:  jalr ra, s1
        addi s0, s0, -1
        bnez s0, 1b
        sd a0, 0(s2)
        sfence.vma {address}
        jalr ra, s1
        wfi
        wfi
    """)
    g.open_pmp()
    tables = PageTables(g)
    for page in range(BASE, BASE + 4 * PAGE, PAGE):
        tables.map(page, page)
    g["s0"], g["s3"] = TURNS, VIRTUAL + PAGE
    for number in range(2):
        tables.map(VIRTUAL + number * PAGE, FRAMES + number * PAGE)
    place = tables.place(VIRTUAL + PAGE)
    tables.map(VIRTUAL + 2 * PAGE, place // PAGE * PAGE)            # the entry is written through a second mapping
    g["s2"] = VIRTUAL + 2 * PAGE + place % PAGE
    g["satp"], g.hart.privilege = tables.satp, SUPERVISOR
    return g


@pytest.mark.parametrize("compiles", [True, False])
def test_a_fence_of_one_address_ends_the_translation_of_code_there(compiles, compiled, guest):
    g = fenced(compiled if compiles else guest, "s3")
    g.store(FRAMES + PAGE, li_a1(1) | RET << 32)
    g.store(FRAMES + 2 * PAGE, li_a1(2) | RET << 32)
    g["s1"], g["a0"] = VIRTUAL + PAGE, pte(FRAMES + 2 * PAGE, ALL)
    g.finish()
    assert g["a1"] == 2


@pytest.mark.parametrize("compiles", [True, False])
def test_a_fence_of_the_page_that_an_instruction_ends_in(compiles, compiled, guest):
    """All there is of the code in that page is the offset of a return: four bytes further on from now on."""
    g = fenced(compiled if compiles else guest, "s3")
    g.store(FRAMES + PAGE - 2, RET, 4)
    g.store(FRAMES + 2 * PAGE, (RET | 4 << 20) >> 16, 2)
    g["s1"], g["a0"] = VIRTUAL + PAGE - 2, pte(FRAMES + 2 * PAGE, ALL)
    g.finish()
    assert g.hart.pc == g["ra"] + 8, "behind the second wfi"


def test_a_fence_of_a_page_of_data_leaves_compiled_code_known(compiled, counters):
    g = fenced(compiled, "s4")
    g.store(FRAMES, li_a1(1) | RET << 32)
    g["s1"], g["a0"] = VIRTUAL, pte(FRAMES + PAGE, ALL)

    def looked_up(fenced_page: int) -> int:
        before = counters(g)["exits"]["unknown"]
        g["s0"], g["s4"], g.hart.pc = TURNS, fenced_page, BASE
        g.finish()
        return counters(g)["exits"]["unknown"] - before

    looked_up(VIRTUAL + PAGE)                                       # all is new
    assert looked_up(VIRTUAL + PAGE) == 1                           # wfi
    assert looked_up(VIRTUAL) > 1
