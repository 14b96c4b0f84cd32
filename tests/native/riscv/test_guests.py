"""H 1.0: the worlds of a host and its guest, traps between them, interrupts (privileged specification, chapter "H")."""

import pytest

import vm
from tests.assembler import assemble_elf
from tests.native.riscv.guests import (
    A0,
    A1,
    A2,
    GVA,
    HU,
    ILLEGAL,
    SPV,
    SPVP,
    VIRTUAL,
    VS,
    WITH_GUESTS,
    csr,
    enter,
    host_of,
    trap_of_host,
    word,
)
from vm.privilege import Privilege
from vm_native.riscv.csrs import mask

pytestmark = pytest.mark.usefixtures("dispatch")

U64 = (1 << 64) - 1
INTERRUPT = 1 << 63
SIE, SPIE, SPP, FS, MPV, MPP = (mask("mstatus", name) for name in ("SIE", "SPIE", "SPP", "FS", "MPV", "MPP"))
VECTOR_STATE = mask("mstatus", "VS")
VSSI, VSTI, VSEI = 1 << 2, 1 << 6, 1 << 10


# --- Traps -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("privilege, cause, spvp", [(VS, 10, SPVP), (HU, 8, 0)])
def test_call_of_a_guest_goes_to_its_host(privilege, cause, spvp, guest):
    """hstatus says that there was a guest and how privileged it was, sstatus.SPP the same once more."""
    host = host_of(guest, "wfi; inside: ecall")
    enter(host, "inside", privilege)
    assert host.trap_in_supervisor() == (cause, host.address("inside"), 0)
    assert host.hart.privilege == Privilege.SUPERVISOR
    assert host["hstatus"] & (SPV | SPVP | GVA) == SPV | spvp
    assert bool(host["sstatus"] & SPP) == (privilege == VS)


def test_trap_that_is_delegated_on_stays_inside(guest):
    """The guest's registers tell of it, the host's of nothing; `hstatus` stays as it was."""
    host = host_of(guest, "inside: ebreak; .balign 4; handler: wfi; j handler")
    host["hedeleg"] = mask("hedeleg", "BREAKPOINT")
    host["vstvec"] = host.address("handler")
    host["scause"], host["hstatus"] = 77, SPVP
    enter(host, "inside", HU)
    host.finish()
    assert host.hart.privilege == VS
    assert (host["vscause"], host["vsepc"], host["vstval"]) == (3, host.address("inside"), host.address("inside"))
    assert not host["vsstatus"] & SPP
    assert (host["scause"], host["hstatus"] & (SPV | SPVP)) == (77, SPVP)


def test_trap_into_machine_mode_says_that_it_was_a_guest(guest):
    host = host_of(guest, "inside: ecall")
    host["medeleg"] = 0
    enter(host, "inside")
    assert host.trap() == (10, host.address("inside"), 0)
    assert host["mstatus"] & (MPV | MPP) == MPV | 1 << 11
    host["mtval2"] = 5
    enter(host, "inside", Privilege.SUPERVISOR)
    assert host.trap() == (9, host.address("inside"), 0)
    assert not host["mstatus"] & MPV
    assert host["mtval2"] == 0


def test_sret_and_mret_enter_a_guest(guest):
    """By hstatus.SPV and mstatus.MPV, which are 0 afterwards."""
    host = host_of(guest, "enter_s: sret; enter_m: mret; inside: ecall")
    host["hstatus"], host["sepc"], host["sstatus"] = SPV, host.address("inside"), SPP
    enter(host, "enter_s", Privilege.SUPERVISOR)
    assert host.trap_in_supervisor().cause == 10
    assert host["hstatus"] & SPV
    host["mstatus"], host["mepc"] = MPV, host.address("inside")
    enter(host, "enter_m", Privilege.MACHINE)
    assert host.trap_in_supervisor().cause == 8
    assert not host["mstatus"] & MPV
    host["mstatus"], host["mepc"] = MPV | MPP, host.address("inside")
    enter(host, "enter_m", Privilege.MACHINE)
    assert host.trap().cause == 11, "M-mode has no guests"


def test_sret_of_a_guest_stays_inside(guest):
    host = host_of(guest, "inside: sret; user: ecall")
    host["vsepc"], host["vsstatus"], host["hstatus"] = host.address("user"), SPIE, 0
    enter(host, "inside")
    assert host.trap_in_supervisor() == (8, host.address("user"), 0)
    assert host["vsstatus"] & (SIE | SPIE | SPP) == SIE | SPIE
    assert host["hstatus"] & (SPV | SPVP) == SPV


@pytest.mark.parametrize("instruction, privilege, field, cause", [
    ("sret", VS, "VTSR", VIRTUAL), ("sret", HU, "", VIRTUAL),
    ("sfence.vma", VS, "VTVM", VIRTUAL), ("sfence.vma", HU, "", VIRTUAL),
    ("csrr a0, satp", VS, "VTVM", VIRTUAL), ("csrw satp, a0", HU, "", VIRTUAL),
    (word("sinval.vma", rs1=0, rs2=0), VS, "VTVM", VIRTUAL), (word("sfence.w.inval"), HU, "", VIRTUAL),
    ("wfi", VS, "VTW", VIRTUAL), ("wfi", HU, "", VIRTUAL), ("mret", VS, "", ILLEGAL), ("mret", HU, "", ILLEGAL),
    (word("hfence.gvma", rs1=0, rs2=0), VS, "", VIRTUAL), (word("hfence.vvma", rs1=0, rs2=0), HU, "", VIRTUAL),
    (word("hinval.gvma", rs1=0, rs2=0), HU, "", VIRTUAL), (word("hinval.vvma", rs1=0, rs2=0), VS, "", VIRTUAL),
    (word("hlv.d", rd=A1, rs1=A0), VS, "", VIRTUAL), (word("hsv.b", rs1=A0, rs2=A1), HU, "HU", VIRTUAL),
    (f"csrr a0, {csr('hstatus')}", VS, "", VIRTUAL), (f"csrr a0, {csr('vsatp')}", VS, "", VIRTUAL),
    ("csrr a0, sscratch", HU, "", VIRTUAL), ("csrr a0, mscratch", VS, "", ILLEGAL),
    (f"csrw {csr('hgeip')}, a0", VS, "", ILLEGAL),
])
def test_what_the_host_withholds_is_a_virtual_instruction(instruction, privilege, field, cause, guest):
    """What it could not do itself is illegal. The value is the instruction."""
    host = host_of(guest, f".option norvc; wfi; inside: {instruction}")
    host["hstatus"] = mask("hstatus", field) if field else 0
    enter(host, "inside", privilege)
    expected = host.word("inside", 4)
    assert host.trap_in_supervisor() == (cause, host.address("inside"), expected)


@pytest.mark.parametrize("instruction", ["sret", "sfence.vma", "csrr a0, satp"])
def test_what_machine_mode_withholds_from_the_host_is_none_of_the_guest(instruction, guest):
    """TSR and TVM are about HS-mode alone."""
    host = host_of(guest, f"inside: {instruction}; target: ecall")
    host["mstatus"] = mask("mstatus", "TSR TVM")
    host["vsepc"], host["vsstatus"] = host.address("target"), SPP
    enter(host, "inside")
    assert host.trap_in_supervisor() == (10, host.address("target"), 0)


def test_time_out_is_machine_mode_s_before_the_host_s(guest):
    """TW makes wfi illegal, whatever VTW says."""
    host = host_of(guest, "inside: wfi")
    for privilege in (VS, HU):
        host["mstatus"], host["hstatus"] = mask("mstatus", "TW"), mask("hstatus", "VTW")
        enter(host, "inside", privilege)
        assert trap_of_host(host, 1).cause == ILLEGAL


# --- Registers -------------------------------------------------------------------------------------------------------

def test_supervisor_s_registers_are_the_guest_s_own(guest):
    """Read and written by their usual numbers; the host finds them by others and keeps its own."""
    names = {"sscratch": 11, "sepc": 22, "scause": 33, "stval": 44, "stvec": 64}
    exchanges = "; ".join(f"csrrw s{n}, {name}, a{n}" for n, name in enumerate(names, 2))
    host = host_of(guest, f"inside: {exchanges}; ecall")
    for n, (name, value) in enumerate(names.items(), 2):
        host["v" + name], host[f"a{n}"] = value, value + 100
    host["sscratch"] = 5
    enter(host, "inside")
    stvec = host["stvec"]
    host.trap_in_supervisor()
    assert [host[f"s{n}"] for n in range(2, 7)] == [*names.values()]
    assert [host["v" + name] for name in names] == [value + 100 for value in names.values()]
    assert (host["sscratch"], host["stvec"], host["scause"]) == (5, stvec, 10)


def test_status_of_the_guest_is_its_own(guest):
    host = host_of(guest, "inside: csrr a0, sstatus; csrw sstatus, a1; csrr a2, sstatus; ecall")
    host["sstatus"], host["vsstatus"] = SPIE, SPP
    host["a1"] = U64
    enter(host, "inside")
    host.trap_in_supervisor()
    assert host["a0"] == SPP | 2 << 32
    assert host["a2"] == host["vsstatus"] == 1 << 63 | 2 << 32 | 0xC6122
    assert host["sstatus"] & (FS | SIE) == 0


def test_names_are_the_host_s_for_who_looks_from_outside(guest):
    host = host_of(guest, "inside: j inside")
    host["sscratch"], host["vsscratch"], host["vsstatus"] = 1, 2, SIE
    enter(host, "inside")
    host.run(10)
    assert (host["sscratch"], host["vsscratch"]) == (1, 2)
    assert host["vsstatus"] & SIE
    assert not host["mstatus"] & SIE
    host["vsscratch"], host["mstatus"] = 3, SPIE
    assert (host["sscratch"], host["vsscratch"], host["sstatus"] & SPIE) == (1, 3, SPIE)
    assert host["vsstatus"] & (SIE | SPIE) == SIE
    assert "privilege VS" in repr(host.hart)
    host.hart.privilege = HU
    assert "privilege VU" in repr(host.hart)


def test_privileges_of_guests_need_the_extension(guest):
    with pytest.raises(ValueError, match="4"):
        guest("wfi").hart.privilege = HU


def test_counters_are_offset_and_withheld(guest):
    """htimedelta is added for a guest; hcounteren withholds what mcounteren does not."""
    host = host_of(guest, "inside: rdtime a0; ecall; outside: rdtime a1; wfi")
    host["htimedelta"], host["hcounteren"] = 1 << 40, 2
    enter(host, "inside")
    assert host.trap_in_supervisor().cause == 10
    assert 0 <= host["a0"] - (1 << 40) < 1000
    enter(host, "outside", Privilege.SUPERVISOR)
    host.finish()
    assert host["a1"] < 1 << 40
    host["hcounteren"] = 5
    enter(host, "inside")
    assert host.trap_in_supervisor().cause == VIRTUAL
    host["mcounteren"] = 0
    enter(host, "inside")
    assert host.trap_in_supervisor().cause == ILLEGAL


def test_floating_point_is_off_where_it_is_for_either(guest):
    host = host_of(guest, "inside: fmv.d.x fa0, a0; ecall")
    for own, hosts, cause in ((0, 3, ILLEGAL), (1, 0, ILLEGAL), (1, 2, 10), (2, 1, 10), (3, 3, 10)):
        host["vsstatus"], host["sstatus"] = own << 13, hosts << 13
        enter(host, "inside")
        assert host.trap_in_supervisor().cause == cause
        if cause == 10:
            assert host["vsstatus"] & host["sstatus"] & FS == FS


WITH_VECTORS = WITH_GUESTS.replace("rv64gch", "rv64gcvh")


def test_vectors_that_are_off_for_either_are_off(guest):
    """And what they change is dirty for both."""
    source = f"inside: {word('vsetivli', rd=0, zimm=4, imm=0)}; {word('vmv.v.i', vd=2, imm=3)}; ecall"
    host = host_of(guest, source, isa=WITH_VECTORS)
    for own, hosts, cause in ((0, 3, ILLEGAL), (1, 0, ILLEGAL), (2, 1, 10), (1, 2, 10), (3, 3, 10)):
        host["vsstatus"], host["sstatus"] = own << 9, hosts << 9
        enter(host, "inside")
        assert host.trap_in_supervisor().cause == cause
        if cause == 10:
            assert host["vsstatus"] & host["sstatus"] & VECTOR_STATE == VECTOR_STATE
            assert host["vsstatus"] >> 63


def test_dirty_state_is_shown_as_the_guest_has_it(guest):
    """The host's may be clean: then the mode of its blocks does not tell."""
    host = host_of(guest, "inside: csrr a0, sstatus; ecall")
    for own, hosts in ((3, 2), (2, 3), (3, 3), (0, 3)):
        host["vsstatus"], host["sstatus"] = own << 13, hosts << 13
        enter(host, "inside")
        host.trap_in_supervisor()
        assert host["a0"] == own << 13 | 2 << 32 | (1 << 63 if own == 3 else 0)


def test_reset_is_of_a_host(guest):
    host = host_of(guest, "inside: j inside")
    assert host["misa"] >> 7 & 1
    assert host["mideleg"] & 0x1444 == 0x1444
    enter(host, "inside")
    host.run(5)
    host.native.reset()
    assert (host.hart.privilege, host["hstatus"]) == (3, 2 << 32)


# --- Interrupts ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("bit, cause", [(VSSI, 1), (VSTI, 5), (VSEI, 9)])
def test_interrupt_of_a_guest_is_its_own_if_delegated(bit, cause, guest):
    """With the numbers of a supervisor; else it is the host's, with its own."""
    host = host_of(guest, "inside: nop; j inside; .balign 4; handler: wfi; j handler")
    host["vstvec"], host["vsstatus"] = host.address("handler"), SIE
    host["hvip"] = host["hie"] = bit
    enter(host, "inside")
    assert trap_of_host(host) == (INTERRUPT | cause + 1, host.address("inside"), 0)
    assert host["hstatus"] & SPV
    host["hideleg"] = bit
    assert (host["vsip"], host["vsie"]) == (bit >> 1, bit >> 1)
    enter(host, "inside")
    host.run(20)
    assert host["vscause"] == INTERRUPT | cause
    assert host.hart.privilege == VS


def test_interrupt_of_a_guest_waits_for_it(guest):
    """Outside it is taken by nobody, inside only where vsstatus.SIE is set or in VU-mode."""
    host = host_of(guest, "outside: nop; j outside; .balign 4; handler: j handler")
    host["vstvec"], host["sstatus"] = host.address("handler"), SIE
    host["hvip"] = host["hie"] = host["hideleg"] = VSSI
    for privilege, taken in ((Privilege.SUPERVISOR, False), (VS, False), (HU, True)):
        enter(host, "outside", privilege)
        host.run(10)
        assert (host["vscause"] == INTERRUPT | 1) == taken, privilege


def test_interrupts_of_the_host_are_taken_from_a_guest(guest):
    """sstatus.SIE counts only while the host runs."""
    host = host_of(guest, "inside: j inside")
    host["sie"] = host["mip"] = 2
    host["sstatus"], host["vsstatus"] = 0, 0
    enter(host, "inside")
    assert trap_of_host(host).cause == INTERRUPT | 1


def test_software_interrupt_is_cleared_by_the_guest(guest):
    host = host_of(guest, "inside: csrci sip, 2; csrr a0, sip; csrsi sip, 2; csrr a1, sip; ecall")
    host["hideleg"] = VSSI
    host["hvip"] = VSSI | VSTI
    enter(host, "inside")
    host.trap_in_supervisor()
    assert (host["a0"], host["a1"]) == (0, 2)
    assert host["hvip"] == VSSI | VSTI


def test_timer_of_the_guest_ends_its_waiting(guest):
    """vstimecmp against time + htimedelta; the guest sets it as stimecmp."""
    host = host_of(guest, f"""
    inside:
        csrw {csr("stimecmp")}, a0
        li   t0, 32
        csrw sie, t0
        wfi
        rdtime a1
        csrr a2, sip
        csrw sie, zero
        ecall
    """)
    host["henvcfg"], host["hcounteren"], host["hideleg"] = mask("henvcfg", "STCE"), 7, VSTI
    host["htimedelta"] = U64 - (1 << 50) + 1
    host["a0"] = U64 - (1 << 50) + 1 + 5000
    enter(host, "inside")
    assert host.trap_in_supervisor().cause == 10
    assert host["a0"] <= host["a1"] < host["a0"] + 100
    assert host["a2"] == 32
    assert host["hip"] & VSTI
    host["vstimecmp"] = U64
    assert not host["hip"] & VSTI


@pytest.mark.parametrize("enable", ["henvcfg", "menvcfg", "hcounteren"])
def test_timer_of_the_guest_can_be_withheld(enable, guest):
    host = host_of(guest, f"inside: csrr a0, {csr('stimecmp')}")
    host["henvcfg"], host["hcounteren"] = mask("henvcfg", "STCE"), 7
    host[enable] = 0
    enter(host, "inside")
    assert host.trap_in_supervisor().cause == (ILLEGAL if enable == "menvcfg" else VIRTUAL)


# --- Beside all this -------------------------------------------------------------------------------------------------

def test_state_of_a_guest_can_be_kept(guest):
    host = host_of(guest, "inside: addi a0, a0, 1; j inside")
    host["sscratch"], host["vsscratch"] = 1, 2
    enter(host, "inside")
    host.run(100)
    snapshot = host.machine.snapshot()
    host.run(100)
    after = host["a0"]
    host.machine.restore(snapshot)
    assert (host.hart.privilege, host["sscratch"], host["vsscratch"]) == (VS, 1, 2)
    host.run(100)
    assert host["a0"] == after


def test_trigger_is_for_one_world(guest):
    """mcontrol6: bits 23 and 24 are those of VU- and VS-mode."""
    host = host_of(guest, "inside: nop; here: nop; ecall", isa="rv64gch_sdtrig_sstc_zicntr")
    host["tdata1"], host["tdata2"] = 6 << 60 | 4 | 1 << 24, host.address("here")
    host["sstatus"], host["vsstatus"] = SIE, SIE
    enter(host, "inside")
    assert host.trap_in_supervisor() == (3, host.address("here"), host.address("here"))
    assert host["hstatus"] & GVA
    enter(host, "inside", Privilege.SUPERVISOR)
    assert host.trap().cause == 9
    enter(host, "inside", HU)
    assert host.trap_in_supervisor().cause == 8


def test_firmware_serves_the_host_and_not_its_guest():
    """What the machine's own firmware delegates is enough for a host; a guest's call reaches that."""
    with vm.Machine(memory="64M", isa="default_h") as machine:
        machine.boot(assemble_elf(f"""
            la   t0, handler
            csrw stvec, t0
            la   t0, inside
            csrw sepc, t0
            li   t0, {SPV}
            csrw {csr("hstatus")}, t0
            li   t0, {SPP}
            csrs sstatus, t0
            li   a7, 0x52464E43     # RFENCE, hfence.gvma
            li   a6, 4
            li   a0, 1
            li   a1, 0
            ecall
            mv   s0, a0
            li   a7, 0x10
            sret
            .balign 4
        inside:
            ecall
            .balign 4
        handler:
            csrr s1, scause
        1:  wfi
            j    1b
        """).read_bytes())
        machine.run(instructions=200)
        hart = machine.harts[0]
        assert (hart["s0"], hart["s1"]) == (0, 10)


def test_a_hart_without_guests_has_nothing_of_it(guest):
    g = guest(f"{word('hlv.d', rd=A2, rs1=A0)}")
    assert g.trap().cause == ILLEGAL
    with pytest.raises(KeyError):
        g["hstatus"]
    g["mstatus"], g["medeleg"] = MPV, U64
    assert (g["mstatus"] & MPV, g["medeleg"] >> 20, g["mideleg"]) == (0, 0, 0)
