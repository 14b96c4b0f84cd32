"""The Advanced Interrupt Architecture 1.0 at a hart: chapters "Control and Status Registers", "Incoming MSI
Controller", "Interrupts for Machine and Supervisor Levels" and "... for Virtual Machines".

Random accesses beside Spike, which has no IMSIC, are in tests/conformance/test_guest_csrs.py; the controllers of the
board in tests/devices/test_aplic.py.
"""

import pytest

import vm
from tests.native.riscv.guests import ILLEGAL, VIRTUAL, VS, csr, enter, host_of
from vm.privilege import Privilege
from vm_native.riscv.csrs import mask

pytestmark = pytest.mark.usefixtures("dispatch")

ISA = "rv64gc_zicntr_sstc"
MEIP, SEIP, SSIP, STIP = 11, 9, 1, 5
EIDELIVERY, EITHRESHOLD, EIP, EIE = 0x70, 0x72, 0x80, 0xC0
IMSIC_M, IMSIC_S = 0x2400_0000, 0x2800_0000
U64 = (1 << 64) - 1
LEVELS = {"m": ("miselect", "mireg", "mtopei", MEIP, IMSIC_M), "s": ("siselect", "sireg", "stopei", SEIP, IMSIC_S)}


class File:
    """One interrupt file, by its registers."""

    def __init__(self, g, level):
        self.g = g
        self.select, self.register, self.top, self.number, self.page = LEVELS[level]

    def __getitem__(self, number):
        self.g[self.select] = number
        return self.g[self.register]

    def __setitem__(self, number, value):
        self.g[self.select] = number
        self.g[self.register] = value

    @property
    def signals(self):
        return bool(self.g["mip"] >> self.number & 1)

    def open(self, *identities):
        """Enable these, with delivery on and no threshold."""
        self[EIDELIVERY], self[EITHRESHOLD] = 1, 0
        for word in range(4):
            self[EIE + 2 * word] = sum(1 << number % 64 for number in identities if number // 64 == word)


@pytest.fixture
def machine(guest):
    def make(source="wfi", **options):
        g = guest(source, **{"isa": ISA, "aia": "aplic-imsic", **options})
        g.open_pmp()
        return g
    return make


@pytest.fixture(params=LEVELS)
def file(request, machine):
    return File(machine(), request.param)


def send(g, page, identity, hart=0):
    """As a device does, or a hart."""
    g.native.receive_message(MEIP if page == IMSIC_M else SEIP, identity)


# --- Interrupt files -------------------------------------------------------------------------------------------------

def test_message_is_pending_until_claimed(file):
    file.open(33, 200)
    for identity in (200, 33):
        send(file.g, file.page, identity)
    assert file.signals and file.g[file.top] == 33 << 16 | 33
    assert (file[EIP], file[EIP + 6]) == (1 << 33, 1 << 200 - 192)
    file.g[file.top] = 0                                    # whatever is written
    assert file.signals and file.g[file.top] == 200 << 16 | 200
    file.g[file.top] = U64
    assert not file.signals and file.g[file.top] == 0 and file[EIP] == 0
    file.g[file.top] = 1
    assert file.g[file.top] == 0


def test_delivery_enables_and_threshold(file):
    send(file.g, file.page, 40)
    assert not file.signals and file.g[file.top] == 0
    file.open(40)
    assert file.signals
    file[EIDELIVERY] = 0
    assert not file.signals and file.g[file.top] == 40 << 16 | 40      # it still tells
    file[EIDELIVERY] = 1
    for threshold, passes in ((40, False), (41, True), (1, False), (0, True)):
        file[EITHRESHOLD] = threshold
        assert file.signals == passes == bool(file.g[file.top])
    file[EIE] = 0
    assert not file.signals


def test_legal_values(file):
    for number, kept in ((EIDELIVERY, 1), (EITHRESHOLD, 0xFF), (EIP, U64 - 1), (EIP + 6, U64), (EIP + 8, 0),
                         (EIE, U64 - 1), (0x71, 0), (0x73, 0), (0x30, 0), (0x3E, 0)):
        file[number] = U64
        assert file[number] == kept, hex(number)


@pytest.mark.parametrize("identity", [0, 256, 2047, 1 << 31])
def test_no_such_identity(identity, file):
    file.open(*range(1, 256))
    send(file.g, file.page, identity)
    assert not file.signals


def test_store_of_a_hart_is_a_message_to_another(machine):
    g = machine("sw a1, 0(a0); wfi", harts=2)
    for hart in g.machine.harts:
        hart.csr["siselect"] = EIE
        hart.csr["sireg"] = 1 << 5
        hart.csr["siselect"] = EIDELIVERY
        hart.csr["sireg"] = 1
    g["a0"], g["a1"] = IMSIC_S + 0x1000, 5
    g.machine.harts[1].pc = g.address("trap_m")
    g.finish()
    assert g.machine.harts[1].csr["stopei"] == 5 << 16 | 5 and g["stopei"] == 0
    assert g.machine.harts[1].csr["mip"] >> SEIP & 1


@pytest.mark.parametrize("select, there", [
    (0, False), (0x2F, False), (0x31, False), (0x32, True), (0x40, False), (0x6F, False), (0x70, True), (0x71, True),
    (0x81, False), (0xBE, True), (0xFF, False), (0x100, False), (1 << 63 | 0x70, False),
])
@pytest.mark.parametrize("level", LEVELS)
def test_what_there_is_behind_a_selection(level, select, there, machine):
    number = LEVELS[level][1]
    g = machine(f"csrr a1, {csr(number)}; wfi")
    g[LEVELS[level][0]] = select
    if there:
        g.finish()
        assert g["mcause"] == 0
    else:
        assert g.trap().cause == ILLEGAL


@pytest.mark.parametrize("name", ["mtopei", "stopei"])
def test_without_imsic_there_is_no_file(name, machine):
    g = machine(f"csrr a1, {csr(name)}; wfi", aia="aplic")
    assert g.trap().cause == ILLEGAL
    g = machine(f"csrr a1, {csr('sireg')}; wfi", aia="aplic")
    g["siselect"] = EIDELIVERY
    assert g.trap().cause == ILLEGAL


@pytest.mark.parametrize("bit, source, select", [
    ("CSRIND", "csrr a1, 0x150", 0), ("CSRIND", "csrr a1, 0x151", EIDELIVERY), ("IMSIC", "csrr a1, 0x151", EIDELIVERY),
    ("AIA", "csrr a1, 0x151", 0x30), ("IMSIC", "csrr a1, 0x15C", 0), ("AIA", "csrr a1, 0xDB0", 0),
])
def test_state_enables(bit, source, select, machine):
    g = machine(f"{source}; ecall", isa=f"{ISA}_smstateen")
    g["siselect"] = select
    for enabled in (True, False):
        g["mstateen0"] = mask("mstateen0", "IMSIC AIA CSRIND") & ~(0 if enabled else mask("mstateen0", bit))
        g.hart.pc, g.hart.privilege = g.machine.program.entry, Privilege.SUPERVISOR
        assert g.trap().cause == (9 if enabled else ILLEGAL)


# --- The top interrupt -----------------------------------------------------------------------------------------------

def test_top_of_machine_and_supervisor(machine):
    """Of what is not delegated, and of what is; whatever enables interrupts as a whole. Priorities are the default."""
    g = machine()
    g["mie"] = mask("mie", "SSIE SEIE STIE MEIE")
    g["mideleg"] = mask("mideleg", "SSI")
    assert (g["mtopi"], g["stopi"]) == (0, 0)
    g["mip"] = mask("mip", "SSIP SEIP")
    assert (g["mtopi"], g["stopi"]) == (SEIP << 16 | 1, SSIP << 16 | 1)
    g["mideleg"] = mask("mideleg", "SSI SEI")
    assert (g["mtopi"], g["stopi"]) == (0, SEIP << 16 | 1)
    File(g, "m").open(3)
    send(g, IMSIC_M, 3)
    assert g["mtopi"] == MEIP << 16 | 1


def test_pending_bits_that_software_sets(machine):
    """mvip is an alias where mvien is zero, as it is."""
    g = machine()
    g["mvien"] = U64
    assert g["mvien"] == 0
    g["mvip"] = mask("mip", "SEIP SSIP")
    assert g["mip"] == mask("mip", "SEIP SSIP") | g["mip"] & mask("mip", "MTIP")
    File(g, "s").open(3)
    g["mvip"] = 0
    send(g, IMSIC_S, 3)
    assert g["mip"] >> SEIP & 1 and g["mvip"] == 0          # what a file signals is none of it


@pytest.mark.parametrize("level", LEVELS)
def test_external_interrupt_is_taken_and_claimed(level, machine):
    g = machine("1: nop; j 1b; .balign 4\nhandler: j handler")
    _, _, top, number, page = LEVELS[level]
    File(g, level).open(77)
    g["mtvec"] = g.address("handler")
    g["mie"], g["mstatus"] = 1 << number, mask("mstatus", "MIE")
    g.run(50)
    send(g, page, 77)
    g.run(50)
    assert g.hart.pc == g.address("handler") and g["mcause"] == 1 << 63 | number and g[top] == 77 << 16 | 77


# --- Guests ----------------------------------------------------------------------------------------------------------

def host(guest, source):
    return host_of(guest, source, isa="rv64gch_zicntr_sstc_svinval", aia="aplic-imsic")


@pytest.mark.parametrize("name, select, cause", [
    ("siselect", 0, None), ("sireg", 0x30, VIRTUAL), ("sireg", EIDELIVERY, VIRTUAL), ("sireg", 0x100, ILLEGAL),
    ("sireg as user", 0x100, VIRTUAL), ("stopei", 0, VIRTUAL), ("stopi", 0, None), ("vsireg", 0, VIRTUAL),
    ("hvictl", 0, VIRTUAL), ("mtopi", 0, ILLEGAL),
])  # fmt: skip
def test_what_a_guest_finds(name, select, cause, guest):
    name, _, as_user = name.partition(" as ")
    g = host(guest, f"program: csrr a1, {csr(name)}; ecall")
    g["vsiselect"], g["siselect"] = select, 0x77
    enter(g, "program", Privilege.VIRTUAL_USER if as_user else VS)
    g.finish()
    assert g["scause"] == (cause or 10)
    if name == "siselect":
        assert g["a1"] == select


@pytest.mark.parametrize("control, pending, top", [
    ("", 0, 0), ("", 0x444, SEIP << 16 | 1), ("", 0x44, SSIP << 16 | 1), ("", 0x40, STIP << 16 | 1),
    ("VTI 9", 0x44, 0), ("VTI 9", 0x400, SEIP << 16 | 1), ("VTI 13", 0, 13 << 16 | 1), ("VTI 13", 0x400, 13 << 16 | 1),
    ("VTI 13 DPR", 0x400, SEIP << 16 | 1), ("VTI 13 DPR 7", 0x400, 13 << 16 | 1),
    ("VTI 13 DPR IPRIOM", 0, 13 << 16 | 255),
    ("VTI 13 IPRIOM", 0, 13 << 16), ("VTI 13 IPRIOM 7", 0x400, 13 << 16 | 7), ("IPRIOM", 0x400, SEIP << 16 | 255),
    ("9 IPRIOM 5", 0x400, SEIP << 16 | 5), ("VTI 9 IPRIOM 5", 0x400, SEIP << 16 | 5),
])  # fmt: skip
def test_top_of_a_guest(control, pending, top, guest):
    """hvictl: a flag by its name, then the identity, and last the priority."""
    g = host(guest, "wfi")
    words = control.split()
    numbers = [int(word) for word in words if word.isdecimal()]
    identity, priority = (numbers + [0, 0])[:2]
    g["hvictl"] = mask("hvictl", " ".join(word for word in words if word.isalpha())) | identity << 16 | priority
    g["hideleg"], g["hvip"], g["hie"] = 0x444, pending, 0x444
    assert g["vstopi"] == top


def test_injected_interrupt_is_taken_by_the_guest(guest):
    """Nothing is pending: hvictl alone says so."""
    g = host(guest, "program: wfi; nop\n1: j 1b\n.balign 4\nguests: csrr a1, scause; csrr a2, 0xDB0; ecall")
    g["vstvec"], g["vsstatus"] = g.address("guests"), mask("vsstatus", "SIE")
    g["hvictl"] = mask("hvictl", "VTI") | 13 << 16
    enter(g, "program", VS)
    g.finish()
    assert (g["scause"], g["a1"], g["a2"]) == (10, 1 << 63 | 13, 13 << 16 | 1)


@pytest.mark.parametrize("source", ["csrr a1, sip", "csrr a1, sie", "csrw stimecmp, zero"])
def test_what_a_host_takes_over_is_a_virtual_instruction(source, guest):
    for control, cause in ((0, 10), (mask("hvictl", "VTI") | 9 << 16, VIRTUAL)):
        g = host(guest, f"program: {source.replace('stimecmp', '0x14D')}; ecall")
        g["henvcfg"] = mask("henvcfg", "STCE")
        g["hcounteren"] = 7
        g["hvictl"] = control
        enter(g, "program", VS)
        g.finish()
        assert g["scause"] == cause


# --- State -----------------------------------------------------------------------------------------------------------

def test_files_are_in_a_snapshot(machine):
    g = machine()
    file = File(g, "s")
    file.open(9, 99)
    send(g, IMSIC_S, 99)
    snapshot = g.machine.snapshot()
    g["stopei"] = 0
    assert not file.signals
    g.machine.restore(snapshot)
    assert file.signals and g["stopei"] == 99 << 16 | 99
    with g.machine.fork() as twin:
        assert twin.harts[0].csr["stopei"] == 99 << 16 | 99
    with vm.Machine(memory="2M", isa=ISA, aia="aplic") as other:
        with pytest.raises(vm.SnapshotError, match="its aia: 'aplic-imsic'"):
            other.restore(snapshot)


def test_reset_empties_the_files(machine):
    g = machine()
    File(g, "s").open(9)
    send(g, IMSIC_S, 9)
    g.machine.reset()
    file = File(g, "s")
    assert not file.signals and (file[EIDELIVERY], file[EIP], file[EIE]) == (0, 0, 0)
