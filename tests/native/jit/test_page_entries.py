"""What compiled code remembers of pages ends with their translation or permission, however many pages there are."""

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import ALL, PAGE, PageTables

DATA, OTHER = BASE + 0x20_0000, BASE + 0x40_0000
VIRTUAL = 0x1000_0000
LOAD_ACCESS, STORE_ACCESS = 5, 7
LOCKED_NAPOT = 0x98             # no permission, in M-mode neither
MPRV_SUPERVISOR = 1 << 17 | 1 << 11
COUNTS = (20, 64, 65, 100)      # up to 64 pages are forgotten one by one; of more, all are
PLACES = (0, 5, 19)             # of the page that changes


def program(instruction: str, count: int) -> str:
    """Accesses through pointers that are computed anew, each to the next page; a1 becomes the sum."""
    lines = "\n".join(f"""
        add  t0, s1, s2
        {instruction} a0, {8 * number}(t0)
        add  a1, a1, a0
        add  s1, s1, s3
    """ for number in range(count))
    return f".option norvc\n{lines}\nwfi\nfenced:\nsfence.vma s4, x0\nj _start"


def run(g, address: int, pc: int = BASE) -> None:
    g["a0"] = g["a1"] = g["s2"] = 0
    g["s1"], g["s3"], g.hart.pc = address, PAGE, pc
    g.finish()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("instruction, cause", [("ld", LOAD_ACCESS), ("sd", STORE_ACCESS)])
def test_pmp_takes_one_page_of_many_away(instruction, cause, place, count, compiled, counters):
    g = compiled(program(instruction, count), memory="8M")
    run(g, DATA)
    before = counters(g)["fallbacks"]
    run(g, DATA)
    assert counters(g)["fallbacks"] == before + 1, "all but wfi is compiled, and every page remembered"
    g["pmpaddr0"] = DATA + place * PAGE >> 2 | (PAGE >> 3) - 1
    g["pmpcfg0"] = LOCKED_NAPOT
    run(g, DATA)
    assert (g["mcause"], g["mepc"]) == (cause, BASE + 16 * place + 4)
    assert g["mtval"] == DATA + place * PAGE + 8 * place


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("whole", [True, False])
def test_fence_ends_a_translation(whole, place, count, compiled):
    """The page shows another frame after sfence.vma, of all addresses or of this one."""
    g = compiled(program("ld", count), memory="8M")
    g.open_pmp()
    tables = PageTables(g)
    for number in range(count):
        tables.map(VIRTUAL + number * PAGE, DATA + number * PAGE)
        g.store(DATA + number * PAGE + 8 * number, 1)
    g.store(OTHER + 8 * place, 1000)
    g["satp"], g["mstatus"] = tables.satp, MPRV_SUPERVISOR
    run(g, VIRTUAL)
    assert g["a1"] == count
    tables.map(VIRTUAL + place * PAGE, OTHER, ALL)
    g["s4"] = 0 if whole else VIRTUAL + place * PAGE
    if whole:
        g.store(g.address("fenced"), 0x1200_0073, 4)        # sfence.vma x0, x0
    run(g, VIRTUAL, g.address("fenced"))
    assert g["a1"] == count - 1 + 1000


@pytest.mark.parametrize("count", COUNTS)
def test_another_address_space_shows_other_pages(count, compiled):
    g = compiled(program("ld", count), memory="8M")
    g.open_pmp()
    spaces = PageTables(g), PageTables(g)
    spaces[1].root += 0x8_0000
    spaces[1].next_free += 0x8_0000
    for tables, value, frames in zip(spaces, (1, 5), (DATA, OTHER), strict=True):
        for number in range(count):
            tables.map(VIRTUAL + number * PAGE, frames + number * PAGE)
            g.store(frames + number * PAGE + 8 * number, value)
    g["mstatus"] = MPRV_SUPERVISOR
    for tables, value in list(zip(spaces, (1, 5), strict=True)) * 3:
        g["satp"] = tables.satp
        run(g, VIRTUAL)
        assert g["a1"] == count * value
