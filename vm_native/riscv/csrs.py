"""The control and status registers: one row per CSR, with its fields; and the tables of interrupts and causes.

The core's switch over CSR numbers and its constants, `vm info --csrs`, docs/csrs.md and tests are made from these rows.
Sections are those of the privileged manual, chapters 3 (machine) and 12 (supervisor), unless they say otherwise.

C(number, name, needs) is a CSR of harts with the extension `needs`, or any one of several, if it says one. The number
itself says the lowest privilege that may access it (bits 9:8), and whether it is read-only (bits 11:10 are both 1).
Then, where it is so:

    indices=    a family: name0, name1 ... with these indices, at consecutive numbers from the first on
    fields=     what can be written (WARL); the other bits read as 0. Without: all 64 bits can.
                F("MPP", "12:11") is a field at these bits of the register, F("SIE", 1) a bit. Then, where it is so:
                    needs=      the extension without which it is 0; any one, where there are several; both of A+B
                    legal=      the values that it keeps, by name; any other becomes 0
                    fixed=      the one value that it has, where it is there
                    readonly=   whether it only shows what is so elsewhere
                    without=    it is all ones after reset if the hart has not this extension, and has `needs`
    each=       the register consists of entries of so many bits, and the fields are those of each
    reset=      the value after reset, but for fixed fields: 0 if nothing is said, None if the hart decides
    state=      the field of RiscvState that keeps it: the one of its name if nothing is said, None if no one does
    constant=   it always reads as this and ignores writes: there is no state
    view=       it shows another CSR: the `fields` named, or all that there are; `through` a mask that stands in a third
    part=       it is a field of another CSR, at bit 0: "fcsr.FRM"

Functions of csr.pyx, guest_csrs.pyx and privilege.pyx are named only where an access has an effect or a condition:

    access=     may it be accessed now, as far as state decides?    f(hart, number, writes)
    guest=      the same of a guest, where its host might?          f(hart, number)
    read=       gives the value                                     f(hart), of a family f(hart, index)
    write=      does all that a write does                          f(hart, value), of a family f(hart, index, value)
    after=      called when a legal value has been stored           f(hart)

Without `write` a write stores the legal value, or does nothing where there is no state.

This file is data. It imports nothing of the package: generate.py imports it before anything is compiled.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

ALL_ONES = (1 << 64) - 1

# Extensions that a hart asks for at run time, in the order of their bits in RiscvState.features.
FEATURES = (
    "F", "Zca", "Zicntr", "Zihpm", "Zicbom", "Zicboz", "Zkr", "Smstateen", "Sscofpmf", "Sstc", "Svade", "Svadu",
    "Svnapot", "Svpbmt", "Sdtrig", "V", "Zve32x", "Zve32f", "Zve64x", "Zve64d", "Zvfhmin", "Zvfh", "Zvknhb", "H",
    "Smmpm", "Smnpm", "Ssnpm", "Smcntrpmf", "Zicfilp", "Zicfiss", "Smaia", "Ssaia",
)
PMP_ENTRIES = 16                        # of the 64 that there are numbers for, as section 3.7 permits
TRIGGERS = 4
GUEST_FILES = 7                         # of interrupts: at most so many guests have one (GEILEN), as on QEMU's `virt`


class Interrupt(NamedTuple):
    number: int                         # of the bit in mip and mie, and the cause
    name: str
    text: str
    needs: str = ""


class Cause(NamedTuple):
    number: int
    name: str
    text: str
    needs: str = ""


# Section 3.1.9; chapter "H"
INTERRUPTS = (
    Interrupt(1, "SSI", "supervisor software interrupt"),
    Interrupt(2, "VSSI", "virtual supervisor software interrupt", "H"),
    Interrupt(3, "MSI", "machine software interrupt"),
    Interrupt(5, "STI", "supervisor timer interrupt"),
    Interrupt(6, "VSTI", "virtual supervisor timer interrupt", "H"),
    Interrupt(7, "MTI", "machine timer interrupt"),
    Interrupt(9, "SEI", "supervisor external interrupt"),
    Interrupt(10, "VSEI", "virtual supervisor external interrupt", "H"),
    Interrupt(11, "MEI", "machine external interrupt"),
    Interrupt(12, "SGEI", "supervisor guest external interrupt", "H"),
    Interrupt(13, "LCOFI", "local counter-overflow interrupt", "Sscofpmf"),
)
# Section 3.1.15, table "Machine cause (mcause) register values after trap"
CAUSES = (
    Cause(0, "FETCH_MISALIGNED", "instruction address misaligned"),
    Cause(1, "FETCH_ACCESS", "instruction access fault"),
    Cause(2, "ILLEGAL_INSTRUCTION", "illegal instruction"),
    Cause(3, "BREAKPOINT", "breakpoint"),
    Cause(4, "LOAD_MISALIGNED", "load address misaligned"),
    Cause(5, "LOAD_ACCESS", "load access fault"),
    Cause(6, "STORE_MISALIGNED", "store address misaligned"),
    Cause(7, "STORE_ACCESS", "store access fault"),
    Cause(8, "ECALL_FROM_U", "environment call from U-mode"),
    Cause(9, "ECALL_FROM_S", "environment call from S-mode"),
    Cause(10, "ECALL_FROM_VS", "environment call from VS-mode", "H"),
    Cause(11, "ECALL_FROM_M", "environment call from M-mode"),
    Cause(12, "FETCH_PAGE", "instruction page fault"),
    Cause(13, "LOAD_PAGE", "load page fault"),
    Cause(15, "STORE_PAGE", "store page fault"),
    Cause(18, "SOFTWARE_CHECK", "software check", "Zicfilp Zicfiss"),
    Cause(20, "FETCH_GUEST_PAGE", "instruction guest-page fault", "H"),
    Cause(21, "LOAD_GUEST_PAGE", "load guest-page fault", "H"),
    Cause(22, "VIRTUAL_INSTRUCTION", "virtual instruction", "H"),
    Cause(23, "STORE_GUEST_PAGE", "store guest-page fault", "H"),
)


class Field(NamedTuple):
    name: str
    high: int
    low: int
    needs: str
    legal: Mapping[str, int]
    fixed: int | None
    readonly: bool
    without: str

    @property
    def mask(self) -> int:
        return (2 << self.high) - (1 << self.low)

    @property
    def is_writable(self) -> bool:
        return self.fixed is None and not self.readonly


class Csr(NamedTuple):
    number: int
    name: str
    needs: str
    indices: range | None
    fields: Sequence[Field] | None
    each: int
    reset: int | None
    state: str | None
    constant: int | None
    view: "Csr | None"
    through: str
    part: Field | None                  # of `view`
    access: str
    guest: str
    read: str
    write: str
    after: str

    @property
    def privilege(self) -> int:
        """The lowest that may access it: 0 U, 1 S, 3 M. Those of the hypervisor, 2, are S-mode's, of no guest."""
        return (0, 1, 1, 3)[self.number >> 8 & 3]

    @property
    def is_readonly(self) -> bool:
        return self.number >> 10 == 3

    @property
    def writable(self) -> int:
        """The bits that a write can change on a hart that has everything; of one entry, where there are several."""
        if self.fields is None:
            return ALL_ONES
        return sum(field.mask for field in self.fields if field.is_writable)

    def initial(self, extensions: frozenset[str]) -> int | None:
        """What it holds after the reset of a hart with these; None if the hart decides."""
        if self.reset is None:
            return None
        fields = self.fields or ()
        ones = (field.mask for field in fields
                if field.without and field.needs in extensions and field.without not in extensions)
        fixed = ((field.fixed or 0) << field.low for field in fields if is_there(field, extensions))
        return self.reset | sum(fixed) | sum(ones)

    def registers(self) -> list[tuple[str, int]]:
        """Names and numbers of the family, or the one."""
        if self.indices is None:
            return [(self.name, self.number)]
        first = self.indices[0]
        return [(f"{self.name}{index}", self.number + index - first) for index in self.indices]


def is_there(row: Csr | Field, extensions: frozenset[str]) -> bool:
    """Whether a hart with these extensions has it."""
    return not row.needs or any(extensions >= set(names.split("+")) for names in row.needs.split())


CSRS: list[Csr] = []
BY_NAME: dict[str, Csr] = {}            # of a family, the first row


def F(name: str, bits: int | str, *, needs: str = "", legal: Mapping[str, int] | None = None, fixed: int | None = None,
      readonly: bool = False, without: str = "") -> Field:
    high, _, low = str(bits).partition(":")
    return Field(name, int(high), int(low or high), needs, legal or {}, fixed, readonly, without)


def C(number: int, name: str, needs: str = "", *, indices: range | None = None,
      fields: Sequence[Field] | str | None = None, each: int = 64, reset: int | None = 0, state: str | None = "",
      constant: int | None = None, view: str = "", through: str = "", part: str = "", access: str = "", guest: str = "",
      read: str = "", write: str = "", after: str = "") -> None:
    """Add a row."""
    shown, _, field_name = part.partition(".")
    base = BY_NAME[view or shown] if view or shown else None
    taken = base.fields if base else None
    if isinstance(fields, str):
        taken = [field for field in taken or () if field.name in fields.split()]
    elif fields is not None:
        taken = fields
    piece = next((field for field in taken or () if field.name == field_name), None)
    if base or constant is not None:
        state = None
    elif state == "":
        state = name if indices is None else name + "[{}]"
    CSRS.append(Csr(number, name, needs, indices, fields=taken, each=each, reset=reset, state=state, constant=constant,
                    view=base, through=through, part=piece, access=access, guest=guest, read=read, write=write,
                    after=after))
    BY_NAME.setdefault(name, CSRS[-1])


def interrupts(suffix: str = "", *, of: Sequence[Interrupt] = INTERRUPTS, readonly: str = "") -> list[Field]:
    """A bit for each interrupt."""
    return [F(row.name + suffix, row.number, needs=row.needs, readonly=row.name in readonly.split()) for row in of]


def mask(name: str, fields: str) -> int:
    """The bits of some fields of a CSR, or of a family's: mask("menvcfg", "STCE PBMTE")."""
    by_name = {field.name: field for field in BY_NAME[name].fields or ()}
    return sum(by_name[field].mask for field in fields.split())


# What several registers have
VECTOR = (F("BASE", "63:2"), F("MODE", 0, legal={"DIRECT": 0, "VECTORED": 1}))     # MODE is 1:0; 2 and 3 are reserved
EPC = (F("ALIGNED", "63:2"), F("HALFWORD", 1, needs="Zca"))
CAUSE = (F("INTERRUPT", 63), F("CODE", "62:0"))
ENVCFG = (
    F("FIOM", 0),
    F("LPE", 2, needs="Zicfilp"),
    F("SSE", 3, needs="Zicfiss"),
    F("CBIE", "5:4", needs="Zicbom", legal={"ILLEGAL": 0, "FLUSH": 1, "INVALIDATE": 3}),
    F("CBCFE", 6, needs="Zicbom"),
    F("CBZE", 7, needs="Zicboz"),
)
PMLEN = {"PMLEN0": 0, "PMLEN7": 2, "PMLEN16": 3}         # of pointer masking: the bits ignored
OF_AIA = (                              # of state enables
    F("IMSIC", 58, needs="Ssaia"),
    F("AIA", 59, needs="Ssaia"),
    F("CSRIND", 60, needs="Ssaia"),
)
# Where a hart has no Zicntr, the first three say what firmware emulates: OpenSBI looks there.
COUNTERS = (F("CY", 0), F("TM", 1), F("IR", 2), F("HPM", "31:3", needs="Zihpm"))
FILTERS = (                             # modes in which a counter stands
    F("VUINH", 58, needs="H"),
    F("VSINH", 59, needs="H"),
    F("UINH", 60),
    F("SINH", 61),
    F("MINH", 62),
)
# What a programmable counter counts: the first as the SBI numbers its general hardware events
EVENTS = {"NONE": 0, "CYCLES": 1, "INSTRUCTIONS": 2, "EXCEPTIONS": 0x101, "INTERRUPTS": 0x102}
SELECTED = "{}[hart.state.tselect]"     # the trigger that is seen
GUEST_INTERRUPTS = [row for row in INTERRUPTS if row.needs == "H"]
SUPERVISOR_INTERRUPTS = [row for row in INTERRUPTS if row.name[0] != "M" and row not in GUEST_INTERRUPTS]
# A guest's: with one more for what it is that waits, if its host is to be told
VIRTUAL_INTERRUPTS = [row for row in GUEST_INTERRUPTS if row.name != "SGEI"]

# --- Machine information: sections 3.1.1 to 3.1.5 and 3.1.17 ---------------------------------------------------------
C(0x301, "misa",          fields=[F("MXL", "63:62", readonly=True), F("EXTENSIONS", "25:0", readonly=True)], reset=None)
C(0xF11, "mvendorid",     constant=0)
C(0xF12, "marchid",       constant=0)
C(0xF13, "mimpid",        constant=1)
C(0xF14, "mhartid",       state="hart_id", reset=None)
C(0xF15, "mconfigptr",    constant=0)

# --- Status: sections 3.1.6 and 12.1.1 -------------------------------------------------------------------------------
C(0x300, "mstatus", read="read_mstatus", write="write_mstatus", fields=[
    F("SIE", 1),
    F("MIE", 3),
    F("SPIE", 5),
    F("MPIE", 7),
    F("SPP", 8),
    F("VS", "10:9", needs="Zve32x", legal={"OFF": 0, "INITIAL": 1, "CLEAN": 2, "DIRTY": 3}),
    F("MPP", "12:11", legal={"U": 0, "S": 1, "M": 3}),
    F("FS", "14:13", needs="F", legal={"OFF": 0, "INITIAL": 1, "CLEAN": 2, "DIRTY": 3}),
    F("MPRV", 17),
    F("SUM", 18),
    F("MXR", 19),
    F("TVM", 20),
    F("TW", 21),
    F("TSR", 22),
    F("SPELP", 23, needs="Zicfilp"),
    F("UXL", "33:32", fixed=2),
    F("SXL", "35:34", fixed=2),
    F("GVA", 38, needs="H"),
    F("MPV", 39, needs="H"),
    F("MPELP", 41, needs="Zicfilp"),
    F("SD", 63, readonly=True),
])
C(0x100, "sstatus",       view="mstatus", fields="SIE SPIE SPP VS FS SUM MXR SPELP UXL SD")

# --- Traps: sections 3.1.7, 3.1.8, 3.1.13 to 3.1.16; 12.1.2, 12.1.6 to 12.1.9 ----------------------------------------
C(0x305, "mtvec",         fields=VECTOR)
C(0x302, "medeleg",       fields=[F(row.name, row.number, needs=row.needs)
                                  for row in CAUSES if row.name != "ECALL_FROM_M"])
C(0x303, "mideleg", after="interrupts_changed", fields=interrupts(of=SUPERVISOR_INTERRUPTS) + [
    F(row.name, row.number, needs="H", fixed=1) for row in GUEST_INTERRUPTS
])
C(0x340, "mscratch")
C(0x341, "mepc",          fields=EPC)
C(0x342, "mcause",        fields=CAUSE)
C(0x343, "mtval")
C(0x105, "stvec",         fields=VECTOR)
C(0x140, "sscratch")
C(0x141, "sepc",          fields=EPC)
C(0x142, "scause",        fields=CAUSE)
C(0x143, "stval")

# --- Interrupts: sections 3.1.9 and 12.1.3; mip.STIP is read-only where menvcfg.STCE is set: stimecmp decides ---------
C(0x344, "mip", reset=None, read="read_mip", write="write_mip",
  fields=interrupts("P", readonly="MEI MSI MTI VSEI VSTI SGEI"))
C(0x304, "mie",           fields=interrupts("E"), write="write_mie")
C(0x144, "sip",           view="mip", through="mideleg", guest="guest_may_see_pending",
  fields=interrupts("P", of=SUPERVISOR_INTERRUPTS, readonly="SEI STI"))
C(0x104, "sie",           view="mie", through="mideleg", guest="guest_may_see_pending",
  fields=interrupts("E", of=SUPERVISOR_INTERRUPTS))

# --- Counters: sections 3.1.10 to 3.1.12, 12.1.4 and 12.1.5; chapters "Sscofpmf", "Smcntrpmf" ------------------------
C(0xB00, "mcycle",                    state=None, read="read_mcycle", write="write_mcycle")
C(0xB02, "minstret",                  state=None, read="read_minstret", write="write_minstret")
C(0xB03, "mhpmcounter",               indices=range(3, 32), state=None, read="read_mhpmcounter",
  write="write_mhpmcounter")
C(0x306, "mcounteren",                fields=COUNTERS)
C(0x106, "scounteren",                fields=COUNTERS)
C(0x320, "mcountinhibit",             after="counters_changed", fields=[
    F("CY", 0),
    F("IR", 2),
    F("HPM", "31:3", needs="Zihpm"),
])
C(0x323, "mhpmevent",                 indices=range(3, 32), state="mhpmevent[{} - 3]", read="read_mhpmevent",
  write="write_mhpmevent", fields=[
    F("EVENT", "31:0", needs="Zihpm", legal=EVENTS),
    F("UINH", 60, needs="Sscofpmf"),
    F("SINH", 61, needs="Sscofpmf"),
    F("MINH", 62, needs="Sscofpmf"),
    F("VUINH", 58, needs="Sscofpmf+H"),
    F("VSINH", 59, needs="Sscofpmf+H"),
    F("OF", 63, needs="Sscofpmf"),
])
C(0x321, "mcyclecfg",    "Smcntrpmf", fields=FILTERS, after="counters_changed")
C(0x322, "minstretcfg",  "Smcntrpmf", fields=FILTERS, after="counters_changed")
C(0xC00, "cycle",   "Zicntr", view="mcycle", access="counter_enabled", guest="guest_may_count")
C(0xC01, "time",    "Zicntr", state=None, read="read_time", access="counter_enabled", guest="guest_may_count")
C(0xC02, "instret", "Zicntr", view="minstret", access="counter_enabled", guest="guest_may_count")
C(0xC03, "hpmcounter", "Zihpm", indices=range(3, 32), view="mhpmcounter", access="counter_enabled",
  guest="guest_may_count")
C(0xDA0, "scountovf",    "Sscofpmf",  state=None, read="read_scountovf")

# --- Supervisor timer: chapter "Sstc" --------------------------------------------------------------------------------
C(0x14D, "stimecmp",     "Sstc",      reset=ALL_ONES, access="stimecmp_enabled", guest="guest_may_compare",
  after="timers_changed")

# --- Configuration: sections 3.1.18, 3.1.19 and 12.1.10; chapter "Smstateen/Ssstateen" -------------------------------
C(0x30A, "menvcfg",                   after="menvcfg_changed", fields=[
    *ENVCFG,
    F("PMM", "33:32", needs="Smnpm", legal=PMLEN),
    F("ADUE", 61, needs="Svadu", without="Svade"),          # of both, Svade holds until software chooses
    F("PBMTE", 62, needs="Svpbmt"),
    F("STCE", 63, needs="Sstc"),
])
C(0x10A, "senvcfg", access="envcfg_enabled", guest="guest_may_configure", read="read_senvcfg", write="write_senvcfg",
  fields=[*ENVCFG, F("PMM", "33:32", needs="Ssnpm", legal=PMLEN)])
C(0x747, "mseccfg",      "Zkr Smmpm Zicfilp", after="update_mode", fields=[
    F("USEED", 8, needs="Zkr"),
    F("SSEED", 9, needs="Zkr"),
    F("MLPE", 10, needs="Zicfilp"),
    F("PMM", "33:32", needs="Smmpm", legal=PMLEN),
])
C(0x30D, "mstateen",     "Smstateen", indices=range(1, 4), fields=[F("SE", 63)])
C(0x30C, "mstateen0",    "Smstateen", state="mstateen[0]", fields=[*OF_AIA, F("ENVCFG", 62), F("SE0", 63)])
C(0x10C, "sstateen",     "Smstateen", indices=range(4), constant=0, access="stateen_enabled",      # no bit is of use
  guest="guest_may_enable")

# --- Physical memory protection: section 3.7 -------------------------------------------------------------------------
C(0x3A0, "pmpcfg", indices=range(0, PMP_ENTRIES // 4, 2), each=8, read="read_pmpcfg", write="write_pmpcfg", fields=[
    F("R", 0),
    F("W", 1),                          # W without R is reserved: it becomes 0
    F("X", 2),
    F("A", "4:3", legal={"OFF": 0, "TOR": 1, "NA4": 2, "NAPOT": 3}),
    F("L", 7),                          # the entry cannot be written until reset, nor the address of a range below it
])
C(0x3B0, "pmpaddr",       indices=range(PMP_ENTRIES), fields=[F("ADDRESS", "53:0")], write="write_pmpaddr")
C(0x3A0 + PMP_ENTRIES // 4, "pmpcfg",  indices=range(PMP_ENTRIES // 4, 16, 2), constant=0)
C(0x3B0 + PMP_ENTRIES,      "pmpaddr", indices=range(PMP_ENTRIES, 64), constant=0)

# --- Triggers: debug specification, sections 5.7.1 to 5.7.5 and 5.7.12 (mcontrol6); one at a time is seen -------------
C(0x7A0, "tselect",      "Sdtrig",    fields=[F("INDEX", "1:0")])
C(0x7A1, "tdata1", "Sdtrig", state=SELECTED.format("tdata1"), reset=None,
  read="read_tdata1", write="write_tdata1", fields=[
    F("LOAD", 0),
    F("STORE", 1),
    F("EXECUTE", 2),
    F("U", 3),
    F("S", 4),
    F("M", 6),
    F("MATCH", "10:7", legal={"EQUAL": 0, "NAPOT": 1}),
    F("HIT0", 22),
    F("VU", 23, needs="H"),
    F("VS", 24, needs="H"),
    F("TYPE", "63:60", legal={"MCONTROL6": 6, "DISABLED": 15}),     # which any other becomes
])
C(0x7A2, "tdata2",       "Sdtrig",    state=SELECTED.format("tdata2"), after="digest_triggers")
C(0x7A3, "tdata3",       "Sdtrig",    constant=0)
C(0x7A4, "tinfo",        "Sdtrig",    constant=1 << 24 | 1 << 15 | 1 << 6)      # version 1.0, and the types

# --- Address translation: section 12.1.11 ----------------------------------------------------------------------------
C(0x180, "satp", access="satp_enabled", guest="guest_may_translate", write="write_satp", fields=[
    F("PPN", "43:0"),
    F("ASID", "59:44"),
    # A mode that the hart does not have leaves the whole register as it was
    F("MODE", "63:60", legal={"BARE": 0, "SV39": 8, "SV48": 9, "SV57": 10}),
])

# --- Hypervisor: chapter "H", sections "Hypervisor and Virtual Supervisor CSRs" and "Machine-Level CSRs" -------------
C(0x600, "hstatus",      "H",         write="write_hstatus", fields=[
    F("GVA", 6),
    F("SPV", 7),
    F("SPVP", 8),
    F("HU", 9),
    F("VGEIN", "17:12"),                # the number of a guest's interrupt file that there is, or 0
    F("VTVM", 20),
    F("VTW", 21),
    F("VTSR", 22),
    F("VSXL", "33:32", fixed=2),
    F("HUPMM", "49:48", needs="Ssnpm", legal=PMLEN),        # of hlv and hsv in U-mode, as VU
])
C(0x602, "hedeleg",      "H",         fields=[
    F(row.name, row.number, needs=row.needs) for row in CAUSES
    if row.needs != "H" and row.name not in ("ECALL_FROM_S", "ECALL_FROM_M")
])
C(0x603, "hideleg",      "H",         fields=interrupts(of=VIRTUAL_INTERRUPTS), after="interrupts_changed")
C(0x644, "hip",          "H",         view="mip", fields="VSSIP VSTIP VSEIP SGEIP")
C(0x645, "hvip",         "H",         state=None, read="read_hvip", write="write_hvip",
  fields=interrupts("P", of=VIRTUAL_INTERRUPTS))
C(0x604, "hie",          "H",         view="mie", fields="VSSIE VSTIE VSEIE SGEIE")
# Those of guests that have an interrupt file.
C(0xE12, "hgeip",        "H",         fields=[F("GUESTS", f"{GUEST_FILES}:1")])
C(0x607, "hgeie",        "H",         fields=[F("GUESTS", f"{GUEST_FILES}:1")], write="write_hgeie")
C(0x606, "hcounteren",   "H",         fields=COUNTERS)
C(0x605, "htimedelta",   "H",         after="timers_changed")
C(0x643, "htval",        "H")
C(0x64A, "htinst",       "H")
C(0x34B, "mtval2",       "H")
C(0x34A, "mtinst",       "H")
C(0x680, "hgatp",        "H",         access="satp_enabled", write="write_hgatp", fields=[
    F("PPN", "43:2"),
    F("VMID", "57:44"),
    F("MODE", "63:60", legal={"BARE": 0, "SV39X4": 8, "SV48X4": 9, "SV57X4": 10}),  # any other leaves it as it was
])
C(0x60A, "henvcfg",      "H",         access="envcfg_enabled", read="read_henvcfg", write="write_henvcfg", fields=[
    *ENVCFG,
    F("PMM", "33:32", needs="Ssnpm", legal=PMLEN),
    # These are 0 where those of menvcfg are
    F("ADUE", 61, needs="Svadu"),
    F("PBMTE", 62, needs="Svpbmt"),
    F("STCE", 63, needs="Sstc"),
])
C(0x60C, "hstateen", "H", indices=range(4), access="stateen_enabled", read="read_hstateen", write="write_hstateen",
  fields=[*OF_AIA, F("ENVCFG", 62), F("SE", 63)])           # as far as mstateen has them
# The supervisor's registers as a guest has them: there it finds them by the supervisor's numbers
C(0x200, "vsstatus",     "H",         read="read_vsstatus", write="write_vsstatus", fields=[
    F("SIE", 1),
    F("SPIE", 5),
    F("SPP", 8),
    F("VS", "10:9", needs="Zve32x", legal={"OFF": 0, "INITIAL": 1, "CLEAN": 2, "DIRTY": 3}),
    F("FS", "14:13", needs="F", legal={"OFF": 0, "INITIAL": 1, "CLEAN": 2, "DIRTY": 3}),
    F("SUM", 18),
    F("MXR", 19),
    F("SPELP", 23, needs="Zicfilp"),
    F("UXL", "33:32", fixed=2),
    F("SD", 63, readonly=True),
])
C(0x205, "vstvec",       "H",         fields=VECTOR)
C(0x240, "vsscratch",    "H")
C(0x241, "vsepc",        "H",         fields=EPC)
C(0x242, "vscause",      "H",         fields=CAUSE)
C(0x243, "vstval",       "H")
C(0x244, "vsip",         "H",         state=None, read="read_vsip", write="write_vsip",
  fields=interrupts("P", of=SUPERVISOR_INTERRUPTS[:3], readonly="SEI STI"))
C(0x204, "vsie",         "H",         state=None, read="read_vsie", write="write_vsie",
  fields=interrupts("E", of=SUPERVISOR_INTERRUPTS[:3]))
C(0x24D, "vstimecmp",    "H",         reset=ALL_ONES, access="vstimecmp_enabled", after="timers_changed")
C(0x280, "vsatp",        "H",         write="write_vsatp", fields=[
    F("PPN", "43:0"),
    F("ASID", "59:44"),
    F("MODE", "63:60", legal={"BARE": 0, "SV39": 8, "SV48": 9, "SV57": 10}),
])

# --- Advanced Interrupt Architecture: chapter "Control and Status Registers (CSRs) Added to Harts" --------------------
C(0x350, "miselect",     "Smaia")
C(0x351, "mireg",        "Smaia",     state=None, access="mireg_enabled", read="read_mireg", write="write_mireg")
C(0x35C, "mtopei",       "Smaia",     state=None, access="mtopei_enabled", read="read_mtopei", write="write_mtopei")
C(0xFB0, "mtopi",        "Smaia",     state=None, read="read_mtopi")
C(0x308, "mvien",        "Smaia",     constant=0)
C(0x309, "mvip",         "Smaia",     state=None, read="read_mvip", write="write_mvip", fields=[
    F("SSIP", 1),
    F("STIP", 5),
    F("SEIP", 9),
])
C(0x150, "siselect",     "Ssaia",     access="selection_enabled", guest="guest_may_select")
C(0x151, "sireg",        "Ssaia",     state=None, access="sireg_enabled", guest="guest_may_reach", read="read_sireg",
  write="write_sireg")
C(0x15C, "stopei",       "Ssaia",     state=None, access="stopei_enabled", guest="guest_has_file", read="read_stopei",
  write="write_stopei")
C(0xDB0, "stopi",        "Ssaia",     state=None, access="aia_enabled", guest="guest_may_see_top", read="read_stopi")
C(0x608, "hvien",        "Ssaia+H",   constant=0, access="aia_enabled")
C(0x609, "hvictl",       "Ssaia+H",   access="aia_enabled", after="interrupts_changed", fields=[
    F("IPRIO", "7:0"),
    F("IPRIOM", 8),
    F("DPR", 9),
    F("IID", "21:16"),
    F("VTI", 30),
])
C(0x646, "hviprio1",     "Ssaia+H",   constant=0, access="aia_enabled")
C(0x647, "hviprio2",     "Ssaia+H",   constant=0, access="aia_enabled")
C(0x250, "vsiselect",    "Ssaia+H",   access="selection_enabled")
C(0x251, "vsireg",       "Ssaia+H",   state=None, access="vsireg_enabled", read="read_vsireg", write="write_vsireg")
C(0x25C, "vstopei",      "Ssaia+H",   state=None, access="vstopei_enabled", read="read_vstopei",
  write="write_vstopei")
C(0xEB0, "vstopi",       "Ssaia+H",   state=None, access="aia_enabled", read="read_vstopi")

# --- Unprivileged manual: chapters "F" and "Entropy Source" ----------------------------------------------------------
C(0x003, "fcsr",         "F",         state=None, access="float_enabled", read="read_fcsr", write="write_fcsr", fields=[
    F("FFLAGS", "4:0"),
    F("FRM", "7:5"),
])
C(0x001, "fflags",       "F",         part="fcsr.FFLAGS", access="float_enabled")
C(0x002, "frm",          "F",         part="fcsr.FRM", access="float_enabled")
C(0x015, "seed", "Zkr", state=None, access="seed_enabled", guest="guest_may_draw", read="read_seed", fields=[
    F("ENTROPY", "15:0", readonly=True),
    F("OPST", "31:30", readonly=True, legal={"BIST": 0, "WAIT": 1, "ES16": 2, "DEAD": 3}),
])

# --- Shadow stacks: chapter "Control-flow Integrity" ------------------------------------------------------------------
C(0x011, "ssp",          "Zicfiss",   access="shadow_stack_enabled", guest="guest_has_shadow_stack", fields=[
    F("POINTER", "63:3"),
])

# --- Vectors: vector specification, chapter 3 ------------------------------------------------------------------------
C(0x008, "vstart",       "Zve32x",    access="vector_enabled", write="write_vstart")
C(0x00F, "vcsr",         "Zve32x",    access="vector_enabled", after="vectors_changed", fields=[
    F("VXSAT", 0),
    F("VXRM", "2:1"),
])
C(0x009, "vxsat",        "Zve32x",    part="vcsr.VXSAT", access="vector_enabled")
C(0x00A, "vxrm",         "Zve32x",    part="vcsr.VXRM", access="vector_enabled")
C(0xC20, "vl",           "Zve32x",    access="vector_enabled")
C(0xC21, "vtype",        "Zve32x",    access="vector_enabled", reset=None, fields=[
    F("VLMUL", "2:0", legal={"M1": 0, "M2": 1, "M4": 2, "M8": 3, "RESERVED": 4, "MF8": 5, "MF4": 6, "MF2": 7}),
    F("VSEW", "5:3", legal={"E8": 0, "E16": 1, "E32": 2, "E64": 3}),
    F("VTA", 6),
    F("VMA", 7),
    F("VILL", 63),
])
C(0xC22, "vlenb",        "Zve32x",    access="vector_enabled", reset=None)
