"""Supervisor calls that the core serves itself: timer, fences and the legacy calls (SBI specification 2.0)."""

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import PAGE, PageTables

pytestmark = pytest.mark.usefixtures("dispatch")
TIME, RFENCE = 0x54494D45, 0x52464E43
LEGACY_CLEAR_IPI, LEGACY_SEND_IPI, SFENCE = 3, 4, 1
STI = 5
FRAMES = (BASE + 0x18000, BASE + 0x14000, BASE + 0x1C000)
PLACE = 0x1000                          # where tests map frames, one page after the other
LOAD_PAGE = 13


@pytest.fixture
def supervisor(guest):
    """A program in S-mode under the machine's own firmware, with Sv39: itself at its place, two frames at PLACE."""
    def make(source: str, **options):
        g = guest(source, **options)
        g.open_pmp()
        g.tables = PageTables(g)
        g.tables.map(BASE, BASE, level=2)
        g.entries = [g.tables.map(PLACE + PAGE * number, FRAMES[number]) for number in range(2)]
        g["medeleg"] = 1 << LOAD_PAGE
        g["satp"] = g.tables.satp
        g.native.sbi, g.hart.privilege = True, 1
        return g

    return make


def test_legacy_clear_ipi_clears_only_ssip(supervisor):
    g = supervisor("ecall; wfi")
    g["mip"], g["a7"] = 0x22, LEGACY_CLEAR_IPI
    g.run(instructions=1)
    assert (g["a0"], g["mip"]) == (0, 0x20)


@pytest.mark.parametrize("offset", range(8))
def test_legacy_mask_may_lie_on_two_pages(offset, supervisor):
    """Chapter 5: the mask is at a virtual address; the frames behind are not neighbours."""
    g = supervisor("ecall; wfi")
    g.memory.write(FRAMES[0] + PAGE - offset, (1).to_bytes(8, "little")[:offset])
    g.memory.write(FRAMES[1], (1).to_bytes(8, "little")[offset:])
    g.memory.write(FRAMES[0] + PAGE, bytes([0xFE] * 8))
    g["a0"], g["a7"] = PLACE + PAGE - offset, LEGACY_SEND_IPI
    g.run(instructions=1)
    assert (g["a0"], g["mip"] & 2) == (0, 2)


def test_legacy_mask_that_is_not_there_traps_like_a_load(supervisor):
    g = supervisor("ecall; wfi")
    g.store(g.entries[1], 0)
    g["a0"], g["a7"] = PLACE + PAGE - 4, LEGACY_SEND_IPI
    assert g.trap_in_supervisor() == (LOAD_PAGE, BASE, PLACE + PAGE)
    assert g["mip"] & 2 == 0


@pytest.mark.parametrize("isa", ["rv64gc_zicntr_svade", "rv64gc_zicntr_sstc_svade"])
def test_timer_comes_at_its_tick_with_or_without_sstc(isa, supervisor):
    g = supervisor("ecall; li a0, 1; 1: j 1b", isa=isa)
    g["a0"], g["a6"], g["a7"] = 20, 0, TIME
    g["mideleg"], g["mie"], g["sstatus"] = 1 << STI, 1 << STI, 2
    g.run(instructions=1999)            # tick 20 begins at step 2,000
    assert (g["scause"], g["a0"]) == (0, 1)
    g.run(instructions=10)
    assert g["scause"] == 1 << 63 | STI
    assert g.hart.pc == g.address("trap_s") + 4


@pytest.mark.parametrize("start, size", [(0, 2 * PAGE), (PAGE - 1, 2), (1, PAGE), (8, 2 * PAGE - 8)])
def test_fence_of_a_range_that_is_not_of_whole_pages(start, size, supervisor):
    """Chapter 8: every page that the range touches."""
    g = supervisor("ld s2, 0(s0); ld s3, 0(s1); ecall; ld s2, 0(s0); ld s3, 0(s1); wfi")
    g["s0"], g["s1"] = PLACE, PLACE + PAGE
    g.run(instructions=2)
    g.store(FRAMES[2], 7)
    for entry in g.entries:
        g.store(entry, FRAMES[2] >> 2 | 0xCF)
    g["a0"], g["a1"], g["a2"], g["a3"], g["a6"], g["a7"] = 1, 0, PLACE + start, size, SFENCE, RFENCE
    g.run(instructions=3)
    assert (g["a0"], g["s2"], g["s3"]) == (0, 7, 7)
