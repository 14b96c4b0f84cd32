"""Pointer masking: privileged specification, chapter "Pointer Masking Extensions".

Random cases beside Spike, with guests, are in tests/conformance/test_guest_memory.py.
"""

import pytest

from tests.assembler import BASE
from tests.native.riscv.guests import word
from tests.native.riscv.paging import PageTables
from vm.privilege import Privilege
from vm_native.riscv.csrs import mask

pytestmark = pytest.mark.usefixtures("dispatch")

ISA = "rv64gcv_zacas_zicboz_zicbom_zicntr_svade_svadu_sv57_sdtrig_smmpm_smnpm_ssnpm"
TOP7, TOP16 = 2 << 32, 3 << 32          # PMM, of every register but hstatus
PLACE = BASE + 0x10000
VALUE = 0x0123_4567_89AB_CDEF
FETCH_ACCESS, BREAKPOINT, LOAD_ACCESS, STORE_ACCESS, LOAD_PAGE, STORE_PAGE = 1, 3, 5, 7, 13, 15
MXR, MPRV = mask("mstatus", "MXR"), mask("mstatus", "MPRV")
U64 = (1 << 64) - 1
TAG7, TAG16 = 0x55 << 57, 0xA5A5 << 48
NOWHERE = 0x4000_0000
DOUBLES = f"li a2, 1; {word('vsetvli', imm=0x18, rs1=12, rd=0)}"       # a vector of one
ACCESSES = {
    "ld a1, 0(a0)": VALUE,
    "lbu a1, 1(a0)": 0xCD,
    "c.ld a1, 0(a0)": VALUE,
    "ld a1, 1(a0)": VALUE >> 8,
    "fld fa0, 0(a0); fmv.x.d a1, fa0": VALUE,
    "lr.d a1, (a0)": VALUE,
    "lr.d a1, (a0); sc.d a2, a1, (a0); add a1, a1, a2": VALUE,
    "li a1, 1; amoadd.d a1, a1, (a0)": VALUE,
    "amoand.w a1, zero, (a0); lwu a1, 0(a0)": 0,
    "li a1, 7; sd a1, 0(a0); ld a1, 0(a0)": 7,
    f"li a2, 9; {word('amocas.d', rd=11, rs1=10, rs2=12)}": VALUE,
    f"li a2, 0; li a3, 0; {word('amocas.q', rd=14, rs1=10, rs2=12)}; mv a1, a4": VALUE,
    f"{word('cbo.zero', rs1=10)}; ld a1, 0(a0)": 0,
    f"{word('cbo.clean', rs1=10)}; ld a1, 0(a0)": VALUE,
    f"{DOUBLES}; {word('vle64.v', vd=8, rs1=10, vm=1)}; {word('vmv.x.s', rd=11, vs2=8)}": VALUE,
}


def build(guest, source, **options):
    g = guest(source, isa=ISA, **options)
    g.open_pmp()
    g["mstatus"] = mask("mstatus", "FS VS")
    g.store(PLACE, VALUE)
    return g


def of_user(guest, source, mode=Privilege.USER, **options):
    """The program in another mode, under Sv39, where PLACE is also at the top of its half."""
    g = build(guest, source, **options)
    tables = PageTables(g, "sv39")
    user = 0 if mode == Privilege.SUPERVISOR else 0x10
    tables.map(BASE, BASE, 0xCF | user, level=1)
    tables.map(-0x1000 & U64, PLACE, 0xC7 | user)
    g["satp"] = tables.satp
    g.hart.privilege = mode
    return g


@pytest.mark.parametrize("access", ACCESSES)
def test_every_access_of_machine_mode_ignores_a_tag(access, guest):
    g = build(guest, f"{access}; wfi")
    g["mseccfg"] = TOP16
    for tag in (0, TAG16, 1 << 48):
        g.store(PLACE, VALUE)
        g.hart.pc = BASE
        g["a0"] = PLACE | tag
        g.finish()
        assert g["a1"] == ACCESSES[access]


def test_of_machine_mode_the_rest_is_0(guest):
    """It is a physical address: bit 56 is no sign."""
    g = build(guest, "ld a1, 0(a0); wfi")
    g["mseccfg"] = TOP7
    g["a0"] = 0x01FF << 48
    assert g.trap() == (LOAD_ACCESS, BASE, 0x01FF << 48)
    g["a0"] = 0xFFFF << 48
    g.hart.pc = BASE
    assert g.trap() == (LOAD_ACCESS, BASE, 0x01FF << 48)


def test_off_it_is_an_address_that_is_nowhere(guest):
    g = build(guest, "ld a1, 0(a0); wfi")
    g["a0"] = PLACE | TAG7
    assert g.trap() == (LOAD_ACCESS, BASE, PLACE | TAG7)


def test_a_virtual_address_has_its_sign_extended(guest):
    g = of_user(guest, "ld a1, 0(a0); ld a2, 0(a3); nop; ecall")
    g["senvcfg"] = TOP16
    g["a0"], g["a3"] = (-0x1000 & 0xFFFF_FFFF_FFFF) | 0x5AA5 << 48, PLACE | TAG16
    assert g.trap().cause == 8
    assert (g["a1"], g["a2"]) == (VALUE, VALUE)


@pytest.mark.parametrize("source, cause", [
    ("ld a1, 0(a0)", LOAD_PAGE), ("sd a1, 0(a0)", STORE_PAGE), ("amoadd.d a1, a1, (a0)", STORE_PAGE),
    (word("cbo.zero", rs1=10), STORE_PAGE), (f"{DOUBLES}; {word('vle64.v', vd=8, rs1=10, vm=1)}", LOAD_PAGE),
])
def test_a_fault_tells_of_the_address_without_tag(source, cause, guest):
    g = of_user(guest, source)
    g["menvcfg"] = mask("menvcfg", "CBZE")
    g["senvcfg"] = TOP7 | mask("senvcfg", "CBZE")
    g["a0"] = (-0x2000 & (1 << 57) - 1) | TAG7
    trap = g.trap()
    assert (trap.cause, trap.value) == (cause, -0x2000 & U64)


def test_each_mode_has_a_setting_of_its_own(guest):
    """menvcfg is about S-mode, senvcfg about U-mode."""
    for mode, mine, other in ((Privilege.SUPERVISOR, "menvcfg", "senvcfg"), (Privilege.USER, "senvcfg", "menvcfg")):
        g = of_user(guest, "ld a1, 0(a0); ecall", mode)
        g[other] = TOP16
        g["a0"] = PLACE | TAG7
        assert g.trap() == (LOAD_PAGE, BASE, PLACE | TAG7)
        g[mine] = TOP7
        g.hart.pc, g.hart.privilege = BASE, mode
        assert g.trap().cause in (8, 9)
        assert g["a1"] == VALUE


def test_no_fetch_is_masked(guest):
    g = build(guest, "jr a0")
    g["mseccfg"] = TOP7
    g["a0"] = BASE | TAG7
    assert g.trap() == (FETCH_ACCESS, BASE | TAG7, BASE | TAG7)


def test_mprv_takes_the_setting_of_its_mode(guest):
    g = of_user(guest, "csrs mstatus, a5; ld a1, 0(a0); csrc mstatus, a5; wfi", Privilege.MACHINE)
    g["a5"], g["a0"] = MPRV, PLACE | TAG7           # MPP is U
    g["mseccfg"] = TOP7
    assert g.trap() == (LOAD_PAGE, BASE + 4, PLACE | TAG7)
    g["mstatus"], g["mseccfg"], g["senvcfg"] = 0, 0, TOP7
    g.hart.pc = BASE
    g.finish()
    assert g["a1"] == VALUE


def test_mxr_ends_it(guest):
    g = build(guest, "ld a1, 0(a0); csrs mstatus, a5; ld a1, 0(a0); wfi")
    g["mseccfg"], g["a5"], g["a0"] = TOP7, MXR, PLACE | TAG7
    assert g.trap() == (LOAD_ACCESS, BASE + 6, PLACE | TAG7)
    assert g["a1"] == VALUE


def test_setting_that_is_reserved(guest):
    g = build(guest, "wfi")
    for name in ("mseccfg", "menvcfg", "senvcfg"):
        for value, kept in ((3, 3), (2, 2), (1, 0)):
            g[name] = value << 32
            assert g[name] >> 32 & 3 == kept


def test_switched_on_and_off_in_a_loop(guest):
    """What the TLB has of either setting is nothing to the other."""
    g = of_user(guest, """
        li   s0, 100
    1:  csrw menvcfg, a3
        ld   a1, 0(a0)
        csrw menvcfg, zero
        ld   a2, 0(a4)
        addi s0, s0, -1
        bnez s0, 1b
        csrs mstatus, a5
        csrw menvcfg, a3
        ld   a1, 0(a0)
        csrw menvcfg, zero
        ld   a2, 0(a0)
    """, Privilege.MACHINE)
    g["a3"], g["a0"], g["a4"], g["a5"] = TOP7, PLACE | TAG7, PLACE, MPRV
    g["mstatus"] = MPRV | 1 << 11 | mask("mstatus", "SUM")
    assert g.trap().value == PLACE | TAG7
    assert g["a1"] == g["a2"] == VALUE and g["s0"] == 0


@pytest.mark.parametrize("offset", [-1, -7])
def test_access_across_pages(offset, guest):
    g = build(guest, "sd a1, 0(a0); ld a2, 0(a0); wfi")
    g["mseccfg"], g["a1"] = TOP16, VALUE
    g["a0"] = PLACE + 0x1000 + offset | TAG16
    g.finish()
    assert g["a2"] == VALUE == g.word(PLACE + 0x1000 + offset)


def test_trigger_matches_without_the_tag(guest):
    g = build(guest, "ld a1, 0(a0); wfi")
    g["mseccfg"], g["a0"] = TOP16, PLACE | TAG16
    g["mstatus"] = mask("mstatus", "MIE")
    g["tdata2"], g["tdata1"] = PLACE, 6 << 60 | 1 << 6 | 1          # M, load
    assert g.trap() == (BREAKPOINT, BASE, PLACE)


def test_store_into_code_by_a_tagged_pointer(guest):
    """It is noticed as any other."""
    g = build(guest, """
        li   s0, 50
    1:  call patched
        addi s0, s0, -1
        bnez s0, 1b
        sw   a1, 0(a0)
        call patched
        wfi

    patched:
        addi a2, a2, 1
        ret
    """)
    g["mseccfg"] = TOP16
    g["a0"], g["a1"] = g.address("patched") | TAG16, 100 << 20 | 0x613       # addi a2, zero, 100
    g.finish()
    assert g["a2"] == 100


def test_an_access_fault_of_a_vector_tells_of_the_address_without_tag(guest):
    g = build(guest, f"{DOUBLES}; {word('vse64.v', vs3=8, rs1=10, vm=1)}")
    g["mseccfg"], g["a0"] = TOP16, NOWHERE | TAG16
    trap = g.trap()
    assert (trap.cause, trap.value) == (STORE_ACCESS, NOWHERE)


def test_a_new_setting_is_about_addresses_that_the_tlb_has(guest):
    """Under Sv57 one that is whole may be another's with 16 bits ignored."""
    g = build(guest, "ld a1, 0(a0); csrs senvcfg, a3; ld a2, 0(a0); wfi")
    tables = PageTables(g, "sv57")
    tables.map(1 << 47, PLACE, 0xD7)
    tables.map(-1 << 47 & U64, PLACE + 0x1000, 0xD7)
    g.store(PLACE + 0x1000, 42)
    g["satp"], g["mstatus"] = tables.satp, MPRV
    g["a0"], g["a3"] = 1 << 47, TOP16
    g.finish()
    assert (g["a1"], g["a2"]) == (VALUE, 42)


@pytest.mark.parametrize("store", ["sd a1, 0(a0)", f"{DOUBLES}; {word('vse64.v', vs3=8, rs1=10, vm=1)}"])
def test_watchers_see_the_address_that_is_accessed(store, guest):
    g = build(guest, f"{store}; ld a1, 0(a0); wfi")
    g["mseccfg"], g["a0"] = TOP16, PLACE | TAG16
    seen = []
    g.machine.on_write(PLACE)(lambda event: seen.append(event.address))
    g.finish()
    assert seen == [PLACE]


def test_python_reads_by_the_addresses_of_the_mode(guest):
    g = of_user(guest, "nop")
    g["senvcfg"] = TOP7
    assert int.from_bytes(g.hart.virtual.read(PLACE | TAG7, 8), "little") == VALUE
