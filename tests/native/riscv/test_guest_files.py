"""Interrupt files of guests: AIA 1.0, chapters "Incoming MSI Controller", "Control and Status Registers" and
"Interrupts for Virtual Machines"; privileged specification, chapter "H", hgeip, hgeie and hstatus.VGEIN.

Spike has no IMSIC: what is expected here is the text's.
"""

import pytest

import vm
from tests.native.riscv.guests import ILLEGAL, VIRTUAL, VS, csr, enter, host_of, trap_of_host
from vm.privilege import Privilege
from vm_native.riscv.csrs import mask

pytestmark = pytest.mark.usefixtures("dispatch")

ISA = "rv64gch_zicntr_sstc"
EIDELIVERY, EITHRESHOLD, EIP, EIE = 0x70, 0x72, 0x80, 0xC0
SEI, VSEI, SGEI, ECALL_FROM_VS = 9, 10, 12, 10
INTERRUPT = 1 << 63
VGEIN_SHIFT = 12
IMSIC_S, PAGE = 0x2800_0000, 0x1000
GUESTS = 5
U64 = (1 << 64) - 1


@pytest.fixture
def host(guest):
    """In HS-mode, with files for guests."""
    def make(source="wfi", isa=ISA, guests=GUESTS, **options):
        return host_of(guest, source, isa=isa, aia="aplic-imsic", aia_guests=guests, **options)
    return make


def select(host, number):
    host["hstatus"] = host["hstatus"] & ~mask("hstatus", "VGEIN") | number << VGEIN_SHIFT


def open_file(host, number, *identities):
    """Enable these, with delivery on, and leave the file selected."""
    select(host, number)
    for register, value in ((EIDELIVERY, 1), (EIE, sum(1 << identity for identity in identities))):
        host["vsiselect"], host["vsireg"] = register, value


def send(host, number, identity, hart=0):
    """As a device does: to the page of the guest, which follow those of the hart."""
    host.machine.memory.write(IMSIC_S + (8 * hart + number) * PAGE, identity.to_bytes(4, "little"))


def pending(host, number):
    return bool(host["mip"] >> number & 1)


# --- Files -----------------------------------------------------------------------------------------------------------

def test_each_guest_has_a_file_of_its_own(host):
    g = host()
    for number in range(1, GUESTS + 1):
        open_file(g, number, 3, 40 + number)
    for number in range(1, GUESTS + 1):
        send(g, number, 40 + number)
        assert g["hgeip"] == (2 << number) - 2
    for number in range(1, GUESTS + 1):
        select(g, number)
        assert g["vstopei"] == (40 + number) << 16 | 40 + number
        send(g, number, 3)
        assert g["vstopei"] == 3 << 16 | 3
        g["vstopei"] = 0                                    # claims it
        assert g["vstopei"] == (40 + number) << 16 | 40 + number
        g["vstopei"] = U64
        assert g["vstopei"] == 0 and not g["hgeip"] >> number & 1
    assert g["hgeip"] == 0 and g["stopei"] == 0 and not pending(g, SEI)


def test_pages_follow_those_of_the_hart(host):
    """With five guests there is room for seven; what has no file ignores messages."""
    g = host(harts=2)
    other = g.machine.harts[1]
    for number in range(1, 8):
        send(g, number, 9, hart=1)
    for number in range(1, GUESTS + 1):
        other.csr["hstatus"] = number << VGEIN_SHIFT
        other.csr["vsiselect"] = EIP
        assert other.csr["vsireg"] == 1 << 9
    other.csr["hstatus"] = 6 << VGEIN_SHIFT                 # is none: it stays
    assert other.csr["hstatus"] & mask("hstatus", "VGEIN") == GUESTS << VGEIN_SHIFT
    other.csr["siselect"] = EIP
    assert other.csr["sireg"] == 0 and g["hgeip"] == 0
    send(g, 0, 9, hart=1)
    assert other.csr["sireg"] == 1 << 9


@pytest.mark.parametrize("guests", [0, 1, 7])
def test_as_many_as_are_asked_for(guests, host):
    g = host(guests=guests)
    g["hgeie"] = U64
    assert g["hgeie"] == (2 << guests) - 2                  # bits GEILEN:1
    for number in (0, 1, 7, 8, 63):
        select(g, 0)
        select(g, number)
        assert (g["hstatus"] & mask("hstatus", "VGEIN")) >> VGEIN_SHIFT == (number if number <= guests else 0)


def test_threshold_and_delivery(host):
    g = host()
    open_file(g, 2, 40)
    send(g, 2, 40)
    for register, value, signals, top in ((EITHRESHOLD, 40, False, 0), (EITHRESHOLD, 41, True, 40),
                                          (EIDELIVERY, 0, False, 40), (EIDELIVERY, 1, True, 40)):
        g["vsiselect"], g["vsireg"] = register, value
        assert (g["hgeip"] == 1 << 2, g["vstopei"] & 0x7FF) == (signals, top)
    g["vsiselect"], g["vsireg"] = EIDELIVERY, 0x4000_0000   # that of an APLIC is none of a guest's file
    assert g["vsireg"] == 0


# --- What the host is told -------------------------------------------------------------------------------------------

def test_external_interrupt_of_a_guest_that_does_not_run(host):
    """SGEIP where hgeip and hgeie have a bit in common; VSEIP for the guest that VGEIN names, if it runs or not."""
    g = host()
    open_file(g, 3, 7)
    open_file(g, 2, 7)
    send(g, 3, 7)
    assert (pending(g, SGEI), pending(g, VSEI)) == (False, False)
    g["hgeie"] = 1 << 2
    assert not pending(g, SGEI)
    g["hgeie"] = 1 << 3
    assert (pending(g, SGEI), pending(g, VSEI)) == (True, False)
    select(g, 3)
    assert (pending(g, SGEI), pending(g, VSEI)) == (True, True)
    assert g["hip"] == mask("hip", "SGEIP VSEIP") and g["hvip"] == 0
    g["hgeie"] = 0
    assert (pending(g, SGEI), pending(g, VSEI)) == (False, True)
    g["hvip"] = mask("hvip", "VSEIP")
    select(g, 0)
    assert pending(g, VSEI)                                 # by hvip
    g["hvip"] = 0
    assert not pending(g, VSEI)


@pytest.mark.parametrize("runs", ["host", "guest"])
def test_interrupt_for_another_guest_is_the_hosts(runs, host):
    g = host("program: j program")
    open_file(g, 1, 7)
    select(g, 4)
    g["hgeie"], g["hie"] = 1 << 1, mask("hie", "SGEIE")
    g["hideleg"] = U64                                      # without SGEI, which cannot be
    g["sstatus"] = mask("sstatus", "SIE")
    enter(g, "program", VS if runs == "guest" else Privilege.SUPERVISOR)
    g.run(20)
    assert g["scause"] == 0
    send(g, 1, 7)
    assert trap_of_host(g).cause == INTERRUPT | SGEI
    assert bool(g["hstatus"] & mask("hstatus", "SPV")) == (runs == "guest")


# --- What a guest has ------------------------------------------------------------------------------------------------

# By numbers: siselect is 0x150, sireg 0x151, stopei 0x15C, stopi 0xDB0; eidelivery 0x70, eie0 0xC0.
TAKES = """
program: li   t0, 0x70
         csrw 0x150, t0
         li   t0, 1
         csrw 0x151, t0
         li   t0, 0xc0
         csrw 0x150, t0
         li   t0, 0x80
         csrw 0x151, t0
         csrr a3, 0x151
         li   t0, 0x200
         csrw sie, t0
         csrsi sstatus, 2
1:       j    1b
         .balign 4
guests:  csrr a1, scause
         csrr a4, 0xDB0
         csrrw a2, 0x15C, zero
         csrr a5, sip
         ecall
"""


def test_guest_sets_its_file_up_and_takes_its_interrupt(host):
    """By the registers of a supervisor, without its host."""
    g = host(TAKES)
    select(g, 2)
    g["hideleg"], g["vstvec"], g["a1"] = mask("hideleg", "VSEI"), g.address("guests"), 0
    enter(g, "program")
    g.run(40)
    send(g, 1, 7)                                           # another's
    g.run(10)
    assert g["a1"] == 0
    send(g, 2, 7)
    assert trap_of_host(g).cause == ECALL_FROM_VS
    assert (g["a1"], g["a2"], g["a3"]) == (INTERRUPT | SEI, 7 << 16 | 7, 0x80)
    assert (g["a4"], g["a5"]) == (SEI << 16 | 1, 0)
    assert (g["siselect"], g["stopei"], g["vsiselect"]) == (0, 0, EIE)


@pytest.mark.parametrize("name, number, register, cause", [
    ("sireg", 2, EIDELIVERY, None), ("sireg", 2, 0x71, None), ("sireg", 2, EIE + 2, None),
    ("sireg", 2, EIP + 1, VIRTUAL), ("sireg", 2, 0x30, VIRTUAL), ("sireg", 2, 0x40, ILLEGAL),
    ("sireg", 0, EIDELIVERY, VIRTUAL),
    ("sireg as user", 2, EIDELIVERY, VIRTUAL), ("stopei", 2, 0, None), ("stopei", 0, 0, VIRTUAL),
    ("stopei as user", 2, 0, VIRTUAL), ("vsireg", 2, EIDELIVERY, VIRTUAL), ("vstopei", 2, 0, VIRTUAL),
    ("hgeip", 2, 0, VIRTUAL), ("hgeie", 2, 0, VIRTUAL),
])  # fmt: skip
def test_what_a_guest_may_access(name, number, register, cause, host):
    name, _, as_user = name.partition(" as ")
    g = host(f"program: csrr a1, {csr(name)}; ecall")
    select(g, number)
    g["vsiselect"] = register
    enter(g, "program", Privilege.VIRTUAL_USER if as_user else VS)
    assert trap_of_host(g).cause == (cause or ECALL_FROM_VS)


@pytest.mark.parametrize("name, number, register, cause", [
    ("vsireg", 2, EIDELIVERY, None), ("vsireg", 2, 0x71, None), ("vsireg", 0, EIDELIVERY, ILLEGAL),
    ("vsireg", 2, EIE + 1, ILLEGAL), ("vsireg", 2, 0x30, ILLEGAL), ("vsireg", 2, 0x100, ILLEGAL),
    ("vstopei", 2, 0, None), ("vstopei", 0, 0, ILLEGAL), ("hgeip", 0, 0, None), ("hgeie", 0, 0, None),
])  # fmt: skip
def test_what_a_host_may_access(name, number, register, cause, host):
    g = host(f"program: csrr a1, {csr(name)}; li a2, 1; 1: j 1b")
    select(g, number)
    g["vsiselect"] = register
    enter(g, "program", Privilege.SUPERVISOR)
    if cause:
        assert trap_of_host(g).cause == cause
    else:
        g.run(10)
        assert (g["scause"], g["a2"]) == (0, 1)


@pytest.mark.parametrize("source, off, by_host, by_machine", [
    ("csrr a1, 0x151", "IMSIC", VIRTUAL, ILLEGAL), ("csrr a1, 0x151", "CSRIND", VIRTUAL, ILLEGAL),
    ("csrr a1, 0x15C", "IMSIC", VIRTUAL, ILLEGAL), ("csrr a1, 0x151", "AIA", ECALL_FROM_VS, ECALL_FROM_VS),
])  # fmt: skip
def test_state_enables_of_a_guests_file(source, off, by_host, by_machine, host):
    every = mask("mstateen0", "IMSIC AIA CSRIND")
    for machine, guests, cause in ((every, every, ECALL_FROM_VS), (every, every & ~mask("mstateen0", off), by_host),
                                   (every & ~mask("mstateen0", off), every, by_machine)):
        g = host(f"program: {source}; ecall", isa=f"{ISA}_smstateen")
        select(g, 2)
        g["vsiselect"] = EIDELIVERY
        g["mstateen0"] = every
        g["hstateen0"] = guests
        g["mstateen0"] = machine
        enter(g, "program")
        assert trap_of_host(g).cause == cause


# --- The top interrupt of a guest ------------------------------------------------------------------------------------

@pytest.mark.parametrize("control, top", [
    ("", SEI << 16 | 1), ("IPRIOM", SEI << 16 | 40), ("9 IPRIOM 5", SEI << 16 | 40), ("VTI 9 IPRIOM 5", SEI << 16 | 40),
    ("VTI 13 IPRIOM", 13 << 16), ("VTI 13 IPRIOM 39", 13 << 16 | 39), ("VTI 13 IPRIOM 41", SEI << 16 | 40),
    ("VTI 13 IPRIOM 40", 13 << 16 | 40), ("VTI 13 DPR IPRIOM 40", SEI << 16 | 40),
    ("VTI 13 DPR IPRIOM", SEI << 16 | 40),
])  # fmt: skip
def test_priority_of_an_external_interrupt_is_its_files(control, top, host):
    """40, as vstopei says; hvictl as in test_aia.py."""
    g = host()
    words = control.split()
    identity, priority = ([int(word) for word in words if word.isdecimal()] + [0, 0])[:2]
    open_file(g, 1, 40)
    send(g, 1, 40)
    g["hideleg"], g["hie"] = 0x444, 0x444
    g["hvictl"] = mask("hvictl", " ".join(word for word in words if word.isalpha())) | identity << 16 | priority
    assert g["vstopi"] == top


# --- State -----------------------------------------------------------------------------------------------------------

def test_files_are_in_a_snapshot(host, tmp_path):
    g = host()
    open_file(g, 4, 9)
    g["hgeie"] = 1 << 4
    send(g, 4, 9)
    g.machine.snapshot().save(tmp_path / "file.vmsnap")
    with vm.Snapshot.load(tmp_path / "file.vmsnap").machine() as machine:
        csrs = machine.harts[0].csr
        assert (csrs["hgeip"], csrs["hgeie"], csrs["vstopei"]) == (1 << 4, 1 << 4, 9 << 16 | 9)
        assert csrs["mip"] & mask("mip", "SGEIP VSEIP") == mask("mip", "SGEIP VSEIP")
    with vm.Machine(memory="2M", isa=ISA, aia="aplic-imsic", aia_guests=4) as other:
        with pytest.raises(vm.SnapshotError, match="its aia_guests: 5, here: 4"):
            other.restore(g.machine.snapshot())
    g.machine.reset()
    assert (g["hgeip"], g["hgeie"], g["hstatus"] & mask("hstatus", "VGEIN")) == (0, 0, 0)


@pytest.mark.parametrize("options, said", [
    ({"aia_guests": 8}, "aia_guests=8: a hart has files for 0 to 7 guests"),
    ({"aia_guests": -1}, "aia_guests=-1: a hart has files for 0 to 7 guests"),
    ({"aia_guests": 5, "aia": "aplic"}, "aia_guests=5: they have files in IMSICs; say aia='aplic-imsic'"),
    ({"aia_guests": 5, "isa": "rv64gc"}, "aia_guests=5: harts without H have no guests; add it, as in 'default_h'"),
    ({"aia_guests": 1.5}, "aia_guests=1.5: "),
])  # fmt: skip
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(vm.ConfigurationError) as raised:
        vm.Machine(memory="1M", **{"isa": ISA, "aia": "aplic-imsic", **options})
    assert str(raised.value).startswith(said)
