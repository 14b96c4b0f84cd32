"""Control and status registers: what csrs.py names a function for. The rest is made from that table, see generate.py.

`csr_refusal` says whether the hart's privilege permits an access now, `csr_read` and `csr_write` do it without
asking, as debuggers want it. They return False for a number that this hart does not have. Legal values (WARL) follow
the privileged specification, chapters 3 and 12: `legal_...` is made from the fields of a row.
"""
from libc.stdint cimport uint8_t, uint64_t
from vm_native.arithmetic.floating cimport collect_flags, start_environment
from vm_native.clock cimport timeline_ticks
from vm_native.machine cimport machine_steps
from vm_native.riscv.constants cimport (
    CSR_CYCLE, CSR_SIREG, CSR_SISELECT, CSR_STIMECMP, FCSR_FFLAGS, FCSR_FRM, FCSR_FRM_SHIFT, FEATURE_SMSTATEEN,
    HENVCFG_ADUE, HENVCFG_PBMTE, HENVCFG_SSE, HENVCFG_STCE, HSTATUS_VGEIN, HSTATUS_VGEIN_SHIFT, HVICTL_VTI,
    ILLEGAL_INSTRUCTION, MCOUNTEREN_TM, MENVCFG_STCE, MIE_MTIE, MIE_STIE, MIE_VSTIE, MIP_STIP, MIP_VSEIP, MIP_VSTIP,
    MSECCFG_SSEED, MSECCFG_USEED, MSTATEEN0_ENVCFG, MSTATEEN_SE, MSTATUS_FS, MSTATUS_FS_DIRTY, MSTATUS_MPP,
    MSTATUS_MPRV, MSTATUS_MPV, MSTATUS_MXR, MSTATUS_SD, MSTATUS_SUM, MSTATUS_TVM, MSTATUS_VS, MSTATUS_VS_DIRTY,
    PMPCFG_A, PMPCFG_A_TOR, PMPCFG_L, PMPCFG_R, PMPCFG_W, PMP_ENTRIES, SATP_MODE, SEED_ENTROPY, SEED_OPST_ES16,
    SENVCFG_PMM, SENVCFG_SSE, TDATA1_TYPE, TDATA1_TYPE_DISABLED, TDATA1_TYPE_MCONTROL6, VIRTUAL_INSTRUCTION,
)
from vm_native.riscv.aia cimport guests_changed
from vm_native.riscv.counters cimport set_event
from vm_native.riscv.pmp cimport digest_pmp
from vm_native.riscv.interrupts cimport pending_interrupts
from vm_native.riscv.privilege cimport look_for_interrupts, poll, satp_changed, timers_changed, update_mode
from vm_native.riscv.spaces cimport flush_everything, flush_translations, levels_of
from vm_native.riscv.state cimport MACHINE, SUPERVISOR, USER, Hart
from vm_native.riscv.triggers cimport digest_triggers
from vm_native.riscv.worlds cimport is_on, make_dirty, update_shape

cdef enum:
    HYPERVISOR = 2          # in the number of a register: what only HS-mode and M-mode may access

include "csr_table.pxi"


# --- Access ----------------------------------------------------------------------------------------------------------

cdef bint csr_accessible(Hart* hart, int number, bint writes) noexcept nogil:
    """Privilege, read-only space, and the enables of section 3.1 that make an access illegal."""
    cdef int needed = number >> 8 & 3
    if needed == HYPERVISOR:                # HS-mode is S-mode; `csr_refusal` knows of guests
        needed = SUPERVISOR
    if needed > hart.state.privilege or writes and number >> 10 == 3:
        return False
    return access_enabled(hart, number, writes)


cdef uint64_t csr_refusal(Hart* hart, int number, bint writes) noexcept nogil:
    """The exception of an access now, 0 if there is none; of a register that does not exist perhaps neither."""
    if hart.state.virtual:
        return refusal_in_guest(hart, number, writes)
    return 0 if csr_accessible(hart, number, writes) else ILLEGAL_INSTRUCTION


cdef uint64_t refusal_in_guest(Hart* hart, int number, bint writes) noexcept nogil:
    """What HS-mode might do, were satp not withheld from it, is a virtual instruction, and the rest is illegal. To a
    guest's user it is the same what is selected behind sireg.
    """
    cdef uint8_t privilege = hart.state.privilege
    cdef int needed = number >> 8 & 3
    cdef uint64_t old
    hart.state.privilege = SUPERVISOR
    cdef int asked = CSR_SISELECT if number == CSR_SIREG and privilege == USER else number
    cdef bint might = csr_accessible(hart, asked, writes)
    hart.state.privilege = privilege
    if not might:
        return ILLEGAL_INSTRUCTION
    if needed <= privilege and needed != HYPERVISOR and guest_enabled(hart, number):
        # A write of stimecmp might end what the host alone is to end.
        if not (writes and number == CSR_STIMECMP and hart.state.hvictl & HVICTL_VTI):
            return 0
    return VIRTUAL_INSTRUCTION if csr_read(hart, number, &old) else ILLEGAL_INSTRUCTION


cdef bint float_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return is_on(hart, MSTATUS_FS)


cdef bint vector_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return is_on(hart, MSTATUS_VS)


cdef bint counter_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    cdef int counter = number - CSR_CYCLE
    if hart.state.privilege == MACHINE:
        return True
    if not hart.state.mcounteren >> counter & 1:
        return False
    return hart.state.privilege == SUPERVISOR or hart.state.scounteren >> counter & 1


cdef bint seed_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    """Zkr: the seed register is M-mode's, unless mseccfg lends it; and only an instruction that writes may read it."""
    if not writes or hart.state.privilege == MACHINE:
        return writes
    return hart.state.mseccfg & (MSECCFG_SSEED if hart.state.privilege == SUPERVISOR else MSECCFG_USEED) != 0


cdef bint stateen_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    if hart.state.privilege == MACHINE:
        return hart.state.features & FEATURE_SMSTATEEN != 0
    return hart.state.mstateen[number & 3] & MSTATEEN_SE != 0


cdef bint envcfg_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    if hart.state.privilege == MACHINE or not hart.state.features & FEATURE_SMSTATEEN:
        return True
    return hart.state.mstateen[0] & MSTATEEN0_ENVCFG != 0


cdef bint satp_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return hart.state.privilege == MACHINE or hart.state.virtual or not hart.state.mstatus & MSTATUS_TVM


cdef bint stimecmp_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    if hart.state.privilege == MACHINE:
        return True
    return hart.state.menvcfg & MENVCFG_STCE != 0 and hart.state.mcounteren & MCOUNTEREN_TM != 0


# --- Status and interrupts -------------------------------------------------------------------------------------------

cdef uint64_t read_mstatus(Hart* hart) noexcept nogil:
    return with_summary(hart.state.mstatus)


cdef inline uint64_t with_summary(uint64_t status) noexcept nogil:
    """SD says whether anything is dirty."""
    if status & MSTATUS_FS == MSTATUS_FS_DIRTY or status & MSTATUS_VS == MSTATUS_VS_DIRTY:
        return status | MSTATUS_SD
    return status


cdef void write_mstatus(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t legal = legal_mstatus(hart, value)
    cdef uint64_t changed = hart.state.mstatus ^ legal
    hart.state.mstatus = legal
    if changed & MSTATUS_MXR:
        flush_translations(hart)
    if changed & (MSTATUS_MPRV | MSTATUS_MPP | MSTATUS_MPV | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_FS):
        update_mode(hart)
    elif changed & MSTATUS_VS:
        update_shape(hart)
    look_for_interrupts(hart)


cdef uint64_t read_mip(Hart* hart) noexcept nogil:
    poll(&hart.cpu)
    return pending_interrupts(hart)


cdef void write_mip(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t kept = MIP_VSTIP | MIP_VSEIP          # hvip's
    if hart.state.menvcfg & MENVCFG_STCE:
        kept |= MIP_STIP                                # read-only: stimecmp decides
    hart.state.mip = hart.state.mip & kept | legal_mip(hart, value) & ~kept
    hart.cpu.attention = True


cdef void interrupts_changed(Hart* hart) noexcept nogil:
    hart.cpu.attention = True


cdef void write_mie(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t changed = hart.state.mie ^ legal_mie(hart, value)
    hart.state.mie ^= changed
    if changed:
        hart.cpu.attention = True
    if changed & (MIE_MTIE | MIE_STIE | MIE_VSTIE):
        timers_changed(hart)


cdef inline uint64_t without_shadow_stack(const Hart* hart) noexcept nogil:
    """SSE, if it is read-only 0 in senvcfg as it is 0 in menvcfg, or for a guest in henvcfg."""
    cdef uint64_t allowed = hart.state.menvcfg & (hart.state.henvcfg if hart.state.virtual else <uint64_t>-1)
    return SENVCFG_SSE & ~allowed


cdef uint64_t read_senvcfg(Hart* hart) noexcept nogil:
    return hart.state.senvcfg & ~without_shadow_stack(hart)


cdef void write_senvcfg(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t kept = without_shadow_stack(hart)
    cdef uint64_t changed = (hart.state.senvcfg ^ legal_senvcfg(hart, value)) & ~kept
    hart.state.senvcfg ^= changed
    if changed & SENVCFG_PMM:
        flush_translations(hart)                # an address of before may be another's now
    update_mode(hart)


cdef void menvcfg_changed(Hart* hart) noexcept nogil:
    flush_translations(hart)
    update_mode(hart)
    hart.cpu.attention = True                   # STCE hides or shows a software STIP
    timers_changed(hart)


# --- Counters --------------------------------------------------------------------------------------------------------

cdef uint64_t read_time(Hart* hart) noexcept nogil:
    cdef uint64_t now = timeline_ticks(hart.cpu.machine.timeline, machine_steps(&hart.cpu))
    return now + hart.state.htimedelta if hart.state.virtual else now


cdef void write_mhpmevent(Hart* hart, int index, uint64_t value) noexcept nogil:
    set_event(hart, index, legal_mhpmevent(hart, value))


# --- Memory ----------------------------------------------------------------------------------------------------------

cdef uint64_t read_pmpcfg(Hart* hart, int index) noexcept nogil:
    """Entries are four times as many as numbers, of which RV64 leaves out the odd ones."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(8):
        value |= <uint64_t>hart.state.pmpcfg[4 * index + i] << (8 * i)
    return value


cdef void write_pmpcfg(Hart* hart, int index, uint64_t value) noexcept nogil:
    cdef int i
    cdef uint64_t config
    cdef uint8_t* entry
    for i in range(8):
        entry = &hart.state.pmpcfg[4 * index + i]
        config = legal_pmpcfg(hart, value >> (8 * i))
        if entry[0] & PMPCFG_L:
            continue
        if config & (PMPCFG_R | PMPCFG_W) == PMPCFG_W:
            config &= ~PMPCFG_W                 # W without R is reserved
        entry[0] = <uint8_t>config
    digest_pmp(hart)
    flush_everything(hart)


cdef void write_pmpaddr(Hart* hart, int index, uint64_t value) noexcept nogil:
    cdef uint8_t following
    if hart.state.pmpcfg[index] & PMPCFG_L:
        return
    if index + 1 < PMP_ENTRIES:
        following = hart.state.pmpcfg[index + 1]
        if following & PMPCFG_L and following & PMPCFG_A == PMPCFG_A_TOR:
            return
    hart.state.pmpaddr[index] = legal_pmpaddr(hart, value)
    digest_pmp(hart)
    flush_everything(hart)


cdef void write_satp(Hart* hart, uint64_t value) noexcept nogil:
    # A mode that is not implemented leaves the whole register as it was (section 12.1.11). Kernels write what is there
    # already where they return to the process that they came from.
    if value != hart.state.satp and legal_satp(hart, value) == value and levels_of(value) <= hart.state.max_levels:
        hart.state.satp = value
        satp_changed(hart)


# --- Hypervisor ------------------------------------------------------------------------------------------------------

cdef void write_hstatus(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t before = hart.state.hstatus, number
    hart.state.hstatus = legal_hstatus(hart, value)
    number = (hart.state.hstatus & HSTATUS_VGEIN) >> HSTATUS_VGEIN_SHIFT
    if number > <uint64_t>hart.state.guest_files:
        hart.state.hstatus = hart.state.hstatus & ~HSTATUS_VGEIN | before & HSTATUS_VGEIN
    if (before ^ hart.state.hstatus) & HSTATUS_VGEIN:
        guests_changed(hart)


cdef uint64_t read_vsstatus(Hart* hart) noexcept nogil:
    return with_summary(hart.state.vsstatus)


cdef void write_vsstatus(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t legal = legal_vsstatus(hart, value)
    cdef uint64_t changed = hart.state.vsstatus ^ legal
    hart.state.vsstatus = legal
    if changed & MSTATUS_MXR:
        flush_translations(hart)
    update_mode(hart)


cdef uint64_t read_vsie(Hart* hart) noexcept nogil:
    return (hart.state.mie & hart.state.hideleg) >> 1


cdef void write_vsie(Hart* hart, uint64_t value) noexcept nogil:
    write_mie(hart, hart.state.mie & ~hart.state.hideleg | value << 1 & hart.state.hideleg)


# What henvcfg has only where menvcfg has it
cdef uint64_t OF_BOTH = HENVCFG_ADUE | HENVCFG_PBMTE | HENVCFG_STCE | HENVCFG_SSE


cdef uint64_t read_henvcfg(Hart* hart) noexcept nogil:
    return hart.state.henvcfg & (hart.state.menvcfg | ~OF_BOTH)


cdef void write_henvcfg(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t kept = OF_BOTH & ~hart.state.menvcfg
    cdef uint64_t changed = (hart.state.henvcfg ^ legal_henvcfg(hart, value)) & ~kept
    hart.state.henvcfg ^= changed
    if changed:                                 # hosts write what is there already as they enter a guest
        menvcfg_changed(hart)


cdef uint64_t read_hstateen(Hart* hart, int index) noexcept nogil:
    return hart.state.hstateen[index] & hart.state.mstateen[index]


cdef void write_hstateen(Hart* hart, int index, uint64_t value) noexcept nogil:
    hart.state.hstateen[index] = legal_hstateen(hart, value) & hart.state.mstateen[index]


cdef void write_vsatp(Hart* hart, uint64_t value) noexcept nogil:
    """Like satp for the guest itself; for its host a mode that is not implemented leaves only the mode as it was."""
    if legal_vsatp(hart, value) != value or levels_of(value) > hart.state.max_levels:
        value = value & ~SATP_MODE | hart.state.vsatp & SATP_MODE
    hart.state.vsatp = value
    update_mode(hart)


# --- Triggers --------------------------------------------------------------------------------------------------------

cdef uint64_t read_tdata1(Hart* hart) noexcept nogil:
    cdef uint64_t value = hart.state.tdata1[hart.state.tselect]
    return value if value else TDATA1_TYPE_DISABLED


cdef void write_tdata1(Hart* hart, uint64_t value) noexcept nogil:
    """Of one that is disabled nothing is kept: 0."""
    value = legal_tdata1(hart, value)
    hart.state.tdata1[hart.state.tselect] = value if value & TDATA1_TYPE == TDATA1_TYPE_MCONTROL6 else 0
    digest_triggers(hart)


# --- Unprivileged ----------------------------------------------------------------------------------------------------

cdef uint64_t read_fcsr(Hart* hart) noexcept nogil:
    hart.state.fflags |= collect_flags()
    return hart.state.fflags | hart.state.frm << FCSR_FRM_SHIFT


cdef void write_fcsr(Hart* hart, uint64_t value) noexcept nogil:
    hart.state.fflags = value & FCSR_FFLAGS
    hart.state.frm = (value & FCSR_FRM) >> FCSR_FRM_SHIFT
    start_environment(hart.state.frm)
    make_dirty(hart, MSTATUS_FS_DIRTY)
    update_mode(hart)


cdef void write_vstart(Hart* hart, uint64_t value) noexcept nogil:
    """As many bits as the number of an element of a group can have."""
    hart.state.vstart = value & (8 * hart.state.vlenb - 1)
    vectors_changed(hart)


cdef void vectors_changed(Hart* hart) noexcept nogil:
    make_dirty(hart, MSTATUS_VS_DIRTY)
    update_shape(hart)


cdef uint64_t read_seed(Hart* hart) noexcept nogil:
    """Sixteen bits from a generator that the machine's seed starts (SplitMix64): the same run, the same entropy."""
    cdef uint64_t mixed
    hart.state.entropy += 0x9E3779B97F4A7C15ULL
    mixed = hart.state.entropy
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9ULL
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBULL
    return SEED_OPST_ES16 | (mixed ^ mixed >> 31) & SEED_ENTROPY
