"""Sv39, Sv48 and Sv57 (privileged specification, sections 12.3 to 12.6, and 12.2.1 for sfence.vma).

Data is reached from M-mode with mstatus.MPRV, so that only it is translated; traps come back to M-mode.
"""

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import ALL, MODES, PAGE, A, D, G, PageTables, R, U, V, W, X, pte

pytestmark = pytest.mark.usefixtures("dispatch")

FETCH_ACCESS, LOAD_ACCESS, STORE_ACCESS, FETCH_PAGE, LOAD_PAGE, STORE_PAGE = 1, 5, 7, 12, 13, 15
MPRV, SUM, MXR = 1 << 17, 1 << 18, 1 << 19
USER, SUPERVISOR, MACHINE = 0, 1, 3
ADUE = 1 << 61
PROGRAM = """
load:
    ld   a1, 0(a0)
    wfi
store:
    sd   a1, 0(a0)
    wfi
    .balign 8
target:
    wfi
"""
FRAME = BASE + 0x3000                   # a page with a pattern and, at offset 0x100, an instruction
VALUE = 0x0123_4567_89AB_CDEF


class Bench:
    """A guest with page tables. Each attempt runs one instruction and gives None or (cause, tval)."""

    def __init__(self, guest, mode="sv39", **options):
        self.g = guest(PROGRAM, **options)
        self.g.open_pmp()
        self.tables = PageTables(self.g, mode)
        self.g["satp"] = self.tables.satp
        self.g.store(FRAME, VALUE)
        self.g.store(FRAME + 0x100, 0x1050_0073, 4)         # wfi

    def run_at(self, pc, privilege):
        self.g["mcause"] = 0
        self.g.hart.pc = pc
        self.g.hart.privilege = privilege
        self.g.finish()
        return (self.g["mcause"], self.g["mtval"]) if self.g["mcause"] else None

    def data(self, label, address, privilege, status):
        self.g["mstatus"] = MPRV | privilege << 11 | status
        self.g["a0"] = address
        return self.run_at(self.g.address(label), MACHINE)

    def load(self, address, privilege=SUPERVISOR, status=0):
        self.g["a1"] = 0
        result = self.data("load", address, privilege, status)
        assert self.g["a1"] == 0 or result is None
        return result

    def store(self, address, privilege=SUPERVISOR, status=0):
        return self.data("store", address, privilege, status)

    def fetch(self, address, privilege=SUPERVISOR):
        """U-mode may not wfi: that illegal instruction means that it was fetched."""
        self.g["mstatus"] = 0
        result = self.run_at(address, privilege)
        return None if result and result[0] == 2 else result


@pytest.fixture
def bench(guest):
    return Bench(guest)


# --- The walk --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
def test_four_kilobyte_page(mode, guest):
    bench = Bench(guest, mode)
    top = (1 << 12 + 9 * bench.tables.levels - 1) - PAGE    # the last page of the lower half
    for address in (0x1000, 0x7FFF_F000, top):
        bench.tables.map(address, FRAME)
        assert bench.load(address) is None
        assert bench.g["a1"] == VALUE
        assert bench.store(address) is None
        assert bench.fetch(address + 0x100) is None


@pytest.mark.parametrize("mode, level", [(mode, level) for mode in MODES for level in range(1, MODES[mode][1])])
def test_superpage(mode, level, guest):
    """A leaf of a higher level maps its whole range; the offset is taken from the virtual address."""
    bench = Bench(guest, mode)
    size = 1 << 12 + 9 * level
    base = BASE // size * size                              # for the largest, physical address 0
    virtual = size
    place = bench.tables.map(virtual, base, level=level)
    assert bench.load(virtual + FRAME - base) is None
    assert bench.g["a1"] == VALUE
    assert bench.fetch(virtual + FRAME + 0x100 - base) is None
    bench.g.store(place, pte(base + PAGE, ALL))             # not aligned to its size: section 12.3.2, step 6
    bench.g["satp"] = bench.tables.satp
    assert bench.load(virtual + FRAME - base) == (LOAD_PAGE, virtual + FRAME - base)
    assert bench.store(virtual + FRAME - base) == (STORE_PAGE, virtual + FRAME - base)


@pytest.mark.parametrize("mode", MODES)
def test_addresses_must_be_canonical(mode, guest):
    """The bits above the top one are copies of it, or every access is a page fault."""
    bench = Bench(guest, mode)
    top = 12 + 9 * bench.tables.levels - 1
    upper = (1 << 64) - (1 << top)                          # the first page of the upper half
    bench.tables.map(upper, FRAME)
    assert bench.load(upper) is None
    for address in (1 << top, upper - PAGE, upper ^ 1 << 63, 1 << 63, upper & (1 << top + 1) - 1):
        assert bench.load(address) == (LOAD_PAGE, address)
        assert bench.store(address) == (STORE_PAGE, address)
        assert bench.fetch(address) == (FETCH_PAGE, address)


@pytest.mark.parametrize("flags", [0, ALL & ~V, W | V | A | D, W | X | V | A | D], ids=["zero", "V=0", "W", "W and X"])
def test_entry_that_is_invalid_or_reserved(flags, bench):
    bench.tables.map(0x1000, FRAME, flags)
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)
    assert bench.store(0x1000) == (STORE_PAGE, 0x1000)
    assert bench.fetch(0x1000) == (FETCH_PAGE, 0x1000)


@pytest.mark.parametrize("bit", range(54, 64))
def test_reserved_upper_bits_fault(bit, bench):
    """Bits 60 to 54 are reserved, PBMT and N belong to extensions that are not there."""
    bench.tables.map(0x1000, FRAME, ALL | 1 << bit)
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)


@pytest.mark.parametrize("flags", [A, D, U], ids=["A", "D", "U"])
def test_reserved_bits_of_a_pointer_fault(flags, bench):
    bench.tables.map(0x1000, FRAME)
    middle = bench.tables.place(0x1000, 1)
    bench.g.store(middle, bench.g.word(middle) | flags)
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)


def test_global_bit_and_software_bits_are_ignored(bench):
    bench.tables.map(0x1000, FRAME, ALL | G | 0x300)
    assert bench.load(0x1000) is None


def test_pointer_in_the_last_level_faults(bench):
    bench.g.store(bench.tables.place(0x1000), pte(FRAME, V))
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)


@pytest.mark.parametrize("table", [0, 0x1000_0000, 0xFF_FFFF_F000])
def test_table_outside_ram_is_an_access_fault(table, bench):
    """Of the original access, with the virtual address (section 12.3.2, step 2)."""
    bench.g.store(bench.tables.place(0x1000, 2), pte(table, V))
    assert bench.load(0x1000) == (LOAD_ACCESS, 0x1000)
    assert bench.store(0x1000) == (STORE_ACCESS, 0x1000)
    assert bench.fetch(0x1000) == (FETCH_ACCESS, 0x1000)


def test_page_outside_ram_is_an_access_fault(bench):
    bench.tables.map(0x1000, 0x4000_0000)
    assert bench.load(0x1008) == (LOAD_ACCESS, 0x1008)
    assert bench.store(0x1008) == (STORE_ACCESS, 0x1008)
    assert bench.fetch(0x1008) == (FETCH_ACCESS, 0x1008)


def test_bare_mode_translates_nothing(bench):
    bench.g["satp"] = 0
    assert bench.load(FRAME) is None
    assert bench.g["a1"] == VALUE


# --- Permissions -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("flags", [R, X, R | X, R | W, R | W | X], ids=["R", "X", "RX", "RW", "RWX"])
@pytest.mark.parametrize("user", [0, U], ids=["S", "U"])
def test_permissions(flags, user, bench):
    bench.tables.map(0x1000, FRAME, flags | user | A | D | V)
    privilege = USER if user else SUPERVISOR
    assert bench.load(0x1000, privilege) == (None if flags & R else (LOAD_PAGE, 0x1000))
    assert bench.load(0x1000, privilege, MXR) == (None if flags & (R | X) else (LOAD_PAGE, 0x1000))
    assert bench.load(0x1000, privilege) == (None if flags & R else (LOAD_PAGE, 0x1000))
    assert bench.store(0x1000, privilege) == (None if flags & W else (STORE_PAGE, 0x1000))
    assert bench.fetch(0x1100, privilege) == (None if flags & X else (FETCH_PAGE, 0x1100))


def test_user_mode_needs_user_pages(bench):
    bench.tables.map(0x1000, FRAME)
    assert bench.load(0x1000, USER) == (LOAD_PAGE, 0x1000)
    assert bench.load(0x1000, USER, SUM | MXR) == (LOAD_PAGE, 0x1000)
    assert bench.store(0x1000, USER) == (STORE_PAGE, 0x1000)
    assert bench.fetch(0x1100, USER) == (FETCH_PAGE, 0x1100)


def test_supervisor_reaches_user_pages_only_with_sum(bench):
    """And executes them never; the answer follows SUM at once, in both directions."""
    bench.tables.map(0x1000, FRAME, ALL | U)
    for _ in range(2):
        assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)
        assert bench.load(0x1000, status=SUM) is None
        assert bench.store(0x1000) == (STORE_PAGE, 0x1000)
        assert bench.store(0x1000, status=SUM) is None
    bench.g["mstatus"] = SUM
    assert bench.run_at(0x1100, SUPERVISOR) == (FETCH_PAGE, 0x1100)


def test_mprv_does_not_concern_fetches_nor_machine_mode(bench):
    """MPP = M: loads are M-mode's own, untranslated."""
    assert bench.load(FRAME, MACHINE) is None
    assert bench.g["a1"] == VALUE


# --- Accessed and dirty ----------------------------------------------------------------------------------------------

def test_svade_faults_where_a_bit_is_missing(bench):
    """menvcfg.ADUE = 0: nothing is written into the entry."""
    place = bench.tables.map(0x1000, FRAME, ALL & ~(A | D))
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)
    assert bench.store(0x1000) == (STORE_PAGE, 0x1000)
    assert bench.fetch(0x1100) == (FETCH_PAGE, 0x1100)
    assert bench.g.word(place) == pte(FRAME, ALL & ~(A | D))
    bench.tables.map(0x1000, FRAME, ALL & ~D)
    assert bench.load(0x1000) is None
    assert bench.store(0x1000) == (STORE_PAGE, 0x1000)
    assert bench.g.word(place) == pte(FRAME, ALL & ~D)


def test_svadu_sets_what_the_access_needs(guest):
    bench = Bench(guest, isa="rv64gc_svadu_sv57")
    bench.g["menvcfg"] = ADUE
    place = bench.tables.map(0x1000, FRAME, ALL & ~(A | D))
    assert bench.load(0x1000) is None
    assert bench.g.word(place) == pte(FRAME, ALL & ~D)
    assert bench.load(0x1000) is None
    assert bench.g.word(place) == pte(FRAME, ALL & ~D)
    assert bench.store(0x1000) is None
    assert bench.g.word(place) == pte(FRAME, ALL)


def test_svadu_on_a_fetch_and_on_a_superpage(guest):
    bench = Bench(guest, isa="rv64gc_svadu_sv57")
    bench.g["menvcfg"] = ADUE
    place = bench.tables.map(0x4000_0000, BASE, ALL & ~(A | D), level=2)
    assert bench.fetch(0x4000_0000 + FRAME + 0x100 - BASE) is None
    assert bench.g.word(place) == pte(BASE, ALL & ~D)


def test_svadu_sets_nothing_where_the_access_is_not_permitted(guest):
    bench = Bench(guest, isa="rv64gc_svadu_sv57")
    bench.g["menvcfg"] = ADUE
    place = bench.tables.map(0x1000, FRAME, (ALL | U) & ~(A | D | W))
    assert bench.store(0x1000, USER) == (STORE_PAGE, 0x1000)
    assert bench.load(0x1000, SUPERVISOR) == (LOAD_PAGE, 0x1000)
    assert bench.g.word(place) == pte(FRAME, (ALL | U) & ~(A | D | W))


@pytest.mark.parametrize("isa", ["default", "rv64gc_svadu_sv57", "rv64gc_sv57"])
def test_kernel_that_knows_of_no_bits_needs_not_set_them(isa, guest):
    """From reset, as on QEMU: where Svadu is said and not Svade, and where neither is."""
    bench = Bench(guest, isa=isa)
    place = bench.tables.map(0x1000, FRAME, ALL & ~(A | D))
    assert bench.load(0x1000) is None
    assert bench.store(0x1000) is None
    assert bench.g.word(place) == pte(FRAME, ALL)


@pytest.mark.parametrize("isa", ["rva22s64_sv57", "rv64gc_svade_sv57", "rv64gc_svade_svadu_sv57"])
def test_svade_faults_from_reset(isa, guest):
    bench = Bench(guest, isa=isa)
    bench.tables.map(0x1000, FRAME, ALL & ~(A | D))
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)


def test_svadu_can_be_switched_off(guest):
    bench = Bench(guest, isa="rv64gc_svadu_sv57")
    bench.g["menvcfg"] = 0
    bench.tables.map(0x1000, FRAME, ALL & ~(A | D))
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)


def test_looking_from_python_changes_no_bit(guest):
    bench = Bench(guest, isa="rv64gc_svadu_sv57")
    bench.g["menvcfg"] = ADUE
    place = bench.tables.map(0x1000, FRAME, ALL & ~(A | D))
    bench.g.hart.privilege = SUPERVISOR
    assert bench.g.hart.virtual.physical(0x1000) == FRAME
    assert bench.g.word(place) == pte(FRAME, ALL & ~(A | D))


# --- Remembered translations -----------------------------------------------------------------------------------------

FENCES = ["sfence.vma", "sfence.vma a2", "sfence.vma a2, zero", "sfence.vma zero, a3", "sfence.vma a2, a3"]


@pytest.mark.parametrize("fence", FENCES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_after_sfence_the_new_entry_holds(fence, level, guest):
    """Load, take the leaf away, fence, load."""
    g = guest(f"ld a1, 0(a0); sd zero, 0(a5); {fence}; again: ld a1, 0(a0); wfi")
    g.open_pmp()
    tables = PageTables(g)
    size = 1 << 12 + 9 * level
    place = tables.map(size, BASE // size * size, level=level)
    tables.map(0x3F_0000_0000, place // PAGE * PAGE)        # the entry is written through a second mapping
    g["satp"], g["mstatus"] = tables.satp, MPRV | 1 << 11
    g["a0"] = g["a2"] = size + BASE % size
    g["a5"] = 0x3F_0000_0000 + place % PAGE
    assert g.trap() == (LOAD_PAGE, g.address("again"), g["a0"])


def test_after_sfence_the_new_page_is_there(guest):
    g = guest("ld a1, 0(a0); sd a4, 0(a5); sfence.vma a0; ld a1, 0(a0); wfi")
    g.open_pmp()
    tables = PageTables(g)
    place = tables.map(0x1000, BASE)
    tables.map(0x3F_0000_0000, place // PAGE * PAGE)
    g["satp"], g["mstatus"] = tables.satp, MPRV | 1 << 11
    g["a0"], g["a4"], g["a5"] = 0x1000, pte(FRAME, ALL), 0x3F_0000_0000 + place % PAGE
    g.store(FRAME, VALUE)
    g.finish()
    assert g["a1"] == VALUE


@pytest.mark.parametrize("mode", MODES)
def test_writing_satp_changes_the_address_space_at_once(mode, guest):
    bench = Bench(guest, mode)
    bench.tables.map(0x1000, FRAME)
    assert bench.load(0x1000) is None
    bench.g["satp"] = bench.tables.satp + 0x40              # an empty root 64 pages further on
    assert bench.load(0x1000) == (LOAD_PAGE, 0x1000)


def test_many_pages_are_all_forgotten(guest):
    """More than the TLB keeps a list of for its flush."""
    g = guest("""
        li   t1, 400
        mv   t0, a0
    1:  ld   t2, 0(t0)
        add  t0, t0, a3
        addi t1, t1, -1
        bnez t1, 1b
        csrw satp, a4
        ld   a1, 0(a0)
        wfi
    """)
    g.open_pmp()
    tables = PageTables(g)
    for number in range(400):
        tables.map(0x20_0000 + number * PAGE, FRAME)
    g["satp"], g["mstatus"] = tables.satp, MPRV | 1 << 11
    g["a0"], g["a3"], g["a4"] = 0x20_0000, PAGE, tables.satp + 0x40
    assert g.trap()[0::2] == (LOAD_PAGE, 0x20_0000)
