"""Zicfilp and Zicfiss: chapters "Control-flow Integrity" of the unprivileged and the privileged specification.

Random accesses to pages of shadow stacks are compared with Spike in tests/conformance/test_guest_memory.py, and the
registers in test_guest_csrs.py.
"""

import pytest

from tests.assembler import BASE
from tests.native.riscv.guests import word
from tests.native.riscv.paging import A, D, PageTables, R, U, V, W, X
from vm import Machine
from vm.privilege import Privilege
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import encode

pytestmark = pytest.mark.usefixtures("dispatch")

ISA = "rv64gc_zimop_zcmop_zicntr_svade_svadu_sv57_zicfilp_zicfiss"
FETCH_ACCESS, ILLEGAL, STORE_ACCESS, FETCH_PAGE, STORE_PAGE, SOFTWARE_CHECK = 1, 2, 7, 12, 15, 18
LANDING_PAD, SHADOW_STACK = 2, 3        # values of a software check
MLPE, LPE, SSE = mask("mseccfg", "MLPE"), mask("menvcfg", "LPE"), mask("menvcfg", "SSE")
LABEL = 0xABCDE
STACK, PLAIN, READ_ONLY = 0x4000_0000, 0x4000_1000, 0x4000_2000     # virtual: pages behind the program
FRAMES = BASE + 0x10000
VALUE = 0x0123_4567_89AB_CDE0


# --- Landing pads ----------------------------------------------------------------------------------------------------

def lpad(label: int = 0) -> str:
    return f".word {label << 12 | 0x17:#x}"


JUMPS = f"""
    jalr a0
    wfi
    .balign 4
pad:
    {lpad()}
    li   a1, 1
    wfi
    .balign 4
labelled:
    {lpad(LABEL)}
    li   a1, 2
    wfi
    .balign 4
none:
    li   a1, 3
    wfi
    .balign 4
    .half 1
shifted:
    {lpad()}
    li   a1, 4
    wfi
"""


def jumps(guest, source=JUMPS, **options):
    g = guest(source, isa=ISA, **options)
    g["mseccfg"], g["a1"] = MLPE, 0
    return g


@pytest.mark.parametrize("label, x7, landed", [
    ("pad", 0, 1), ("pad", LABEL << 12, 1), ("labelled", LABEL << 12, 2),
    ("labelled", 0xF << 32 | LABEL << 12 | 0xFFF, 2),
    ("labelled", 0, None), ("labelled", LABEL - 1 << 12, None), ("none", 0, None), ("shifted", 0, None),
])  # fmt: skip
def test_a_call_by_pointer_has_to_land_on_a_pad(label, x7, landed, guest):
    g = jumps(guest)
    g["a0"], g["t2"] = g.address(label), x7
    if landed:
        g.finish()
        assert g["a1"] == landed and g["ra"] == BASE + 2
        return
    assert g.trap() == (SOFTWARE_CHECK, g.address(label), LANDING_PAD)
    assert g["mstatus"] & mask("mstatus", "MPELP")
    assert g["a1"] == 0 and g["ra"] == BASE + 2


@pytest.mark.parametrize("jump, register", [
    ("jr a0", "a0"), ("jalr a0", "a0"), ("jalr x0, 0(a0)", "a0"), ("jalr s1, 0(a0)", "a0"), ("jr s2", "s2"),
])
def test_every_jump_by_pointer_expects_one(jump, register, guest):
    g = jumps(guest, f"{jump}\n.balign 4\ntarget: nop\nwfi")
    g[register] = g.address("target")
    assert g.trap() == (SOFTWARE_CHECK, g.address("target"), LANDING_PAD)


@pytest.mark.parametrize("jump, register", [("ret", "ra"), ("jr t0", "t0"), ("jr t2", "t2"), ("jalr ra, 0(ra)", "ra")])
def test_returns_and_guarded_jumps_do_not(jump, register, guest):
    g = jumps(guest, f"{jump}\n.balign 4\ntarget: li a1, 5\nwfi")
    g[register] = g.address("target")
    g.finish()
    assert g["a1"] == 5


def test_who_sets_the_pc_from_outside_need_not_land_on_a_pad(guest):
    g = jumps(guest)
    g["a0"] = g.address("none")
    g.machine.run(instructions=1)
    g.hart.pc = g.hart.pc                       # it stays where the jump led
    assert g.trap().cause == SOFTWARE_CHECK
    g.hart.pc = BASE
    g.machine.run(instructions=1)
    g.hart.pc = g.address("none") + 4
    g.finish()


def test_off_a_pad_is_nothing(guest):
    g = jumps(guest)
    g["mseccfg"], g["a0"] = 0, g.address("none")
    g.finish()
    assert g["a1"] == 3
    g["a0"], g.hart.pc = g.address("labelled"), BASE
    g.finish()
    assert g["a1"] == 2


def test_direct_jumps_need_no_pad_and_pads_may_be_passed(guest):
    g = jumps(guest, f"j 1f\nnop\n1: {lpad(77)}\nli a1, 6\nwfi")
    g.finish()
    assert g["a1"] == 6


def test_an_instruction_that_is_none_is_no_pad_first(guest):
    """The check comes before an illegal instruction, and behind a fetch that fails."""
    g = jumps(guest, "jalr a0\n.balign 4\ntarget: .word 0xFFFFFFFF")
    g["a0"] = g.address("target")
    assert g.trap() == (SOFTWARE_CHECK, g.address("target"), LANDING_PAD)
    g.hart.pc, g["a0"] = BASE, 0x10_0000_0000
    assert g.trap() == (FETCH_ACCESS, 0x10_0000_0000, 0x10_0000_0000)
    assert g["mstatus"] & mask("mstatus", "MPELP")


def test_a_trap_keeps_what_was_expected_and_a_return_restores_it(guest):
    """An exception of the fetch, to S-mode, which has no pads itself."""
    g = jumps(guest, f"jalr a0\nwfi\n.balign 4\ntarget: {lpad()}\nli a1, 7\necall")
    g.open_pmp()
    tables = PageTables(g, "sv39")
    entry = tables.map(BASE, BASE, V | R | W | X | A | D | U, level=1)
    other = tables.map(STACK, BASE, V | R | A | U)              # of which nothing is fetched
    g["satp"], g["medeleg"] = tables.satp, mask("medeleg", "FETCH_PAGE SOFTWARE_CHECK")
    g["senvcfg"] = LPE
    handler = PageTables.map(tables, STACK + 0x10_0000, BASE, V | R | X | A, level=0)
    assert entry != other != handler
    g["stvec"] = STACK + 0x10_0000 + g.address("trap_s") - BASE
    g["a0"] = STACK + g.address("target") - BASE
    g.hart.privilege = Privilege.USER
    g.finish()
    assert (g["scause"], g["sepc"]) == (FETCH_PAGE, g["a0"])
    assert g["sstatus"] & mask("sstatus", "SPELP")
    # sret finds the pad ...
    sret = g.address("trap_s")
    g.store(sret, encode("sret"), 4)
    g.hart.pc, g["sepc"] = g["stvec"], g.address("target")
    assert g.trap().cause == 8 and g["a1"] == 7
    assert not g["mstatus"] & mask("mstatus", "SPELP MPELP")
    # ... or does not; and expects none where they are off for U-mode
    for envcfg, cause in ((LPE, SOFTWARE_CHECK), (0, 8)):
        g["senvcfg"] = envcfg
        g["medeleg"] = 0
        g["sstatus"] = mask("sstatus", "SPELP")
        g["sepc"] = g.address("target") + 4
        g.hart.pc, g.hart.privilege = g["stvec"], Privilege.SUPERVISOR
        assert g.trap().cause == cause
        assert bool(g["mstatus"] & mask("mstatus", "MPELP")) == (cause == SOFTWARE_CHECK)


def test_an_interrupt_between_jump_and_pad(guest):
    """Wherever it comes, the state is that of a run without it, as mret restores it."""
    g = jumps(guest, f"""
        la   t0, handler
        csrw mtvec, t0
        li   s0, 3000
    again:
        la   a0, target
        jr   a0
        wfi
        .balign 4
    target:
        {lpad()}
        addi s0, s0, -1
        nop
        bnez s0, again
        li   a1, 8
        csrw mie, zero
        wfi
        .balign 4
    handler:
        csrr t3, mstatus
        or   s1, s1, t3
        addi s2, s2, 1
        li   t3, 0x2004000
        li   t4, 0x200BFF8
        ld   t4, (t4)
        addi t4, t4, 1
        sd   t4, (t3)
        mret
    """, clock="virtual")
    g["mie"], g["mstatus"] = mask("mie", "MTIE"), mask("mstatus", "MIE")
    g.native.mtimecmp = 1
    g.finish()
    assert g["a1"] == 8 and g["mcause"] == 1 << 63 | 7 and g["s2"] > 100
    assert g["s1"] & mask("mstatus", "MPELP")               # one at least came there


def test_snapshot_between_jump_and_pad(guest):
    g = jumps(guest)
    g["a0"] = g.address("none")
    g.run(1)
    assert g.hart.pc == g.address("none")
    twin = g.machine.fork()
    with twin:
        twin.run(instructions=1)
        assert (twin.harts[0].csr["mcause"], twin.harts[0].csr["mtval"]) == (SOFTWARE_CHECK, LANDING_PAD)


def test_without_c_a_jump_still_expects_a_pad():
    with Machine(memory="1M", isa="rv64im_zicfilp") as machine:
        code = [encode("jalr", rd=1, rs1=10), encode("addi", rd=11, rs1=0, imm=1), 0x17,
                encode("addi", rd=11, rs1=0, imm=2)]
        machine.load(b"".join(one.to_bytes(4, "little") for one in code), address=BASE)
        hart = machine.harts[0]
        for target, trapped in ((BASE + 8, False), (BASE + 4, True)):
            hart.pc, hart["a0"], hart["a1"] = BASE, target, 0
            hart.csr["mseccfg"], hart.csr["mtvec"], hart.csr["mcause"] = MLPE, BASE + 0x100, 0
            machine.run(instructions=2 if trapped else 3)
            assert hart.csr["mcause"] == (SOFTWARE_CHECK if trapped else 0)
            assert hart["a1"] == (0 if trapped else 2)


# --- Shadow stacks ---------------------------------------------------------------------------------------------------

def test_encodings_by_the_manual():
    """Its figures; an assembler has them as an experiment only."""
    assert encode("sspush", rs2=1) == 0b1100111_00001_00000_100_00000_1110011
    assert encode("sspush", rs2=5) == 0b1100111_00101_00000_100_00000_1110011
    assert encode("sspopchk", rs1=1) == 0b110011011100_00001_100_00000_1110011
    assert encode("sspopchk", rs1=5) == 0b110011011100_00101_100_00000_1110011
    assert encode("ssrdp", rd=11) == 0b110011011100_00000_100_01011_1110011
    assert encode("c.sspush") == 0b011_0_0_000_1_00000_01
    assert encode("c.sspopchk") == 0b011_0_0_010_1_00000_01
    assert encode("ssamoswap.w", rd=11, rs1=10, rs2=12, aq=1) == 0b01001_1_0_01100_01010_010_01011_0101111
    assert encode("ssamoswap.d", rd=11, rs1=10, rs2=12, rl=1) == 0b01001_0_1_01100_01010_011_01011_0101111


def half(name: str) -> str:
    return f".half {encode(name):#x}"


PUSH, POP, PUSH5, POP5 = word("sspush", rs2=1), word("sspopchk", rs1=1), word("sspush", rs2=5), word("sspopchk", rs1=5)
READ, SWAP = word("ssrdp", rd=11), word("ssamoswap.d", rd=11, rs1=10, rs2=12)


def stacked(guest, source, envcfg=SSE, mode=Privilege.USER):
    """The program with three pages behind it: of a shadow stack, an ordinary one, and one to read."""
    g = guest(f"{source}\necall", isa=ISA)
    g.open_pmp()
    tables = PageTables(g, "sv39")
    user = U if mode == Privilege.USER else 0
    tables.map(BASE, BASE, V | R | W | X | A | D | user, level=1)
    for number, (place, flags) in enumerate(((STACK, W), (PLAIN, R | W), (READ_ONLY, R))):
        tables.map(place, FRAMES + 0x1000 * number, V | A | D | user | flags)
    g["satp"], g["menvcfg"], g["senvcfg"] = tables.satp, envcfg, envcfg
    g["ssp"], g["ra"], g["t0"] = STACK + 0x800, VALUE, VALUE + 2
    g.hart.privilege = mode
    return g


def test_push_and_pop(guest):
    g = stacked(guest, f"{PUSH}\n{half('c.sspush')}\n{PUSH5}\n{READ}\n{POP5}\n{POP}\n{POP}")
    g["a1"] = 0
    assert g.trap().cause == 8
    assert g["ssp"] == STACK + 0x800 and g["a1"] == STACK + 0x800 - 24
    assert [g.word(FRAMES + 0x800 - 8 * n) for n in (1, 2, 3)] == [VALUE, VALUE, VALUE + 2]


def test_pop_of_something_else(guest):
    for pop, register in ((POP, "ra"), (POP5, "t0"), (half("c.sspopchk"), "t0")):
        g = stacked(guest, pop)
        g.store(FRAMES + 0x800, g[register] ^ 1 << 63)
        assert g.trap() == (SOFTWARE_CHECK, BASE, SHADOW_STACK)
        assert g["ssp"] == STACK + 0x800
        g.store(FRAMES + 0x800, g[register])
        g.hart.pc, g.hart.privilege = BASE, Privilege.USER
        assert g.trap().cause == 8 and g["ssp"] == STACK + 0x808


@pytest.mark.parametrize("instruction", [PUSH, POP, SWAP])
@pytest.mark.parametrize("place, cause", [(PLAIN, STORE_ACCESS), (READ_ONLY, STORE_PAGE), (STACK + 0x3000, STORE_PAGE)])
def test_only_pages_of_shadow_stacks(instruction, place, cause, guest):
    g = stacked(guest, instruction)
    g["ssp"] = g["a0"] = place + 0x800
    assert g.trap() == (cause, BASE, place + 0x800 - 8 * (instruction == PUSH))
    assert g["ssp"] == place + 0x800


@pytest.mark.parametrize("access, cause, of_stack", [
    ("ld a1, 0(a0)", None, STACK), ("sd a1, 0(a0)", STORE_ACCESS, STACK),
    ("amoadd.d a1, a1, (a0)", STORE_ACCESS, STACK),
    ("ld a1, 0(a0); sd a1, 0(a0)", STORE_ACCESS, STACK), ("jr a0", FETCH_ACCESS, STACK),
    ("lr.d a1, (a0); sc.d a2, a1, (a0)", STORE_ACCESS, STACK),
])  # fmt: skip
def test_what_others_may_do_there(access, cause, of_stack, guest):
    g = stacked(guest, access)
    g["a0"] = of_stack + 0x800
    g.store(FRAMES + 0x800, VALUE)
    trap = g.trap()
    assert trap.cause == (cause or 8)
    if cause is None:
        assert g["a1"] == VALUE
    else:
        assert trap.value == of_stack + 0x800 and g.word(FRAMES + 0x800) == VALUE


def test_swap(guest):
    g = stacked(guest, SWAP + "\n" + word("ssamoswap.w", rd=13, rs1=10, rs2=12))
    g["a0"], g["a2"] = STACK + 0x10, VALUE
    g.store(FRAMES + 0x10, 7)
    assert g.trap().cause == 8
    assert (g["a1"], g["a3"]) == (7, 0xFFFF_FFFF_89AB_CDE0) and g.word(FRAMES + 0x10) == VALUE


def test_off_they_are_may_be_operations(guest):
    g = stacked(guest, f"{PUSH}\n{half('c.sspush')}\n{READ}\n{POP}\n{half('c.sspopchk')}", envcfg=0)
    g["a1"] = 9
    assert g.trap().cause == 8
    assert g["a1"] == 0 and g["ssp"] == STACK + 0x800
    g = stacked(guest, SWAP, envcfg=0)
    assert g.trap().cause == ILLEGAL


def test_off_the_pages_are_reserved(guest):
    g = stacked(guest, "ld a1, 0(a0)", envcfg=0)
    g["a0"] = STACK
    assert g.trap().cause == 13


def test_machine_mode_has_none(guest):
    g = stacked(guest, f"{PUSH}\n{READ}\n{SWAP}", mode=Privilege.SUPERVISOR)
    g.hart.privilege, g["a0"], g["a1"] = Privilege.MACHINE, STACK, 9
    assert g.trap() == (STORE_ACCESS, BASE + 8, STACK)
    assert g["a1"] == 0
    # but may exchange what is of a lower mode
    g["mstatus"] = mask("mstatus", "MPRV") | 1 << 11
    g.hart.pc, g["a2"] = BASE + 8, 11
    g.trap()
    assert g.word(FRAMES) == 11


def test_without_paging_there_are_none(guest):
    g = stacked(guest, PUSH)
    g["satp"], g["ssp"] = 0, FRAMES
    assert g.trap() == (STORE_ACCESS, BASE, FRAMES - 8)


def test_pointer_is_aligned_and_guarded(guest):
    g = stacked(guest, "csrw 0x011, a0; csrr a1, 0x011")
    g["a0"] = STACK + 7
    assert g.trap().cause == 8 and g["a1"] == STACK
    for envcfg in ("menvcfg", "senvcfg"):
        g = stacked(guest, "csrr a1, 0x011")
        g[envcfg] = 0
        assert g.trap().cause == ILLEGAL
    g = stacked(guest, "csrr a1, 0x011", mode=Privilege.SUPERVISOR)
    g["senvcfg"] = 0
    assert g.trap().cause == 9


def test_of_code_on_a_shadow_stack_nothing_remains(guest):
    """A page that was code: what is pushed there drops what was translated."""
    g = stacked(guest, f"jalr a0\n{PUSH}\njalr a0")
    tables = PageTables(g, "sv39")
    tables.map(BASE, BASE, V | R | W | X | A | D | U, level=1)
    tables.map(STACK, FRAMES, V | W | A | D | U)
    tables.map(PLAIN, FRAMES, V | R | X | A | U)
    g["satp"] = tables.satp
    g.store(FRAMES + 0x7F8, encode("addi", rd=13, rs1=13, imm=1), 4)
    g.store(FRAMES + 0x7FC, encode("jalr", rd=0, rs1=1), 4)
    g["a0"], g["a3"] = PLAIN + 0x7F8, 0
    assert g.trap().cause == ILLEGAL            # what was pushed is an address, and no instruction
    assert g["a3"] == 1
