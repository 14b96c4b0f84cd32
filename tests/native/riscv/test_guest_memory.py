"""H 1.0: two-stage translation, and the host's instructions for it (privileged specification, chapter "H").

Random tables beside Spike are in tests/conformance/test_guest_memory.py.
"""

import pytest

from tests.assembler import BASE
from tests.native.riscv.guests import A0, A1, A2, GVA, ILLEGAL, SPVP, VIRTUAL, VS, GuestTables, enter, host_of, word
from tests.native.riscv.paging import ALL, PAGE, TABLES, A, D, PageTables, R, U, V, W, X, pte
from vm.privilege import Privilege
from vm_native.riscv.csrs import mask

pytestmark = pytest.mark.usefixtures("dispatch")

LOAD_PAGE, STORE_PAGE, FETCH_GUEST, LOAD_GUEST, STORE_GUEST = 13, 15, 20, 21, 23
FRAME, CODE, PLACE, INSIDE = BASE + 0x3000, BASE, 0x20_0000_0000, 0x5000     # physical; guest-physical, virtual
VALUE = 0x0123_4567_89AB_CDEF
SUM, MXR = mask("mstatus", "SUM"), mask("mstatus", "MXR")
HU, VTVM = mask("hstatus", "HU"), mask("hstatus", "VTVM")
CLINT = 0x200_4000
PROGRAM = f"""
load:
    ld   a1, 0(a0)
    ecall
store:
    sd   a1, 0(a0)
    ecall
swap:
    amoswap.d a1, a1, (a0)
    ecall
jump:
    jr   a0
twice:
    ld   a1, 0(a0)
    sd   a3, 0(a2)
    sfence.vma a0
    ld   a4, 0(a0)
    ecall
    .balign 4
hlv:
    {word("hlv.d", rd=A1, rs1=A0)}
    wfi
hlv_w:
    {word("hlv.w", rd=A1, rs1=A0)}
    wfi
hlvx:
    {word("hlvx.wu", rd=A1, rs1=A0)}
    wfi
hsv:
    {word("hsv.d", rs1=A0, rs2=A1)}
    wfi
hsv_b:
    {word("hsv.b", rs1=A0, rs2=A1)}
    wfi
"""


class Bench:
    """A host, and a guest whose code is where it is; INSIDE leads to PLACE, and that to FRAME."""

    def __init__(self, guest, first="sv39", second="sv39", **options):
        self.host = host_of(guest, PROGRAM, **options)
        self.first = PageTables(self.host, first)
        self.second = GuestTables(self.host, second, root=TABLES + 0x8_0000)
        self.second.map(CODE, CODE, level=1)
        self.first.map(CODE, CODE, level=1)
        self.entry = self.first.map(INSIDE, PLACE)
        self.second_entry = self.second.map(PLACE, FRAME)
        self.host.store(FRAME, VALUE)
        self.host["vsatp"], self.host["hgatp"] = self.first.satp, self.second.hgatp(3)

    def run(self, label, address=INSIDE, privilege=VS):
        """None, or cause, value, htval and htinst."""
        host = self.host
        host["a0"] = address
        host["htval"] = host["htinst"] = 77
        host["hstatus"] |= GVA
        enter(host, label, privilege)
        host.finish()
        if host.hart.pc != host.address("trap_s") + 4 or host["scause"] in (8, 10):
            return None
        assert bool(host["hstatus"] & GVA) == (host["scause"] not in (ILLEGAL, VIRTUAL))
        return host["scause"], host["stval"], host["htval"], host["htinst"]

    def fenced(self):
        """As after a fence: registers of translation that Python writes have one with them."""
        self.host["hgatp"] = self.host["hgatp"]


@pytest.fixture
def bench(guest):
    return Bench(guest)


# --- The way through both --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("second", ["sv39", "sv48", "sv57"])
@pytest.mark.parametrize("first", ["sv39", "sv48", "sv57"])
def test_page_of_a_guest(first, second, guest):
    bench = Bench(guest, first, second)
    assert bench.run("load") is None
    assert bench.host["a1"] == VALUE
    bench.host["a1"] = 5
    assert bench.run("store") is None
    assert bench.host.word(FRAME) == 5


def test_stage_that_is_bare(bench):
    """Without the first an address is guest-physical, without the second physical."""
    bench.host["vsatp"] = 0
    assert bench.run("load", PLACE) is None
    assert bench.host["a1"] == VALUE
    bench.host["vsatp"], bench.host["hgatp"] = bench.first.satp, 0
    bench.first.map(INSIDE, FRAME)
    bench.host["a1"] = 0
    bench.fenced()
    assert bench.run("load") is None
    assert bench.host["a1"] == VALUE


def test_guest_physical_addresses_are_two_bits_wider(bench):
    """Sv39x4: 41 bits; the root has four pages. One bit more is a guest-page fault."""
    bench.host["vsatp"] = 0
    index = (1 << 40 | PLACE) >> 30
    table = bench.host.word(bench.second.root + 8 * (PLACE >> 30))
    bench.host.store(bench.second.root + 8 * index, table)
    assert bench.run("load", 1 << 40 | PLACE) is None
    assert bench.host["a1"] == VALUE
    assert bench.run("load", 1 << 41 | PLACE) == (LOAD_GUEST, 1 << 41 | PLACE, (1 << 41 | PLACE) >> 2, 0)


def test_superpage_of_the_guest_in_pages_of_the_host(bench):
    """Each page of it has its own; a fence of the guest for one address ends all that the entry gave."""
    host, size = bench.host, 1 << 21
    for number in range(4):
        bench.second.map(PLACE + number % 2 * PAGE + number // 2 * size, FRAME + number * PAGE)
        host.store(FRAME + number * PAGE, number)
    entry = bench.first.map(size, PLACE, level=1)
    bench.first.map(0x7000, entry // PAGE * PAGE)
    assert bench.run("load", size + PAGE) is None
    assert host["a1"] == 1
    host["a2"], host["a3"] = 0x7000 + entry % PAGE, pte(PLACE + size, ALL)
    assert bench.run("twice", size) is None
    assert (host["a1"], host["a4"]) == (0, 2)
    assert bench.run("load", size + PAGE) is None
    assert host["a1"] == 3


@pytest.mark.parametrize("label, cause", [("load", LOAD_GUEST), ("store", STORE_GUEST), ("swap", STORE_GUEST),
                                          ("jump", FETCH_GUEST)])
def test_page_that_the_host_does_not_give(label, cause, bench):
    """htval is the guest-physical address, shifted right by two; the value is the virtual one."""
    bench.host.store(bench.second_entry, 0)
    assert bench.run(label, INSIDE + 0x128) == (cause, INSIDE + 0x128, (PLACE + 0x128) >> 2, 0)


@pytest.mark.parametrize("label, cause", [("load", LOAD_PAGE), ("store", STORE_PAGE), ("jump", 12)])
def test_page_that_the_guest_does_not_have_is_its_own_fault(label, cause, bench):
    bench.host.store(bench.entry, 0)
    assert bench.run(label) == (cause, INSIDE, 0, 0)


def test_table_that_the_host_does_not_give(bench):
    """htval is where the entry is, htinst says that it was read for the walk."""
    other = PLACE + 0x10_0000
    middle = bench.first.place(INSIDE, 1)
    bench.host.store(middle, pte(other, V))
    place = other + 8 * (INSIDE >> 12 & 511)
    assert bench.run("load") == (LOAD_GUEST, INSIDE, place >> 2, 0x3000)
    assert bench.run("store") == (STORE_GUEST, INSIDE, place >> 2, 0x3000)
    assert bench.run("jump") == (FETCH_GUEST, INSIDE, place >> 2, 0x3000)


def test_table_that_the_host_lets_be_read_only(guest):
    """To set A in it is a store of the walk's; the fault is that of the access."""
    bench = Bench(guest)
    bench.host["menvcfg"] |= mask("menvcfg", "ADUE")
    bench.host["henvcfg"] = mask("henvcfg", "ADUE")
    other, entry = PLACE + 0x10_0000, INSIDE >> 12 & 511
    bench.host.store(bench.first.place(INSIDE, 1), pte(other, V))
    bench.second.map(other, BASE + 0x4000, V | R | U | A)
    bench.host.store(BASE + 0x4000 + 8 * entry, pte(PLACE, ALL & ~(A | D)))
    assert bench.run("load") == (LOAD_GUEST, INSIDE, other + 8 * entry >> 2, 0x3020)
    bench.second.map(other, BASE + 0x4000)
    bench.fenced()
    assert bench.run("load") is None
    assert bench.host.word(BASE + 0x4000 + 8 * entry) == pte(PLACE, ALL & ~D)


# --- Permissions -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("flags, load, store", [
    (V | R | W | A | D | U, True, True), (V | R | A | D | U, True, False), (V | X | A | D | U, False, False),
    (ALL, False, False), (V | R | W | U, False, False), (V | R | W | A | U, True, False),
    (V | W | U | A | D, False, False),
])  # fmt: skip
def test_host_permits(flags, load, store, bench):
    """U must be set, whoever in the guest it is; A and D as in any table."""
    bench.host["menvcfg"] = 0
    bench.second.map(PLACE, FRAME, flags)
    assert (bench.run("load") is None) == load
    assert (bench.run("store") is None) == store
    bench.fenced()
    assert (bench.run("store") is None) == store
    assert (bench.run("load") is None) == load


@pytest.mark.parametrize("own, hosts, guest_page, host_page, permitted", [
    (MXR, 0, X, R | X, True), (MXR, 0, X, X, False), (0, MXR, X, X, True), (0, 0, X, R, False), (0, MXR, R, X, True),
])
def test_executable_is_readable_for_whoever_says_so(own, hosts, guest_page, host_page, permitted, bench):
    """vsstatus.MXR is about the guest's tables, sstatus.MXR about both."""
    bench.first.map(INSIDE, PLACE, V | A | D | guest_page)
    bench.second.map(PLACE, FRAME, V | A | D | U | host_page)
    bench.host["vsstatus"], bench.host["sstatus"] = own, hosts
    assert (bench.run("load") is None) == permitted


def test_user_pages_of_the_guest_need_its_sum(bench):
    bench.first.map(INSIDE, PLACE, ALL | U)
    bench.host["sstatus"] = SUM
    assert bench.run("load") == (LOAD_PAGE, INSIDE, 0, 0)
    bench.host["vsstatus"], bench.host["sstatus"] = SUM, 0
    assert bench.run("load") is None


@pytest.mark.parametrize("registers, sets", [((0, 0), False), ((1, 0), False), ((0, 1), False), ((1, 1), True)])
def test_bits_are_set_where_both_registers_say_so(registers, sets, guest):
    """henvcfg.ADUE is 0 where menvcfg's is."""
    bench = Bench(guest)
    for name, value in zip(("menvcfg", "henvcfg"), registers, strict=True):
        bench.host[name] = value * mask(name, "ADUE")
    bench.host.store(bench.entry, pte(PLACE, ALL & ~(A | D)))
    assert (bench.run("store") is None) == sets
    assert bench.host.word(bench.entry) == pte(PLACE, ALL if sets else ALL & ~(A | D))


# --- Fences and address spaces ---------------------------------------------------------------------------------------

def test_guest_fences_its_own_page(bench):
    """It changes the entry through another page of its own."""
    bench.first.map(0x7000, bench.entry // PAGE * PAGE)
    bench.second.map(PLACE + PAGE, FRAME + PAGE)
    bench.host.store(FRAME + PAGE, 9)
    bench.host["a2"], bench.host["a3"] = 0x7000 + bench.entry % PAGE, pte(PLACE + PAGE, ALL)
    assert bench.run("twice") is None
    assert (bench.host["a1"], bench.host["a4"]) == (VALUE, 9)


@pytest.mark.parametrize("fence", [
    word("hfence.gvma", rs1=0, rs2=0), word("hfence.gvma", rs1=A2, rs2=0), word("hfence.gvma", rs1=0, rs2=A1),
    word("hinval.gvma", rs1=A2, rs2=A1),
])
def test_host_fences_guest_physical_pages(fence, guest):
    bench = Bench(guest)
    bench.host = host_again(guest, bench, f"sd a3, 0(a0); {fence}; wfi")
    assert bench.run("load") is None
    assert bench.host["a1"] == VALUE
    change(bench, bench.second_entry, pte(FRAME + PAGE, ALL | U), PLACE >> 2, 3)
    assert bench.run("load") is None
    assert bench.host["a1"] == 9


@pytest.mark.parametrize("fence", [
    word("hfence.vvma", rs1=0, rs2=0), word("hfence.vvma", rs1=A2, rs2=0), word("hfence.vvma", rs1=0, rs2=A1),
    word("hinval.vvma", rs1=A2, rs2=A1),
])
def test_host_fences_pages_of_its_guest(fence, guest):
    bench = Bench(guest)
    bench.host = host_again(guest, bench, f"sd a3, 0(a0); {fence}; wfi")
    bench.second.map(PLACE + PAGE, FRAME + PAGE)
    assert bench.run("load") is None
    assert bench.host["a1"] == VALUE
    change(bench, bench.entry, pte(PLACE + PAGE, ALL), INSIDE, 0)
    assert bench.run("load") is None
    assert bench.host["a1"] == 9


def host_again(guest, bench, source):
    """The same tables with a program more."""
    host = host_of(guest, PROGRAM + "change:" + source)
    host.memory.write(BASE + 0x1000, bench.host.memory.read(BASE + 0x1000, 0x1F_F000 - 0x1000))
    for name in ("vsatp", "hgatp"):
        host[name] = bench.host[name]
    bench.first.guest = bench.second.guest = host
    host.store(FRAME + PAGE, 9)
    return host


def change(bench, place, entry, address, number):
    """HS-mode stores an entry, and fences."""
    host = bench.host
    host["a0"], host["a3"], host["a2"], host["a1"] = place, entry, address, number
    enter(host, "change", Privilege.SUPERVISOR)
    host.finish()


def test_guests_are_told_apart_by_their_number(bench):
    """The same addresses, other pages; and back, where nothing was forgotten that matters."""
    host = bench.host
    other = bench.second.another(TABLES + 0xC_0000)
    other.map(CODE, CODE, level=1)
    other.map(PLACE, FRAME + PAGE)
    host.store(FRAME + PAGE, 9)
    for machine, tables, value in ((3, bench.second, VALUE), (4, other, 9), (3, bench.second, VALUE)):
        host["hgatp"] = tables.hgatp(machine)
        assert bench.run("load") is None
        assert host["a1"] == value


# --- hlv, hlvx, hsv --------------------------------------------------------------------------------------------------

def test_host_loads_and_stores_as_its_guest(bench):
    host = bench.host
    host["hstatus"] = SPVP
    assert bench.run("hlv", privilege=Privilege.SUPERVISOR) is None
    assert host["a1"] == VALUE
    assert bench.run("hlv_w", privilege=Privilege.SUPERVISOR) is None
    assert host["a1"] == 0xFFFF_FFFF_89AB_CDEF
    host["a1"] = 0x1FF
    assert bench.run("hsv_b", INSIDE + 1, privilege=Privilege.SUPERVISOR) is None
    assert host.word(FRAME) == 0x0123_4567_89AB_FFEF
    host["a1"] = 77
    assert bench.run("hsv", INSIDE + 0x100, privilege=Privilege.MACHINE) is None
    assert host.word(FRAME + 0x100) == 77


def test_host_is_as_privileged_as_its_guest_was(bench):
    """hstatus.SPVP: in VU-mode a page of VS-mode's is none."""
    assert bench.run("hlv", privilege=Privilege.SUPERVISOR) == (LOAD_PAGE, INSIDE, 0, 0)
    bench.first.map(INSIDE, PLACE, ALL | U)
    assert bench.run("hlv", privilege=Privilege.SUPERVISOR) is None
    bench.host["hstatus"] = SPVP
    assert bench.run("hlv", privilege=Privilege.SUPERVISOR) == (LOAD_PAGE, INSIDE, 0, 0)


def test_faults_of_such_accesses_are_the_guest_s(bench):
    """GVA is set, SPV is not: nothing of the guest was running."""
    bench.host["hstatus"] = SPVP
    bench.host.store(bench.second_entry, 0)
    assert bench.run("hlv", INSIDE + 8, Privilege.SUPERVISOR) == (LOAD_GUEST, INSIDE + 8, PLACE + 8 >> 2, 0)
    assert bench.run("hsv", INSIDE, Privilege.SUPERVISOR) == (STORE_GUEST, INSIDE, PLACE >> 2, 0)
    assert not bench.host["hstatus"] & mask("hstatus", "SPV")
    enter(bench.host, "load", Privilege.SUPERVISOR)
    bench.host["a0"] = 0x10_0000_0000
    bench.host.finish()
    assert bench.host["scause"] == 5
    assert not bench.host["hstatus"] & GVA


def test_code_is_read_where_it_may_be_executed(bench):
    """hlvx needs no permission to read, and one to execute, in both stages."""
    bench.host["hstatus"] = SPVP
    for first, second, permitted in ((X, X, True), (R, X, False), (X, R, False)):
        bench.first.map(INSIDE, PLACE, V | A | D | first)
        bench.second.map(PLACE, FRAME, V | A | D | U | second)
        result = bench.run("hlvx", INSIDE, Privilege.SUPERVISOR)
        assert (result is None) == permitted
        if not permitted:
            assert result[0] == (LOAD_PAGE if first == R else LOAD_GUEST)
    assert bench.host["a1"] == 0x89AB_CDEF


def test_user_needs_a_permission_for_it(bench):
    bench.first.map(INSIDE, PLACE, ALL | U)
    assert bench.run("hlv", privilege=Privilege.USER) == (ILLEGAL, bench.host.word("hlv", 4), 0, 0)
    bench.host["hstatus"] = HU
    enter(bench.host, "hlv", Privilege.USER)
    bench.host["a0"], bench.host["a1"] = INSIDE, 0
    bench.host.run(1)
    assert bench.host["a1"] == VALUE


def test_access_across_pages(bench):
    host = bench.host
    host["hstatus"] = SPVP
    bench.first.map(INSIDE + PAGE, PLACE + PAGE)
    fault = bench.run("hlv", INSIDE + PAGE - 4, Privilege.SUPERVISOR)
    assert fault == (LOAD_GUEST, INSIDE + PAGE, PLACE + PAGE >> 2, 0)
    host["a1"] = VALUE
    assert bench.run("hsv", INSIDE + PAGE - 4, Privilege.SUPERVISOR)[0] == STORE_GUEST
    assert host.word(FRAME + PAGE - 4, 4) == 0
    bench.second.map(PLACE + PAGE, FRAME + 3 * PAGE)
    host["a1"] = VALUE
    assert bench.run("hsv", INSIDE + PAGE - 4, Privilege.SUPERVISOR) is None
    assert (host.word(FRAME + PAGE - 4, 4), host.word(FRAME + 3 * PAGE, 4)) == (0x89AB_CDEF, 0x0123_4567)
    host["a1"] = 0
    assert bench.run("hlv", INSIDE + PAGE - 4, Privilege.SUPERVISOR) is None
    assert host["a1"] == VALUE


def test_device_of_the_guest_s(bench):
    """It may have one of the host's; what is not there is an access fault."""
    host = bench.host
    bench.second.map(PLACE, CLINT // PAGE * PAGE)
    host["hstatus"] = SPVP
    host["a1"] = 1 << 40
    assert bench.run("hsv", INSIDE + CLINT % PAGE, Privilege.SUPERVISOR) is None
    assert host.native.mtimecmp == 1 << 40
    host["a1"] = 0
    assert bench.run("hlv", INSIDE + CLINT % PAGE, Privilege.SUPERVISOR) is None
    assert host["a1"] == 1 << 40
    assert bench.run("load", INSIDE + CLINT % PAGE) is None
    assert host["a1"] == 1 << 40
    bench.host["hstatus"] |= SPVP
    bench.second.map(PLACE, 0x4000_0000)
    assert bench.run("hlv", INSIDE, Privilege.SUPERVISOR) == (5, INSIDE, 0, 0)


def test_store_into_code_is_noticed(bench):
    """The guest has run it; the host changes it."""
    host = bench.host
    host.store(FRAME, 0x0015_0513_0015_0513)            # addi a0, a0, 1, twice
    host.store(FRAME + 8, 0x0000_0073, 4)
    for expected in (2, 5):
        host["a0"], host.hart.pc = 0, INSIDE
        host.hart.privilege = VS
        host.finish()
        assert host["a0"] == expected
        host["hstatus"], host["a1"] = SPVP, 0x0035_0513_0025_0513
        assert bench.run("hsv", privilege=Privilege.SUPERVISOR) is None


# --- From outside ----------------------------------------------------------------------------------------------------

def test_looking_into_a_guest(bench):
    host = bench.host
    host.hart.privilege = VS
    assert host.hart.virtual.physical(INSIDE + 8) == FRAME + 8
    assert host.hart.virtual.read(INSIDE, 8) == VALUE.to_bytes(8, "little")
    host.hart.privilege = Privilege.SUPERVISOR
    assert host.hart.virtual.physical(FRAME) == FRAME


def test_machine_mode_reaches_a_guest(bench):
    """mstatus.MPRV with MPV; the fault says so by GVA."""
    host = bench.host
    status = mask("mstatus", "MPRV MPV") | 1 << 11
    host["mstatus"], host["a0"] = status, INSIDE
    enter(host, "load", Privilege.MACHINE)
    host.finish()
    assert (host["a1"], host["mcause"]) == (VALUE, 11)
    host.store(bench.second_entry, 0)
    bench.fenced()
    host["mstatus"], host["a0"] = status, INSIDE
    enter(host, "load", Privilege.MACHINE)
    assert host.trap() == (LOAD_GUEST, host.address("load"), INSIDE)
    assert (host["mtval2"], host["mtinst"]) == (PLACE >> 2, 0)
    assert host["mstatus"] & mask("mstatus", "GVA MPV") == mask("mstatus", "GVA")


@pytest.mark.parametrize("label, cause", [("hlv", 5), ("hlvx", 5), ("hsv", 7)])
def test_host_finds_nothing_behind_its_guest_s_address(label, cause, bench):
    """The value is that address, and GVA says whose it is."""
    bench.host["hstatus"] |= SPVP
    bench.second.map(PLACE, 0x4000_0000)
    assert bench.run(label, INSIDE + 0x128, Privilege.SUPERVISOR) == (cause, INSIDE + 0x128, 0, 0)
