"""Every row of riscv/csrs.py, by instructions in M-mode and from Python.

What a row says is held against the hart; for those with an effect of their own, and for fields, there are values from
the manuals besides.
"""

import pytest

from tests.native.riscv.test_csr import Bench
from vm import Machine
from vm_native.riscv.csrs import CSRS, Csr, is_there, mask
from vm_native.riscv.isa import DEFAULT, EXTENSIONS, LETTERS, parse
from vm_native.riscv.registers import CSR_NUMBERS

pytestmark = pytest.mark.usefixtures("dispatch")

U64 = (1 << 64) - 1
ISAS = ["rv64i", "rv64imac", "rv64gc_zicntr_sstc", "rv64gc_zihpm_sscofpmf_zicbom_svpbmt",
        "rv64imac_zkr_smstateen_svadu", "rv64gcv", DEFAULT, DEFAULT + "_h_smmpm_smnpm_ssnpm_smcntrpmf_zicfilp_zicfiss"]
PATTERNS = (U64, 0, 0xAAAA_AAAA_AAAA_AAAA, 0x5555_5555_5555_5555, 0x0123_4567_89AB_CDEF)
HART_SAYS = {"misa", "mhartid"}


def legal(row: Csr, extensions, value: int) -> int:
    """What is stored of a value, by the fields of the row."""
    if row.fields is None:
        return value
    kept = 0
    for field in row.fields:
        content = value >> field.low & field.mask >> field.low
        if not is_there(field, extensions):
            continue
        if field.fixed is not None:
            kept |= field.fixed << field.low
        elif not field.readonly and (not field.legal or content in field.legal.values()):
            kept |= content << field.low
    return kept


def is_plain(row: Csr) -> bool:
    return row.state is not None and not (row.is_readonly or row.read or row.write or row.name in HART_SAYS)


@pytest.fixture(params=ISAS)
def bench(request, guest):
    return Bench(lambda source: guest(source, isa=request.param))


def test_register_is_there_if_its_extension_is(bench):
    extensions = bench.g.machine.isa.extensions
    there = {number for row in CSRS if is_there(row, extensions) for _, number in row.registers()}
    bench.g["mstatus"] = mask("mstatus", "FS VS")
    for number in range(4096):
        assert (bench.g.native.read_csr(number) is not None) == (number in there), hex(number)
        operation, source = (1, 10) if number == CSR_NUMBERS["seed"] else (2, 0)        # only csrrw may read it
        assert (bench.instruct(operation, number, source, 11) is not None) == (number in there), hex(number)


def test_number_says_who_may_access_it(bench):
    """Privileged manual, section 2.1: bits 9:8 are the lowest privilege; bits 11:10 are both 1 if it is read-only."""
    bench.g.open_pmp()
    for row in CSRS:
        for name, number in row.registers():
            for privilege in (0, 1, 3):
                if privilege < (0, 1, 1, 3)[number >> 8 & 3]:           # a hypervisor is a supervisor
                    bench.g.hart.privilege = privilege
                    assert bench.read(number) is None, name
            bench.g.hart.privilege = 3
            if number >> 10 == 3:
                assert bench.instruct(1, number, 10, 0) is None, name
                assert not bench.g.native.write_csr(number, 0), name


EVERYTHING = "_".join(["rv64imafdc", *map(str.lower, EXTENSIONS)])


@pytest.fixture
def new():
    """The CSRs of a hart that nothing has touched."""
    with Machine(isa=EVERYTHING) as machine:
        yield machine.harts[0].csr


def test_value_after_reset(new):
    extensions = parse(EVERYTHING).extensions
    for row in CSRS:
        expected = row.constant if row.constant is not None else row.initial(extensions) if row.state else None
        for name, _ in row.registers():
            if expected is not None:
                assert new[name] == expected, name


@pytest.mark.parametrize("name, value", {
    "mstatus": 0xA << 32,               # section 3.4: MIE and MPRV are 0; UXL and SXL say 64 bits
    "sstatus": 2 << 32,
    "mcause": 0,                        # section 3.4
    "misa": 2 << 62 | 0x1411AF,         # A to D, F, H, I, M, S, U
    "mideleg": 0x1444, "hstatus": 2 << 32, "hgatp": 0, "henvcfg": 0,
    "satp": 0,
    "pmpcfg0": 0, "pmpcfg2": 0,         # section 3.4: A and L
    "menvcfg": 0, "mseccfg": 0, "mstateen0": 0,
    "mimpid": 1, "mvendorid": 0,
    "stimecmp": U64,                    # the manual leaves it open; no interrupt is to come
}.items())  # fmt: skip
def test_value_after_reset_by_the_manual(name, value, new):
    assert new[name] == value


@pytest.mark.parametrize("isa, adue", [
    ("default", 1), ("rv64gc_svadu", 1), ("rv64gc_svade", 0), ("rv64gc_svadu_svade", 0), ("rv64gc", 0),
    ("rva22s64", 0), ("rva22s64_svadu", 0),
])
def test_entries_are_updated_from_reset_where_only_svadu_is_said(isa, adue, guest):
    """menvcfg.ADUE, as QEMU resets it, and as the device-tree binding of Linux says of the two names."""
    one = guest("wfi", isa=isa)
    assert one["menvcfg"] >> 61 & 1 == adue
    one["menvcfg"] = adue << 61 ^ 1 << 61
    one.native.reset()
    assert one["menvcfg"] == adue << 61


@pytest.mark.parametrize("isa", ["rv64i", "rv64imac_zifencei", "rv64gc_zicntr"])
def test_counters_can_be_allowed_that_firmware_emulates(isa, guest):
    """OpenSBI emulates `time` where mcounteren.TM is set; QEMU keeps the bits without Zicntr, too."""
    bench = Bench(lambda source: guest(source, isa=isa))
    for name in ("mcounteren", "scounteren"):
        assert bench.write(CSR_NUMBERS[name], U64) == 7


def test_stored_value_is_legal(bench):
    extensions = bench.g.machine.isa.extensions
    for row in filter(is_plain, CSRS):
        if not is_there(row, extensions):
            continue
        if row.access == "vector_enabled":
            bench.g["mstatus"] = mask("mstatus", "VS")
        for name, number in row.registers():
            before = bench.g[name]
            for value in PATTERNS:
                expected = legal(row, extensions, value)
                assert bench.instruct(1, number, 10, 0, value) is not None, name
                assert bench.g[name] == expected, (name, hex(value))
                bench.g[name] = before
                bench.g[name] = value
                assert name == "mcause" or bench.read(number) == expected, (name, hex(value))     # the bench's own
            bench.g[name] = before


def test_constants_ignore_writes(bench):
    for row in CSRS:
        if row.constant is not None and not row.is_readonly and is_there(row, bench.g.machine.isa.extensions):
            for name, number in row.registers():
                assert bench.write(number, U64) == row.constant, name


# What all ones become on the default machine with Zkr and H, by the manuals; of registers with effects,
# something that they keep.
STORED = {
    "mtvec": (U64, U64 & ~2),
    "mepc": (U64, U64 & ~1),
    "medeleg": (U64, 0xF0_B7FF),
    "mideleg": (U64, 0x3666),
    "mie": (U64, 0x3EEE),
    "mip": (U64, 0x2226),
    "hip": (U64, 4),
    "hie": (U64, 0x1444),
    "hvip": (U64, 0x444),
    "hedeleg": (U64, 0xB1FF),
    "hideleg": (U64, 0x444),
    "hstatus": (U64, 2 << 32 | 0x7003C0),
    "hgatp": (U64, (1 << 44) - 4 | 0x3FFF << 44),   # there is no mode 15: that stays as it was
    "henvcfg": (U64, 0xF1 | 1 << 61),               # of menvcfg's bits, ADUE is set from reset
    "hstateen0": (U64, 0),                          # as mstateen0
    "vsstatus": (U64, 1 << 63 | 2 << 32 | 0xC6122),
    "vsatp": (U64, (1 << 60) - 1),
    "vsip": (U64, 0),
    "vsie": (U64, 0),
    "vstimecmp": (U64, U64),
    "htimedelta": (U64, U64),
    "sip": (U64, 0),                                # nothing is delegated
    "sie": (U64, 0),
    "mcounteren": (U64, 0xFFFF_FFFF),
    "mcountinhibit": (U64, 0xFFFF_FFFD),
    "mhpmcounter3": (U64, U64),
    "mhpmevent31": (U64, 0xFC << 56),               # of events, that is none
    "mcyclecfg": (U64, 0x1F << 58),
    "minstretcfg": (U64, 0x1F << 58),
    "menvcfg": (U64, 7 << 61 | 0xF1),
    "senvcfg": (0xFFFF_FFFF_FFFF_FFEF, 0xC1),       # CBIE 2 is reserved
    "mseccfg": (U64, 0x300),
    "mstateen0": (U64, 3 << 62),
    "mstateen3": (U64, 1 << 63),
    "mstatus": (U64, 1 << 63 | 0xCA << 32 | 0x7E79AA),
    "sstatus": (U64, 1 << 63 | 2 << 32 | 0xC6122),
    "satp": (U64, 0),                               # there is no mode 15: it stays as it was
    "pmpcfg2": (U64, 0x9F9F_9F9F_9F9F_9F9F),
    "pmpaddr15": (U64, (1 << 54) - 1),
    "pmpaddr16": (U64, 0),
    "fcsr": (U64, 0xFF),
    "fflags": (U64, 0x1F),
    "frm": (U64, 7),
    "mcycle": (U64, U64),
    "minstret": (U64, U64),
    "stimecmp": (U64, U64),
    "vstart": (U64, 127),                           # elements of 8 bits in 8 registers of 128
    "vcsr": (U64, 7),
    "vxsat": (U64, 1),
    "vxrm": (U64, 3),
    "mireg": (U64, 0), "sireg": (U64, 0),           # priorities of 0x30, which is selected: they are read-only
    "mtopei": (U64, 0), "stopei": (U64, 0),
    "vsireg": (U64, 1), "vstopei": (U64, 0),        # eidelivery of guest 1, of 7
    "hgeie": (U64, 0xFE),
    "mvip": (U64, 0x222),
    "tdata1": (6 << 60 | 0x45F, 6 << 60 | 0x5F),    # match 8, "not equal", is none of those that there are
}  # fmt: skip


OF_AIA = "mireg", "sireg", "mtopei", "stopei", "mvip", "vsireg", "vstopei", "hgeie"
SELECTED = {"miselect": 0x30, "siselect": 0x30, "vsiselect": 0x70, "hstatus": 1 << 12}


@pytest.mark.parametrize("name", STORED)
def test_stored_value_by_the_manual(name, guest):
    value, expected = STORED[name]
    is_vector = name in ("vstart", "vxsat", "vxrm", "vcsr")
    bench = Bench(lambda source: guest(source, isa=DEFAULT + "_zkr_h_smcntrpmf" + "_v" * is_vector,
                                       **({"aia": "aplic-imsic", "aia_guests": 7} if name in OF_AIA else {})))
    for register, value_there in SELECTED.items() if name in OF_AIA else ():
        bench.g[register] = value_there
    if name in ("fcsr", "fflags", "frm"):
        bench.g["mstatus"] = 3 << 13
    if is_vector:
        bench.g["mstatus"] = 3 << 9
    assert bench.write(CSR_NUMBERS[name], value) == expected


def test_every_effect_has_a_value_by_the_manual():
    """A new row with a function of its own needs a line above."""
    effects = {name for row in CSRS for name, _ in row.registers()
               if (row.write or row.view) and not row.is_readonly and not row.constant}
    families = {name.rstrip("0123456789") for name in STORED}
    assert {name for name in effects if name not in STORED and name.rstrip("0123456789") not in families} == set()


def test_numbers_and_names_are_told_apart():
    names = [name for row in CSRS for name, _ in row.registers()]
    numbers = [number for row in CSRS for _, number in row.registers()]
    assert len(set(names)) == len(names) == len(set(numbers))


def test_fields_do_not_overlap():
    for row in CSRS:
        fields = row.fields or ()
        together = 0
        for field in fields:
            assert not together & field.mask, (row.name, field.name)
            together |= field.mask
        assert together < 1 << row.each


def test_extensions_are_known():
    known = LETTERS.keys() | EXTENSIONS.keys()
    rows = [*CSRS, *(field for row in CSRS for field in row.fields or ())]
    assert {name for row in rows for name in row.needs.replace("+", " ").split()} <= known
