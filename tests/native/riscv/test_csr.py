"""Control and status registers: legal values (privileged specification, chapters 3 and 12), access, side effects.

Values are written and read by csrrw in M-mode, so what is seen is what a guest sees.
"""

import pytest

from tests.assembler import BASE
from vm.registers import csr_number
from vm_native.riscv.csrs import mask

pytestmark = pytest.mark.usefixtures("dispatch")

ILLEGAL = 2
USER, SUPERVISOR, MACHINE = 0, 1, 3
U64 = (1 << 64) - 1
S_BITS = 1 << 1 | 1 << 5 | 1 << 9
M_BITS = 1 << 3 | 1 << 7 | 1 << 11
FS = 3 << 13


class Bench:
    """Writes a CSR by an instruction and reads it back by another."""

    def __init__(self, guest):
        self.g = guest("nop")
        self.code = BASE + 0x1000

    def instruct(self, operation: int, csr: int | str, rs1: int, rd: int, value: int = 0) -> int | None:
        """csrrw (1), csrrs (2), csrrc (3); None where it is illegal. Uses a0 as source and a1 as destination."""
        number = csr_number(csr)
        self.g.store(self.code, number << 20 | rs1 << 15 | operation << 12 | rd << 7 | 0x73, 4)
        self.g.hart.pc, self.g["mcause"] = self.code, 0
        self.g["a0"], self.g["a1"] = value, 0
        self.g.run(instructions=1)
        return None if self.g.hart.pc == self.g.address("trap_m") else self.g["a1"]

    def read(self, csr: int | str) -> int | None:
        return self.instruct(2, csr, 0, 11)

    def write(self, csr: int | str, value: int) -> int | None:
        """What it reads as afterwards; None if the write is illegal."""
        if self.instruct(1, csr, 10, 0, value) is None:
            return None
        return self.read(csr)


@pytest.fixture
def bench(guest):
    return Bench(guest)


# name: (number, bits that can be set, bits that always read as one)
MASKS = {
    "mscratch": (0x340, U64, 0),
    "sscratch": (0x140, U64, 0),
    "mtval": (0x343, U64, 0),
    "stval": (0x143, U64, 0),
    "mepc": (0x341, U64 & ~1, 0),
    "sepc": (0x141, U64 & ~1, 0),
    "medeleg": (0x302, 0xB3FF, 0),                          # all exceptions but ecall from M and the reserved ones
    "mideleg": (0x303, S_BITS, 0),
    "mie": (0x304, S_BITS | M_BITS, 0),
    "mip": (0x344, S_BITS, 0),                              # MSIP, MTIP and MEIP are read-only
    "mcounteren": (0x306, 7, 0),
    "scounteren": (0x106, 7, 0),
    "mcountinhibit": (0x320, 5, 0),                         # bit 1 is always zero
    "menvcfg": (0x30A, 1 | 1 << 63, 0),                     # FIOM, STCE; ADUE only with Svadu, which is asked for below
    "senvcfg": (0x10A, 1, 0),
    "mstatus": (0x300, S_BITS & 0x22 | 0x188 | 3 << 11 | FS | 0x7E << 16 | 1 << 63, 0xA << 32),
    "sstatus": (0x100, 0x122 | FS | 3 << 18 | 1 << 63, 2 << 32),
    "pmpaddr0": (0x3B0, (1 << 54) - 1, 0),
    "pmpaddr15": (0x3BF, (1 << 54) - 1, 0),
    "pmpaddr16": (0x3C0, 0, 0),
    "mhpmcounter3": (0xB03, 0, 0),
    "mhpmevent31": (0x33F, 0, 0),
    "frm": (0x002, 7, 0),
    "fflags": (0x001, 31, 0),
    "fcsr": (0x003, 0xFF, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_writable_bits(name, guest):
    number, writable, ones = MASKS[name]
    bench = Bench(lambda source: guest(source, isa="rv64gc_zicntr_sstc_svade_sv57"))
    bench.g["mstatus"] = FS
    zero = bench.write(number, 0)
    assert zero & ~(FS | 1 << 63 if name in ("mstatus", "sstatus") else 0) == ones
    assert bench.write(number, U64) == writable | ones


def test_adue_is_there_with_svadu(guest):
    bench = Bench(lambda source: guest(source, isa="rv64gc_svadu"))
    assert bench.write("menvcfg", U64) == 1 | 1 << 61           # STCE belongs to Sstc


@pytest.mark.parametrize("name, number", [("mtvec", 0x305), ("stvec", 0x105)])
def test_trap_vector_modes(name, number, bench):
    """Direct and vectored; modes 2 and 3 are reserved."""
    assert bench.write(number, 0x8000_0100) == 0x8000_0100
    assert bench.write(number, 0x8000_0101) == 0x8000_0101
    for reserved in (2, 3):
        assert bench.write(number, 0x8000_0100 | reserved) & 3 in (0, 1)
        bench.g[name] = bench.g.address("trap_m")


def test_reserved_privilege_in_mpp_is_not_kept(bench):
    assert bench.write("mstatus", 2 << 11) >> 11 & 3 in (0, 1, 3)


@pytest.mark.parametrize("fs, dirty", [(0, False), (1, False), (2, False), (3, True)])
def test_sd_sums_up_fs(fs, dirty, bench):
    assert bench.write("mstatus", fs << 13) >> 63 == dirty
    assert bench.read("sstatus") >> 63 == dirty


def test_sstatus_is_a_window_on_mstatus(bench):
    bench.write("mstatus", U64)
    bench.write("sstatus", 0)
    assert bench.read("mstatus") & (0x122 | FS | 3 << 18) == 0
    assert bench.read("mstatus") & 0x188 == 0x88 and bench.read("mstatus") >> 20 & 7 == 7


def test_sie_and_sip_show_what_is_delegated(bench):
    bench.write("mideleg", 1 << 1 | 1 << 9)
    bench.write("mie", U64)
    assert bench.read("sie") == 1 << 1 | 1 << 9
    bench.write("sie", 0)
    assert bench.read("mie") == (S_BITS | M_BITS) & ~(1 << 1 | 1 << 9)
    bench.write("mip", S_BITS)
    assert bench.read("sip") == 1 << 1 | 1 << 9
    bench.write("sip", 0)                                   # only SSIP can be cleared there
    assert bench.read("mip") == 1 << 5 | 1 << 9


def test_sip_software_bit_is_read_only_unless_delegated(bench):
    bench.write("sip", U64)
    assert bench.read("mip") == 0


def test_misa(guest):
    bench = Bench(lambda source: guest(source, isa="rv64imac"))
    letters = "ACIMSU"
    assert bench.read("misa") == 2 << 62 | sum(1 << ord(letter) - ord("A") for letter in letters)
    assert bench.write("misa", 0) == bench.read("misa")


@pytest.mark.parametrize("isa, modes", [("rv64gc", {0, 8}), ("rv64gc_sv48", {0, 8, 9}), ("rv64gc_sv57", {0, 8, 9, 10})])
def test_satp_takes_only_modes_that_there_are(isa, modes, guest):
    """A write of another mode changes nothing at all (section 12.1.11)."""
    bench = Bench(lambda source: guest(source, isa=isa))
    for mode in range(16):
        bench.write("satp", 8 << 60 | 0x1234)
        after = bench.write("satp", mode << 60 | (0x4321 if mode else 0))
        expected = (mode << 60 | (0x4321 if mode else 0)) if mode in modes else 8 << 60 | 0x1234
        assert after == expected, mode


def test_machine_information_is_read_only(bench):
    for number in (0xF11, 0xF12, 0xF13, 0xF14, 0xF15):
        assert bench.read(number) is not None
        assert bench.write(number, 0) is None


def test_hart_number(guest):
    g = guest("csrr s0, mhartid; wfi", harts=3)
    g.finish()
    assert [hart["s0"] for hart in g.machine.harts] == [0, 1, 2]


# --- Access ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [0x100, 0x180, 0x300, 0x3A0, 0xB00])
@pytest.mark.parametrize("privilege", [USER, SUPERVISOR, MACHINE])
def test_number_says_which_privilege_it_takes(number, privilege, bench):
    bench.g.open_pmp()
    bench.g.hart.privilege = privilege
    assert (bench.read(number) is not None) == (privilege >= number >> 8 & 3)


@pytest.mark.parametrize("number", [0x3A1, 0x3A3, 0x5C0, 0x600, 0x747, 0x7C0, 0xC80, 0xFC0, 0x000, 0x008])
def test_register_that_is_not_there(number, bench):
    assert bench.read(number) is None
    assert bench.g["mcause"] == ILLEGAL
    assert bench.write(number, 0) is None


def test_every_number_can_be_tried(bench):
    """Reads either work or are illegal; nothing else happens to the machine."""
    for number in range(4096):
        value = bench.read(number)
        assert value is not None or bench.g["mcause"] == ILLEGAL, hex(number)
        bench.g.hart.privilege = MACHINE


@pytest.mark.parametrize("operation, source, writes", [(1, 0, True), (2, 0, False), (3, 0, False), (2, 10, True),
                                                       (3, 10, True), (5, 0, True), (6, 0, False), (6, 1, True)])
def test_what_counts_as_a_write(operation, source, writes, bench):
    """A set or clear with x0 or zero does not write, so it may name a read-only register; with zero in another does."""
    assert (bench.instruct(operation, "mhartid", source, 11, 0) is None) == writes


@pytest.mark.parametrize("operation, before, operand, after", [
    (1, 0xF0, 0x3C, 0x3C), (2, 0xF0, 0x3C, 0xFC), (3, 0xF0, 0x3C, 0xC0),
])  # fmt: skip
def test_swap_set_and_clear(operation, before, operand, after, bench):
    bench.write("mscratch", before)
    assert bench.instruct(operation, "mscratch", 10, 11, operand) == before
    assert bench.read("mscratch") == after


def test_source_and_destination_may_be_one_register(guest):
    g = guest("li a0, 5; csrw mscratch, a0; li a0, 9; csrrw a0, mscratch, a0; csrr a1, mscratch; wfi")
    g.finish()
    assert (g["a0"], g["a1"]) == (5, 9)


@pytest.mark.parametrize("fs, number", [(fs, number) for fs in (0, 1) for number in (1, 2, 3)])
def test_floating_point_registers_need_fs(fs, number, bench):
    bench.g["mstatus"] = fs << 13
    assert (bench.read(number) is not None) == bool(fs)


def test_writing_fcsr_makes_the_state_dirty(bench):
    bench.g["mstatus"] = 1 << 13
    bench.write("fcsr", 0)
    assert bench.g["mstatus"] & FS == FS


@pytest.mark.parametrize("counter, number", [(0, 0xC00), (1, 0xC01), (2, 0xC02)])
def test_counter_enables(counter, number, bench):
    """S-mode asks mcounteren, U-mode both; M-mode nobody (section 3.1.11)."""
    bench.g.open_pmp()
    for machine in (0, 1 << counter):
        for supervisor in (0, 1 << counter):
            bench.g["mcounteren"], bench.g["scounteren"] = machine, supervisor
            for privilege, allowed in ((MACHINE, True), (SUPERVISOR, machine), (USER, machine and supervisor)):
                bench.g.hart.privilege = privilege
                assert (bench.read(number) is not None) == bool(allowed)


@pytest.mark.parametrize("stce", [0, 1])
@pytest.mark.parametrize("tm", [0, 1])
def test_stimecmp_needs_stce_and_tm(stce, tm, bench):
    bench.g.open_pmp()
    bench.g["menvcfg"], bench.g["mcounteren"] = stce << 63, tm << 1
    bench.g.hart.privilege = SUPERVISOR
    assert (bench.read("stimecmp") is not None) == bool(stce and tm)
    bench.g.hart.privilege = MACHINE
    assert bench.read("stimecmp") is not None


# --- Interrupt bits --------------------------------------------------------------------------------------------------

def test_set_of_a_bit_of_mip_does_not_latch_the_line(bench):
    """A device's SEIP reads as set, but csrrs writes only the software bit (section 3.1.9)."""
    bench.g.native.set_interrupt(9, True)
    assert bench.instruct(2, "mip", 10, 11, 1 << 1) == 1 << 9
    bench.g.native.set_interrupt(9, False)
    assert bench.read("mip") == 1 << 1


def test_software_bit_of_seip_is_or_ed_with_the_line(bench):
    bench.write("mip", 1 << 9)
    bench.g.native.set_interrupt(9, True)
    assert bench.instruct(3, "mip", 10, 11, 1 << 9) == 1 << 9
    assert bench.read("mip") == 1 << 9
    bench.g.native.set_interrupt(9, False)
    assert bench.read("mip") == 0


def test_with_stce_the_timer_bit_follows_stimecmp_alone(bench):
    """Sstc: mip.STIP is read-only then; what software had set before does not show."""
    bench.write("mip", 1 << 5)
    bench.write("stimecmp", U64)
    bench.write("menvcfg", 1 << 63)
    assert bench.read("mip") & 1 << 5 == 0
    bench.write("mip", 1 << 5)
    assert bench.read("mip") & 1 << 5 == 0
    bench.write("stimecmp", 0)
    assert bench.read("mip") & 1 << 5
    bench.write("stimecmp", U64)
    assert bench.read("mip") & 1 << 5 == 0


# --- Counters --------------------------------------------------------------------------------------------------------

def test_counters_count_instructions(guest):
    """instret leaves out what trapped; both count the read itself only afterwards."""
    g = guest("csrr a0, mcycle; csrr a1, minstret; nop; nop; csrr a2, mcycle; csrr a3, minstret; wfi")
    g.finish()
    assert (g["a2"] - g["a0"], g["a3"] - g["a1"]) == (4, 4)


def test_instructions_that_trap_do_not_retire(guest):
    g = guest("""
        la   t0, handler
        csrw mtvec, t0
        csrr a0, mcycle
        csrr a1, minstret
        ecall
        ebreak
        lw   t1, 0(zero)
        csrr a2, mcycle
        csrr a3, minstret
        wfi
        .balign 4
        .option norvc
    handler:
        csrr t0, mepc
        addi t0, t0, 4
        csrw mepc, t0
        mret
    """.replace("ecall", ".option norvc\n ecall"))
    g.finish()
    assert g["a2"] - g["a0"] == 2 + 3 * 5                   # three traps with four handler instructions each
    assert g["a3"] - g["a1"] == 2 + 3 * 4


@pytest.mark.parametrize("number", [0xB00, 0xB02])
def test_written_counter_goes_on_from_there(number, bench):
    """The write takes effect after its own instruction (section 3.1.10)."""
    assert bench.write(number, 1000) == 1000
    assert bench.read(number) == 1001


@pytest.mark.parametrize("name", ["mcycle", "minstret"])
def test_counter_written_from_python_reads_the_same(name, bench):
    bench.g[name] = 1000
    assert bench.g[name] == 1000
    bench.read("mscratch")
    assert bench.g[name] == 1001


def test_counter_started_again_from_python_goes_on_where_it_stood(bench):
    bench.g["mcountinhibit"] = 1
    before = bench.g["mcycle"]
    bench.g["mcountinhibit"] = 0
    assert bench.g["mcycle"] == before


@pytest.mark.parametrize("bit, number, other", [(1, 0xB00, 0xB02), (4, 0xB02, 0xB00)])
def test_inhibited_counter_stands_still(bit, number, other, bench):
    bench.write("mcountinhibit", bit)
    first, first_other = bench.read(number), bench.read(other)
    bench.read("mscratch")
    assert bench.read(number) == first
    assert bench.read(other) > first_other
    assert bench.write(number, 77) == 77
    bench.write("mcountinhibit", 0)
    assert bench.read(number) >= 78


def test_counters_wrap(bench):
    assert bench.write("mcycle", U64) == U64
    assert bench.read("mcycle") == 0


# --- Filters of cycle and instret (chapter "Smcntrpmf") --------------------------------------------------------------

FILTERED = """
    csrw 0x321, a0          # mcyclecfg
    csrw 0x322, a0          # minstretcfg
    csrw mcycle, zero
    csrw minstret, zero
    mret
user:
    nop
    nop
    nop
    ecall
"""


@pytest.mark.parametrize("name", ["MINH", "UINH", "MINH UINH", "SINH"])
def test_instructions_of_some_modes_do_not_count(name, guest):
    """A return counts where it comes from; what traps does not retire."""
    g = guest(FILTERED, isa="rv64gc_zicntr_smcntrpmf")
    g.open_pmp()
    g["a0"] = mask("minstretcfg", name)
    g["mepc"] = g.address("user")
    g.trap()
    machine = 0 if "MINH" in name else 2        # the return, and wfi in the handler
    user = 0 if "UINH" in name else 3
    assert g["minstret"] == machine + user
    assert 0 <= g["mcycle"] - machine - user <= 2       # the write of minstret, and the trap, in either mode


def test_counter_that_stands_for_a_mode_can_be_written(guest):
    g = guest("csrw minstret, a1; csrr a2, minstret; csrw 0x322, zero; csrr a3, minstret; wfi", isa="rv64gc_smcntrpmf")
    g["minstretcfg"], g["a1"] = mask("minstretcfg", "MINH"), 77
    g.finish()
    assert (g["a2"], g["a3"]) == (77, 78)


def test_filters_have_bits_for_guests(guest):
    for isa, bits in (("rv64gc_smcntrpmf", 0x7 << 60), ("rv64gch_smcntrpmf", 0x1F << 58)):
        g = guest("wfi", isa=isa)
        g["mcyclecfg"] = U64
        assert g["mcyclecfg"] == bits
    for isa, bits in (("rv64gc_sscofpmf", 0xF << 60), ("rv64gch_sscofpmf", 0x3F << 58)):
        g = guest("wfi", isa=isa)
        g["mhpmevent3"] = U64
        assert g["mhpmevent3"] == bits
