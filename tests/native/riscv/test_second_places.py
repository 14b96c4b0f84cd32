"""Pages that share a place in the TLB drive each other out, into second places; what ends a translation ends it there.

Also what a fence of one address ends of code: of the pages of a run, and of others that the core takes for the same.
"""

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import ALL, PAGE, PageTables
from tests.native.riscv.test_mmu import MPRV

pytestmark = pytest.mark.usefixtures("dispatch")

PLACES, SPARE_PLACES, ENTERED_PAGES = 1024 * PAGE, 256 * PAGE, 2048 * PAGE     # after so many bytes each comes again
VIRTUAL = 0x4000_3000
FRAMES = [BASE + 0x20_0000 + number * PAGE for number in range(8)]
MPP_S = 1 << 11
TURNS = 300
LOAD_ACCESS, STORE_PAGE = 5, 15


def in_supervisor(g, places: list[int]) -> PageTables:
    """Map each place to a frame of its own, for accesses by mstatus.MPRV."""
    g.open_pmp()
    tables = PageTables(g)
    for place, frame in zip(places, FRAMES, strict=False):
        tables.map(place, frame)
    g["satp"], g["mstatus"] = tables.satp, MPRV | MPP_S
    return tables


def misses(g) -> int:
    return sum(g.machine.stats()["tlb_misses"][kind] for kind in ("loads", "stores"))


@pytest.mark.parametrize("distance", [PLACES, SPARE_PLACES, 5 * PLACES + SPARE_PLACES])
def test_two_pages_in_turn(distance, guest):
    """As a program does that copies from one to the other. One walk each is enough."""
    g = guest("""
    again:
        ld   t0, 0(s1)
        addi t0, t0, 1
        sd   t0, 0(s2)
        ld   t1, 0(s2)
        sd   t1, 0(s1)
        addi a0, a0, -1
        bnez a0, again
        wfi
    """, memory="8M")
    g["s1"], g["s2"], g["a0"] = VIRTUAL, VIRTUAL + distance, TURNS
    in_supervisor(g, [g["s1"], g["s2"]])
    g.finish()
    assert g.word(FRAMES[0]) == g.word(FRAMES[1]) == TURNS
    assert misses(g) <= 6


def test_more_pages_than_places(guest):
    """Each of eight pages counts its own visits."""
    g = guest("""
    again:
        li   a1, 8
        mv   s3, s1
    next:
        ld   t0, 0(s3)
        add  t0, t0, a1
        sd   t0, 0(s3)
        add  s3, s3, s2
        addi a1, a1, -1
        bnez a1, next
        addi a0, a0, -1
        bnez a0, again
        wfi
    """, memory="8M")
    g["s1"], g["s2"], g["a0"] = VIRTUAL, PLACES, TURNS
    in_supervisor(g, [VIRTUAL + number * PLACES for number in range(8)])
    g.finish()
    assert [g.word(frame) for frame in FRAMES] == [TURNS * weight for weight in range(8, 0, -1)]


@pytest.mark.parametrize("fence", ["sfence.vma", "sfence.vma s1", "sfence.vma s2", "sfence.vma zero, zero"])
def test_a_fence_reaches_what_was_driven_out(fence, guest):
    """The frames of both pages are exchanged; what the fence is about is seen where it is now."""
    g = guest(f"""
        ld   a1, 0(s1)
        ld   a2, 0(s2)
        ld   t0, 0(s3)
        ld   t1, 0(s4)
        sd   t1, 0(s3)
        sd   t0, 0(s4)
        {fence}
        ld   a3, 0(s1)
        ld   a4, 0(s2)
        wfi
    """, memory="8M")
    g["s1"], g["s2"] = VIRTUAL, VIRTUAL + PLACES
    tables = in_supervisor(g, [g["s1"], g["s2"]])
    tables.map(g["s1"] + PAGE, tables.place(g["s1"]) & -PAGE)
    tables.map(g["s2"] + PAGE, tables.place(g["s2"]) & -PAGE)
    g["s3"] = g["s1"] + PAGE + tables.place(g["s1"]) % PAGE
    g["s4"] = g["s2"] + PAGE + tables.place(g["s2"]) % PAGE
    g.store(FRAMES[0], 10)
    g.store(FRAMES[1], 20)
    g.finish()
    assert (g["a1"], g["a2"]) == (10, 20)
    if fence != "sfence.vma s2":
        assert g["a3"] == 20
    if fence != "sfence.vma s1":
        assert g["a4"] == 10


def test_a_page_without_permission_is_not_recalled(guest):
    """Readable, driven out, and then not to be written to."""
    g = guest("ld a1, 0(s1); ld a2, 0(s2); ld a3, 0(s1); ld a4, 0(s2); last: sd a1, 0(s1); wfi", memory="8M")
    g["s1"], g["s2"] = VIRTUAL, VIRTUAL + PLACES
    tables = in_supervisor(g, [g["s1"], g["s2"]])
    tables.map(VIRTUAL, FRAMES[0], ALL & ~(1 << 2))
    trap = g.trap()
    assert trap == (STORE_PAGE, g.address("last"), VIRTUAL)


def test_what_was_never_filled_is_not_page_0(guest):
    """A page comes to a place that nothing has been in, whose second place is also that of address 0."""
    g = guest("ld a1, 0(s1); ld a1, 8(zero); wfi")
    g["s1"] = BASE + SPARE_PLACES
    trap = g.trap()
    assert (trap.cause, trap.value) == (LOAD_ACCESS, 8)


def test_a_driven_out_page_that_becomes_code(guest):
    """A store to it, as was allowed before there was code, changes what runs next."""
    g = guest("""
        la   s5, patched
        sw   s6, 0(s1)              # the page is at hand as one without code
        ld   t0, 0(s2)              # and is driven out
        jalr s1
        mv   a1, a0
        ld   t0, 0(s2)
        sw   s7, 0(s1)
        fence.i
        jalr s1
        wfi
    patched:
    """, memory="8M")
    g["s1"], g["s2"] = BASE + 0x10_0000, BASE + 0x10_0000 + PLACES
    g["s6"], g["s7"] = 0x0050_0513, 0x0070_0513         # li a0, 5; li a0, 7
    g.store(g["s1"] + 4, 0x0000_8067, 4)                # ret
    g.finish()
    assert (g["a1"], g["a0"]) == (5, 7)


# --- Fences of code ---------------------------------------------------------------------------------------------------

CALLS = """
    la   t0, back
    csrw mtvec, t0
again:
    csrw mepc, s1
    mret
    .balign 4
back:
    addi s3, s3, -1
    beqz s3, fence
    j    again
fence:
    sfence.vma s2
    la   t0, end
    csrw mtvec, t0
    csrw mepc, s1
    mret
    .balign 4
end:
    wfi
"""
LI_5, LI_7, LI_9, ECALL, NOP = 0x0050_0513, 0x0070_0513, 0x0090_0513, 0x0000_0073, 0x0000_0013


def prepare_calls(g, pc: int, fenced: int) -> PageTables:
    g.open_pmp()
    tables = PageTables(g)
    g["satp"], g["s1"], g["s2"], g["s3"], g["s4"] = tables.satp, pc, fenced, 20, MPP_S
    g["mstatus"] = MPP_S
    return tables


def with_privilege(source: str) -> str:
    """A trap makes M-mode the previous one: set it back before each return."""
    return source.replace("    mret", "    csrs mstatus, s4\n    mret")


@pytest.mark.parametrize("offset", [0, 2, 64, 510, 2048, PAGE - 8])
def test_code_anywhere_in_the_page(offset, guest):
    g = guest(with_privilege(CALLS), memory="8M")
    tables = prepare_calls(g, VIRTUAL + offset, VIRTUAL)
    for frame, instruction in zip(FRAMES, (LI_5, LI_7), strict=False):
        g.store(frame + offset, instruction, 4)
        g.store(frame + offset + 4, ECALL, 4)
    place = tables.map(VIRTUAL, FRAMES[0])
    g.run(150)
    assert g["a0"] == 5
    g.store(place, tables.guest.word(place) + (PAGE >> 2))      # the frame behind it
    g.finish()
    assert g["a0"] == 7


def test_an_instruction_that_runs_into_the_page(guest):
    """Its second half is in the page that is shown elsewhere: the immediate changes."""
    g = guest(with_privilege(CALLS), memory="8M")
    pc = VIRTUAL + PAGE - 2
    tables = prepare_calls(g, pc, VIRTUAL + PAGE)
    tables.map(VIRTUAL, FRAMES[0])
    place = tables.map(VIRTUAL + PAGE, FRAMES[1])
    g.store(FRAMES[0] + PAGE - 2, LI_5 & 0xFFFF, 2)
    for frame, instruction in ((FRAMES[1], LI_5), (FRAMES[2], LI_9)):
        g.store(frame, instruction >> 16, 2)
        g.store(frame + 2, ECALL, 4)
    g.run(150)
    assert g["a0"] == 5
    g.store(place, g.word(place) + (PAGE >> 2))
    g.finish()
    assert g["a0"] == 9


def test_two_pages_of_code_that_are_taken_for_the_same(guest):
    """Both have run; either is fenced, and what is known of the other does not hide it."""
    other = VIRTUAL + ENTERED_PAGES
    for fenced in (VIRTUAL, other):
        g = guest(with_privilege(CALLS), memory="8M")
        tables = prepare_calls(g, VIRTUAL, fenced)
        places = [tables.map(virtual, frame) for virtual, frame in ((VIRTUAL, FRAMES[0]), (other, FRAMES[2]))]
        for frame, instruction in zip(FRAMES, (LI_5, LI_7, LI_5, LI_9), strict=False):
            g.store(frame, instruction, 4)
            g.store(frame + 4, ECALL, 4)
        g.run(100)
        g["s1"] = other
        g.run(50)
        assert g["a0"] == 5
        for place in places:
            g.store(place, g.word(place) + (PAGE >> 2))
        g["s1"] = fenced
        g.finish()
        assert g["a0"] == (7 if fenced == VIRTUAL else 9)
