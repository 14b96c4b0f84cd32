"""Translations of pages without RAM are remembered as those of RAM are, and end with the same."""

import pytest

from tests.guest import Guest
from tests.native.riscv.paging import ALL, PAGE, A, D, PageTables, R, V, W, X, pte
from tests.native.riscv.test_mmu import MPRV, SUPERVISOR, USER, Bench
from vm.devices import UART

BREAKPOINT, LOAD_ACCESS, LOAD_PAGE, STORE_PAGE = 3, 5, 13, 15
SCRATCH = 7                             # a register of the UART that only keeps what is written
FENCES = ["sfence.vma", "sfence.vma a2", "sfence.vma zero, a3", "sfence.vma a2, a3"]
SECOND = 0x1001_0000                    # where another UART stands


@pytest.fixture(params=["interpreter", "jit"])
def engine(request):
    return request.param


def mapped(source: str, engine: str, flags: int = ALL, level: int = 0) -> tuple[Guest, int]:
    """A guest that reaches the UART at a0 = a2, and its page table entry at a5."""
    g = Guest(source, [(UART(), SECOND)], engine=engine)
    g.open_pmp()
    tables = PageTables(g)
    size = 1 << 12 + 9 * level
    virtual = 0x5_4000_0000
    place = tables.map(virtual, 0x1000_0000 // size * size, flags, level)
    tables.map(0x3F_0000_0000, place // PAGE * PAGE)
    g["satp"], g["mstatus"] = tables.satp, MPRV | SUPERVISOR << 11
    g["a0"] = g["a2"] = virtual + 0x1000_0000 % size
    g["a5"] = 0x3F_0000_0000 + place % PAGE
    return g, place


@pytest.mark.parametrize("fence", FENCES)
@pytest.mark.parametrize("access", ["lbu a1, 7(a0)", "sb a1, 7(a0)"])
@pytest.mark.parametrize("level", [0, 1])
def test_after_a_fence_the_new_entry_holds(level, access, fence, engine):
    g, _ = mapped(f"{access}; {access}; sd zero, 0(a5); {fence}; again: {access}; wfi", engine, level=level)
    cause = LOAD_PAGE if access[0] == "l" else STORE_PAGE
    assert g.trap() == (cause, g.address("again"), g["a0"] + SCRATCH)


def test_after_a_fence_another_device_is_there(engine):
    g, _ = mapped("""
        li   a1, 0x11
        sb   a1, 7(a0)
        lbu  a1, 7(a0)
        sd   a4, 0(a5)
        sfence.vma
        lbu  a6, 7(a0)
        li   a7, 0x22
        sb   a7, 7(a0)
        lbu  a7, 7(a0)
        wfi
    """, engine)
    g["a4"] = pte(SECOND, ALL)
    g.finish()
    assert (g["a1"], g["a6"], g["a7"]) == (0x11, 0, 0x22)


def test_ram_where_a_device_was(engine):
    g, _ = mapped("lbu a1, 7(a0); sd a4, 0(a5); sfence.vma; ld a1, 0(a0); sd a1, 8(a0); ld a6, 8(a0); wfi", engine)
    g["a4"] = pte(0x8010_0000 - PAGE, ALL)
    g.store(0x8010_0000 - PAGE, 0x1234_5678_9ABC)
    g.finish()
    assert g["a1"] == g["a6"] == 0x1234_5678_9ABC


def test_a_device_where_ram_was(engine):
    g, place = mapped("ld a1, 0(a0); sd a1, 0(a0); sd a4, 0(a5); sfence.vma; lbu a1, 5(a0); wfi", engine)
    g.store(place, pte(0x8010_0000 - PAGE, ALL))
    g["a4"] = pte(0x1000_0000, ALL)
    g.finish()
    assert g["a1"] == 0x60


def test_what_may_be_read_may_not_be_written(engine):
    g, _ = mapped("lbu a1, 7(a0); lbu a1, 7(a0); again: sb a1, 7(a0); wfi", engine, flags=V | R | A | D)
    assert g.trap() == (STORE_PAGE, g.address("again"), g["a0"] + SCRATCH)


def test_a_store_sets_the_dirty_bit_after_a_load(engine):
    g, place = mapped("lbu a1, 7(a0); sb a1, 7(a0); wfi", engine, flags=V | R | W | A)
    g["menvcfg"] = 1 << 61                              # ADUE
    g.finish()
    assert g.word(place) & D


def test_user_and_supervisor_have_their_own(guest):
    bench = Bench(guest)
    bench.tables.map(0x1000, 0x1000_0000)
    assert bench.load(0x1000) is None
    assert bench.load(0x1000, USER) == (LOAD_PAGE, 0x1000)


def test_only_what_may_be_executed_is_read_with_mxr_and_not_without(guest):
    bench = Bench(guest)
    bench.tables.map(0x1000, 0x1000_0000, V | X | A)
    assert bench.load(0x1000, status=1 << 19) is None
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)


def test_pmp_that_changes(guest):
    bench = Bench(guest)
    bench.tables.map(0x1000, 0x1000_0000)
    assert bench.load(0x1000) is None
    bench.g["pmpaddr1"], bench.g["pmpaddr0"] = (1 << 54) - 1, 0x1000_0000 >> 2 | (PAGE >> 3) - 1
    bench.g["pmpcfg0"] = 0x1F << 8 | 0x18               # a page that nobody may touch, then everything
    assert bench.load(0x1000) == (LOAD_ACCESS, 0x1000)


def test_memory_that_comes_where_nothing_was(engine):
    g = Guest("lbu a1, 0(a0); wfi", engine=engine)
    g["a0"] = 0x4000_0000
    g.finish()
    assert g["mcause"] == LOAD_ACCESS
    g.machine.map(0x4000_0000, 0x1000, data=b"x")
    g.hart.pc = g.address("_start")
    g.finish()
    assert g["a1"] == ord("x")


def test_trigger_on_a_device(engine):
    """The debug specification's mcontrol6, which is set after the page has been remembered."""
    g = Guest("again: lbu a1, 5(a0); addi a6, a6, 1; j again", engine=engine, isa="rv64gc_sdtrig")
    g["a0"] = 0x1000_0000
    g.run(instructions=3000)
    g["mstatus"] = 1 << 3                               # MIE: without it none fires in M-mode
    g["tdata2"] = 0x1000_0005
    g["tdata1"] = 6 << 60 | 1 << 6 | 1                  # in M-mode, at a load
    before = g["a6"]
    assert g.trap() == (BREAKPOINT, g.address("again"), 0x1000_0005)
    assert g["a6"] - before <= 1
