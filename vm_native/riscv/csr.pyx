"""Control and status registers.

`csr_accessible` says whether the hart's privilege permits an access now, `csr_read` and `csr_write` do it without
asking, as debuggers want it. They return False for a number that this hart does not have. Legal values (WARL) follow
the privileged specification, chapters 3 and 12; what an implementation may choose is said beside the choice.
"""
from libc.stdint cimport uint8_t, uint64_t
from vm_native.arithmetic.floating cimport clear_flags, collect_flags
from vm_native.clock cimport timeline_ticks
from vm_native.machine cimport consumed_steps, machine_steps
from vm_native.riscv.mmu cimport digest_pmp, flush_everything, flush_translations
from vm_native.riscv.privilege cimport pending_interrupts, poll, timers_changed, update_mode
from vm_native.riscv.state cimport (
    EVENT_COUNTERS, FEATURE_SMSTATEEN, FEATURE_SSCOFPMF, FEATURE_SSTC, FEATURE_SVADU, FEATURE_SVPBMT, FEATURE_ZCA,
    FEATURE_ZICBOM, FEATURE_ZICBOZ, FEATURE_ZICNTR, FEATURE_ZIHPM, FEATURE_ZKR, IRQ_LCOFI, IRQ_SEI, IRQ_SSI, IRQ_STI,
    MACHINE, MSTATUS_FS, MSTATUS_MIE, MSTATUS_MPIE, MSTATUS_MPP, MSTATUS_MPRV, MSTATUS_MXR, MSTATUS_SIE, MSTATUS_SPIE,
    MSTATUS_SPP, MSTATUS_SUM, MSTATUS_TSR, MSTATUS_TVM, MSTATUS_TW, PMP_ENTRIES, SUPERVISOR, Hart,
)

cdef enum:
    FFLAGS = 0x001
    FRM = 0x002
    FCSR = 0x003
    SEED = 0x015
    SSTATUS = 0x100
    SIE = 0x104
    STVEC = 0x105
    SCOUNTEREN = 0x106
    SENVCFG = 0x10A
    SSTATEEN0 = 0x10C
    SSTATEEN3 = 0x10F
    SSCRATCH = 0x140
    SEPC = 0x141
    SCAUSE = 0x142
    STVAL = 0x143
    SIP = 0x144
    STIMECMP = 0x14D
    SATP = 0x180
    MSTATUS = 0x300
    MISA = 0x301
    MEDELEG = 0x302
    MIDELEG = 0x303
    MIE = 0x304
    MTVEC = 0x305
    MCOUNTEREN = 0x306
    MENVCFG = 0x30A
    MSTATEEN0 = 0x30C
    MSTATEEN3 = 0x30F
    MCOUNTINHIBIT = 0x320
    MHPMEVENT3 = 0x323
    MHPMEVENT31 = 0x33F
    MSCRATCH = 0x340
    MEPC = 0x341
    MCAUSE = 0x342
    MTVAL = 0x343
    MIP = 0x344
    PMPCFG0 = 0x3A0
    PMPCFG15 = 0x3AF
    PMPADDR0 = 0x3B0
    PMPADDR63 = 0x3EF
    MSECCFG = 0x747
    MCYCLE = 0xB00
    MINSTRET = 0xB02
    MHPMCOUNTER3 = 0xB03
    MHPMCOUNTER31 = 0xB1F
    CYCLE = 0xC00
    TIME = 0xC01
    INSTRET = 0xC02
    HPMCOUNTER31 = 0xC1F
    SCOUNTOVF = 0xDA0
    MVENDORID = 0xF11
    MARCHID = 0xF12
    MIMPID = 0xF13
    MHARTID = 0xF14
    MCONFIGPTR = 0xF15

cdef enum:
    INHIBIT_CYCLE = 1
    INHIBIT_INSTRET = 4
    MIMPID_VALUE = 1
    PMP_LOCKED = 0x80
    PMP_A = 0x18
    PMP_TOR = 0x08

cdef uint64_t STATUS_SD = 1ULL << 63
cdef uint64_t STATUS_UXL = 2ULL << 32
cdef uint64_t STATUS_SXL = 2ULL << 34
cdef uint64_t SSTATUS_WRITABLE = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR
cdef uint64_t MSTATUS_WRITABLE = SSTATUS_WRITABLE | (
    MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR
)
cdef uint64_t MEDELEG_WRITABLE = 0xB3FF             # every cause but ecall from M and the reserved ones
cdef uint64_t S_INTERRUPTS = 1 << IRQ_SSI | 1 << IRQ_STI | 1 << IRQ_SEI
cdef uint64_t ALL_INTERRUPTS = 0xAAA
cdef uint64_t COUNTERS = 7                          # cycle, time, instret
cdef uint64_t HPM_COUNTERS = 0xFFFFFFF8ULL
cdef uint64_t ENVCFG_FIOM = 1
cdef uint64_t ENVCFG_CBIE = 3 << 4
cdef uint64_t ENVCFG_CBCFE = 1 << 6
cdef uint64_t ENVCFG_CBZE = 1 << 7
cdef uint64_t MENVCFG_PBMTE = 1ULL << 62
cdef uint64_t STATEEN_ENVCFG = 1ULL << 62
cdef uint64_t STATEEN_SE0 = 1ULL << 63
cdef uint64_t MSECCFG_USEED = 1 << 8
cdef uint64_t MSECCFG_SSEED = 1 << 9
cdef uint64_t EVENT_OVERFLOWED = 1ULL << 63
cdef uint64_t EVENT_WRITABLE = 0xFULL << 60 | 0xFFFFFFFFULL    # OF and the inhibits of M, S and U; the event
cdef uint64_t SEED_ENTROPY = 2ULL << 30             # the state ES16: 16 bits are there
cdef uint64_t MENVCFG_STCE = 1ULL << 63
cdef uint64_t MENVCFG_ADUE = 1ULL << 61
cdef uint64_t PMPADDR_BITS = (1ULL << 54) - 1


# --- Access ----------------------------------------------------------------------------------------------------------

cdef bint csr_accessible(Hart* hart, int number, bint writes) noexcept nogil:
    """Privilege, read-only space, and the enables of section 3.1 that make an access illegal."""
    cdef int privilege = hart.state.privilege
    if (number >> 8 & 3) > privilege or writes and number >> 10 == 3:
        return False
    if FFLAGS <= number <= FCSR:
        return hart.state.mstatus & MSTATUS_FS != 0
    if CYCLE <= number <= HPMCOUNTER31:
        return counter_enabled(hart, number - CYCLE)
    if number == SEED:
        return writes and seed_enabled(hart)
    if SSTATEEN0 <= number <= SSTATEEN3 and privilege != MACHINE:
        return hart.state.mstateen[number - SSTATEEN0] & STATEEN_SE0 != 0
    if number == SENVCFG and privilege != MACHINE and hart.state.features & FEATURE_SMSTATEEN:
        return hart.state.mstateen[0] & STATEEN_ENVCFG != 0
    if number == SATP:
        return privilege == MACHINE or not hart.state.mstatus & MSTATUS_TVM
    if number == STIMECMP and privilege != MACHINE:
        return hart.state.menvcfg & MENVCFG_STCE and hart.state.mcounteren >> 1 & 1
    return True


cdef bint counter_enabled(Hart* hart, int counter) noexcept nogil:
    if hart.state.privilege == MACHINE:
        return True
    if not hart.state.mcounteren >> counter & 1:
        return False
    return hart.state.privilege == SUPERVISOR or hart.state.scounteren >> counter & 1


cdef bint seed_enabled(Hart* hart) noexcept nogil:
    """Zkr: the seed register is M-mode's, unless mseccfg lends it; and only an instruction that writes may read it."""
    if hart.state.privilege == MACHINE:
        return True
    return hart.state.mseccfg & (MSECCFG_SSEED if hart.state.privilege == SUPERVISOR else MSECCFG_USEED) != 0


# --- Reading ---------------------------------------------------------------------------------------------------------

cdef inline uint64_t with_sd(uint64_t status) noexcept nogil:
    return status | STATUS_SD if status & MSTATUS_FS == MSTATUS_FS else status


cdef inline uint64_t cycles(Hart* hart) noexcept nogil:
    return consumed_steps(&hart.cpu)


cdef inline uint64_t retired(Hart* hart) noexcept nogil:
    return consumed_steps(&hart.cpu) - hart.cpu.state.traps


cdef uint64_t read_mcycle(Hart* hart) noexcept nogil:
    if hart.state.mcountinhibit & INHIBIT_CYCLE:
        return hart.state.cycle_offset
    return cycles(hart) + hart.state.cycle_offset


cdef uint64_t read_minstret(Hart* hart) noexcept nogil:
    if hart.state.mcountinhibit & INHIBIT_INSTRET:
        return hart.state.instret_offset
    return retired(hart) + hart.state.instret_offset


cdef uint64_t read_mip(Hart* hart) noexcept nogil:
    poll(&hart.cpu)
    return pending_interrupts(hart)


cdef uint64_t read_pmpcfg(Hart* hart, int first) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(8):
        if first + i < PMP_ENTRIES:
            value |= <uint64_t>hart.state.pmpcfg[first + i] << (8 * i)
    return value


cdef uint64_t read_seed(Hart* hart) noexcept nogil:
    """Sixteen bits from a generator that the machine's seed starts (SplitMix64): the same run, the same entropy."""
    cdef uint64_t mixed
    hart.state.entropy += 0x9E3779B97F4A7C15ULL
    mixed = hart.state.entropy
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9ULL
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBULL
    return SEED_ENTROPY | (mixed ^ mixed >> 31) & 0xFFFF


cdef uint64_t read_scountovf(Hart* hart) noexcept nogil:
    """Sscofpmf: the overflow bits of the counters that S-mode may see."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(EVENT_COUNTERS):
        if hart.state.mhpmevent[i] & EVENT_OVERFLOWED:
            value |= 1ULL << (i + 3)
    return value if hart.state.privilege == MACHINE else value & hart.state.mcounteren


cdef bint csr_read(Hart* hart, int number, uint64_t* value) noexcept nogil:
    if number >> 8 & 3 == 0:
        return read_user(hart, number, value)
    if number >> 8 & 3 == 1:
        return read_supervisor(hart, number, value)
    return read_machine(hart, number, value)


cdef bint read_user(Hart* hart, int number, uint64_t* value) noexcept nogil:
    if FFLAGS <= number <= FCSR:
        if not hart.state.misa >> 5 & 1:
            return False
        hart.state.fflags |= collect_flags()
        value[0] = 0
        if number != FRM:
            value[0] = hart.state.fflags
        if number != FFLAGS:
            value[0] |= hart.state.frm << (5 if number == FCSR else 0)
        return True
    if number == SEED and hart.state.features & FEATURE_ZKR:
        value[0] = read_seed(hart)
        return True
    if INSTRET < number <= HPMCOUNTER31 and hart.state.features & FEATURE_ZIHPM:
        value[0] = 0
        return True
    if not hart.state.features & FEATURE_ZICNTR:
        return False
    if number == CYCLE:
        value[0] = read_mcycle(hart)
    elif number == TIME:
        value[0] = timeline_ticks(hart.cpu.machine.timeline, machine_steps(&hart.cpu))
    elif number == INSTRET:
        value[0] = read_minstret(hart)
    else:
        return False
    return True


cdef bint read_supervisor(Hart* hart, int number, uint64_t* value) noexcept nogil:
    if number == SSTATUS:
        value[0] = with_sd(hart.state.mstatus & SSTATUS_WRITABLE) | STATUS_UXL
    elif number == SIE:
        value[0] = hart.state.mie & hart.state.mideleg
    elif number == STVEC:
        value[0] = hart.state.stvec
    elif number == SCOUNTEREN:
        value[0] = hart.state.scounteren
    elif number == SENVCFG:
        value[0] = hart.state.senvcfg
    elif number == SSCRATCH:
        value[0] = hart.state.sscratch
    elif number == SEPC:
        value[0] = hart.state.sepc
    elif number == SCAUSE:
        value[0] = hart.state.scause
    elif number == STVAL:
        value[0] = hart.state.stval
    elif number == SIP:
        value[0] = read_mip(hart) & hart.state.mideleg
    elif number == STIMECMP and hart.state.features & FEATURE_SSTC:
        value[0] = hart.state.stimecmp
    elif number == SATP:
        value[0] = hart.state.satp
    elif SSTATEEN0 <= number <= SSTATEEN3 and hart.state.features & FEATURE_SMSTATEEN:
        value[0] = hart.state.sstateen[number - SSTATEEN0] & hart.state.mstateen[number - SSTATEEN0]
    elif number == SCOUNTOVF and hart.state.features & FEATURE_SSCOFPMF:
        value[0] = read_scountovf(hart)
    else:
        return False
    return True


cdef bint read_machine(Hart* hart, int number, uint64_t* value) noexcept nogil:
    value[0] = 0
    if number == MSTATUS:
        value[0] = with_sd(hart.state.mstatus) | STATUS_UXL | STATUS_SXL
    elif number == MISA:
        value[0] = hart.state.misa
    elif number == MEDELEG:
        value[0] = hart.state.medeleg
    elif number == MIDELEG:
        value[0] = hart.state.mideleg
    elif number == MIE:
        value[0] = hart.state.mie
    elif number == MTVEC:
        value[0] = hart.state.mtvec
    elif number == MCOUNTEREN:
        value[0] = hart.state.mcounteren
    elif number == MENVCFG:
        value[0] = hart.state.menvcfg
    elif number == MCOUNTINHIBIT:
        value[0] = hart.state.mcountinhibit
    elif number == MSCRATCH:
        value[0] = hart.state.mscratch
    elif number == MEPC:
        value[0] = hart.state.mepc
    elif number == MCAUSE:
        value[0] = hart.state.mcause
    elif number == MTVAL:
        value[0] = hart.state.mtval
    elif number == MIP:
        value[0] = read_mip(hart)
    elif PMPCFG0 <= number <= PMPCFG15:
        # Odd ones do not exist on RV64.
        if number & 1:
            return False
        value[0] = read_pmpcfg(hart, (number - PMPCFG0) * 4)
    elif PMPADDR0 <= number <= PMPADDR63:
        if number - PMPADDR0 < PMP_ENTRIES:
            value[0] = hart.state.pmpaddr[number - PMPADDR0]
    elif MSTATEEN0 <= number <= MSTATEEN3 and hart.state.features & FEATURE_SMSTATEEN:
        value[0] = hart.state.mstateen[number - MSTATEEN0]
    elif number == MSECCFG and hart.state.features & FEATURE_ZKR:
        value[0] = hart.state.mseccfg
    elif MHPMEVENT3 <= number <= MHPMEVENT31:
        value[0] = hart.state.mhpmevent[number - MHPMEVENT3]
    elif number == MCYCLE:
        value[0] = read_mcycle(hart)
    elif number == MINSTRET:
        value[0] = read_minstret(hart)
    elif number == MIMPID:
        value[0] = MIMPID_VALUE
    elif number == MHARTID:
        value[0] = hart.state.hart_id
    elif number != MVENDORID and number != MARCHID and number != MCONFIGPTR:
        # Performance counters are there, and zero (section 3.1.10 lets them be).
        return MHPMCOUNTER3 <= number <= MHPMCOUNTER31
    return True


# --- Writing ---------------------------------------------------------------------------------------------------------

cdef bint csr_write(Hart* hart, int number, uint64_t value) noexcept nogil:
    if number >> 8 & 3 == 0:
        return write_user(hart, number, value)
    if number >> 8 & 3 == 1:
        return write_supervisor(hart, number, value)
    return write_machine(hart, number, value)


cdef bint write_user(Hart* hart, int number, uint64_t value) noexcept nogil:
    if number == SEED:
        return hart.state.features & FEATURE_ZKR != 0   # what is written is ignored
    if not FFLAGS <= number <= FCSR or not hart.state.misa >> 5 & 1:
        return False
    if number != FRM:
        clear_flags()
        hart.state.fflags = value & 31
    if number != FFLAGS:
        hart.state.frm = value >> (5 if number == FCSR else 0) & 7
    hart.state.mstatus |= MSTATUS_FS
    update_mode(hart)
    return True


cdef void write_mstatus(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t changed, writable = MSTATUS_WRITABLE
    if not hart.state.misa >> 5 & 1:
        writable &= ~<uint64_t>MSTATUS_FS
    if value & MSTATUS_MPP == 2 << 11:
        value &= ~<uint64_t>MSTATUS_MPP         # the reserved level becomes U
    value = hart.state.mstatus & ~writable | value & writable
    changed = hart.state.mstatus ^ value
    hart.state.mstatus = value
    if changed & MSTATUS_MXR:
        flush_translations(hart)
    hart.cpu.attention = True
    update_mode(hart)


cdef uint64_t supervisor_interrupts(Hart* hart) noexcept nogil:
    return S_INTERRUPTS | (1 << IRQ_LCOFI if hart.state.features & FEATURE_SSCOFPMF else 0)


cdef void write_mie(Hart* hart, uint64_t value, uint64_t mask) noexcept nogil:
    hart.state.mie = hart.state.mie & ~mask | value & mask
    hart.cpu.attention = True
    timers_changed(hart)


cdef void write_mip(Hart* hart, uint64_t value, uint64_t mask) noexcept nogil:
    if hart.state.menvcfg & MENVCFG_STCE:
        mask &= ~<uint64_t>(1 << IRQ_STI)       # read-only: stimecmp decides
    hart.state.mip = hart.state.mip & ~mask | value & mask
    hart.cpu.attention = True


cdef void write_satp(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t mode = value >> 60
    # A mode that is not implemented leaves the whole register as it was (section 12.1.11).
    if mode == 0 or 8 <= mode < 8 + hart.state.max_levels - 2:
        hart.state.satp = value
        flush_translations(hart)


cdef bint write_supervisor(Hart* hart, int number, uint64_t value) noexcept nogil:
    if number == SSTATUS:
        write_mstatus(hart, hart.state.mstatus & ~SSTATUS_WRITABLE | value & SSTATUS_WRITABLE)
    elif number == SIE:
        write_mie(hart, value, hart.state.mideleg)
    elif number == STVEC:
        hart.state.stvec = value & ~<uint64_t>2
    elif number == SCOUNTEREN:
        hart.state.scounteren = value & counter_enables(hart)
    elif number == SENVCFG:
        hart.state.senvcfg = legal_envcfg(hart, value)
    elif number == SSCRATCH:
        hart.state.sscratch = value
    elif number == SEPC:
        hart.state.sepc = value & ~<uint64_t>(1 if hart.state.features & FEATURE_ZCA else 3)
    elif number == SCAUSE:
        hart.state.scause = value
    elif number == STVAL:
        hart.state.stval = value
    elif number == SIP:
        write_mip(hart, value, hart.state.mideleg & (1 << IRQ_SSI | 1 << IRQ_LCOFI))
    elif number == STIMECMP and hart.state.features & FEATURE_SSTC:
        hart.state.stimecmp = value
        timers_changed(hart)
    elif number == SATP:
        write_satp(hart, value)
    else:
        # No bit of sstateen is about anything that these harts have.
        return SSTATEEN0 <= number <= SSTATEEN3 and hart.state.features & FEATURE_SMSTATEEN != 0
    return True


cdef void write_pmpcfg(Hart* hart, int first, uint64_t value) noexcept nogil:
    cdef int i
    cdef uint8_t config
    for i in range(first, min(first + 8, <int>PMP_ENTRIES)):
        config = value >> (8 * (i - first)) & 0x9F
        if hart.state.pmpcfg[i] & PMP_LOCKED:
            continue
        if config & 3 == 2:
            config &= ~2                        # W without R is reserved
        hart.state.pmpcfg[i] = config
    digest_pmp(hart)
    flush_everything(hart)


cdef void write_pmpaddr(Hart* hart, int entry, uint64_t value) noexcept nogil:
    cdef uint8_t following
    if entry >= PMP_ENTRIES or hart.state.pmpcfg[entry] & PMP_LOCKED:
        return
    if entry + 1 < PMP_ENTRIES:
        following = hart.state.pmpcfg[entry + 1]
        if following & PMP_LOCKED and following & PMP_A == PMP_TOR:
            return
    hart.state.pmpaddr[entry] = value & PMPADDR_BITS
    digest_pmp(hart)
    flush_everything(hart)


cdef uint64_t counter_enables(Hart* hart) noexcept nogil:
    cdef uint64_t enables = COUNTERS if hart.state.features & FEATURE_ZICNTR else 0
    return enables | (HPM_COUNTERS if hart.state.features & FEATURE_ZIHPM else 0)


cdef uint64_t legal_envcfg(Hart* hart, uint64_t value) noexcept nogil:
    """The bits that menvcfg and senvcfg share; the reserved CBIE value becomes 0, thus off."""
    cdef uint64_t writable = ENVCFG_FIOM
    if hart.state.features & FEATURE_ZICBOM:
        writable |= ENVCFG_CBCFE | (ENVCFG_CBIE if value & ENVCFG_CBIE != 2 << 4 else 0)
    if hart.state.features & FEATURE_ZICBOZ:
        writable |= ENVCFG_CBZE
    return value & writable


cdef void write_menvcfg(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t writable = 0
    if hart.state.features & FEATURE_SVPBMT:
        writable |= MENVCFG_PBMTE
    if hart.state.features & FEATURE_SSTC:
        writable |= MENVCFG_STCE
    if hart.state.features & FEATURE_SVADU:
        writable |= MENVCFG_ADUE
    hart.state.menvcfg = legal_envcfg(hart, value) | value & writable
    flush_translations(hart)
    hart.cpu.attention = True                   # STCE hides or shows a software STIP
    timers_changed(hart)


cdef void write_mcountinhibit(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t cycle = read_mcycle(hart), instret = read_minstret(hart)
    cdef uint64_t changed = hart.state.mcountinhibit ^ value
    hart.state.mcountinhibit = value & (INHIBIT_CYCLE | INHIBIT_INSTRET)
    # The new setting holds for the instruction that makes it, too.
    if changed & INHIBIT_CYCLE:
        hart.state.cycle_offset = cycle if value & INHIBIT_CYCLE else cycle - cycles(hart)
    if changed & INHIBIT_INSTRET:
        hart.state.instret_offset = instret if value & INHIBIT_INSTRET else instret - retired(hart)


# A written counter holds the value after the instruction that wrote it, which is a step itself; Python's write is none.
cdef inline int step_at_hand(Hart* hart) noexcept nogil:
    return hart.cpu.slice != 0


cdef void set_mcycle(Hart* hart, uint64_t value) noexcept nogil:
    if not hart.state.mcountinhibit & INHIBIT_CYCLE:
        value -= cycles(hart) + step_at_hand(hart)
    hart.state.cycle_offset = value


cdef void set_minstret(Hart* hart, uint64_t value) noexcept nogil:
    if not hart.state.mcountinhibit & INHIBIT_INSTRET:
        value -= retired(hart) + step_at_hand(hart)
    hart.state.instret_offset = value


cdef bint write_machine(Hart* hart, int number, uint64_t value) noexcept nogil:
    if number == MSTATUS:
        write_mstatus(hart, value)
    elif number == MISA:
        pass                                    # fixed: WARL with one legal value
    elif number == MEDELEG:
        hart.state.medeleg = value & MEDELEG_WRITABLE
    elif number == MIDELEG:
        hart.state.mideleg = value & supervisor_interrupts(hart)
        hart.cpu.attention = True
    elif number == MIE:
        write_mie(hart, value, ALL_INTERRUPTS | supervisor_interrupts(hart))
    elif number == MTVEC:
        hart.state.mtvec = value & ~<uint64_t>2
    elif number == MCOUNTEREN:
        hart.state.mcounteren = value & counter_enables(hart)
    elif number == MENVCFG:
        write_menvcfg(hart, value)
    elif number == MCOUNTINHIBIT:
        write_mcountinhibit(hart, value)
    elif number == MSCRATCH:
        hart.state.mscratch = value
    elif number == MEPC:
        hart.state.mepc = value & ~<uint64_t>(1 if hart.state.features & FEATURE_ZCA else 3)
    elif number == MCAUSE:
        hart.state.mcause = value
    elif number == MTVAL:
        hart.state.mtval = value
    elif number == MIP:
        write_mip(hart, value, supervisor_interrupts(hart))
    elif PMPCFG0 <= number <= PMPCFG15:
        if number & 1:
            return False
        write_pmpcfg(hart, (number - PMPCFG0) * 4, value)
    elif PMPADDR0 <= number <= PMPADDR63:
        write_pmpaddr(hart, number - PMPADDR0, value)
    elif MSTATEEN0 <= number <= MSTATEEN3 and hart.state.features & FEATURE_SMSTATEEN:
        hart.state.mstateen[number - MSTATEEN0] = value & (
            STATEEN_SE0 | STATEEN_ENVCFG if number == MSTATEEN0 else STATEEN_SE0
        )
    elif number == MSECCFG and hart.state.features & FEATURE_ZKR:
        hart.state.mseccfg = value & (MSECCFG_USEED | MSECCFG_SSEED)
    elif MHPMEVENT3 <= number <= MHPMEVENT31:
        if hart.state.features & FEATURE_SSCOFPMF:
            hart.state.mhpmevent[number - MHPMEVENT3] = value & EVENT_WRITABLE
    elif number == MCYCLE:
        set_mcycle(hart, value)
    elif number == MINSTRET:
        set_minstret(hart, value)
    else:
        return MHPMCOUNTER3 <= number <= MHPMCOUNTER31
    return True
