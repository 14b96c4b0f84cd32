"""The Advanced Interrupt Architecture 1.0 at a hart: what csrs.py names a function for, and the files of its IMSIC.

Chapters "Control and Status Registers (CSRs) Added to Harts" and "Incoming MSI Controller (IMSIC)". There are no files
of guests (GEILEN is 0), no virtual interrupts by mvien and hvien, and no priorities but those of the files.
"""
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport (
    CSR_SISELECT, FEATURE_SMSTATEEN, HVICTL_VTI, IRQ_MEI, IRQ_SEI, MENVCFG_STCE, MIP_SEIP, MIP_SSIP, MIP_STIP,
    MSTATEEN0_AIA, MSTATEEN0_CSRIND, MSTATEEN0_IMSIC,
)
from vm_native.riscv.interrupts cimport IID_SHIFT, identity_of, top_for_guest, top_for_machine, top_for_supervisor
from vm_native.riscv.privilege cimport poll
from vm_native.riscv.state cimport FILE_WORDS, IDENTITIES, MACHINE, Hart

cdef enum:                  # what is selected
    FIRST_PRIORITY = 0x30
    LAST_PRIORITY = 0x3F
    EIDELIVERY = 0x70
    EITHRESHOLD = 0x72
    EIP = 0x80
    EIE = 0xC0
    LAST_OF_FILE = 0xFF

cdef extern from *:
    int lowest_bit "__builtin_ctzll"(unsigned long long value) noexcept nogil


# --- Interrupt files -------------------------------------------------------------------------------------------------

cdef uint64_t top_of_file(const Hart* hart, int file) noexcept nogil:
    """mtopei, stopei: of those that are pending and enabled the lowest, if it is below the threshold."""
    cdef uint64_t ready, identity, threshold = hart.state.eithreshold[file]
    cdef int word
    for word in range(FILE_WORDS):
        ready = hart.state.eip[FILE_WORDS * file + word] & hart.state.eie[FILE_WORDS * file + word]
        if ready:
            identity = 64 * word + lowest_bit(ready)
            return identity << IID_SHIFT | identity if not threshold or identity < threshold else 0
    return 0


cdef bint signal_of(const Hart* hart, int file) noexcept nogil:
    """Whether the file has an interrupt for the hart."""
    return hart.state.eidelivery[file] and top_of_file(hart, file)


cdef void drive(Hart* hart, int file) noexcept nogil:
    """After a change by the hart itself."""
    cdef uint64_t line = 1ULL << (IRQ_MEI if file == MACHINE_FILE else IRQ_SEI)
    if signal_of(hart, file):
        hart.state.lines |= line
        hart.cpu.attention = True
    else:
        hart.state.lines &= ~line


cdef bint make_pending(Hart* hart, int file, uint64_t identity) noexcept nogil:
    """A message has come: whether there is such an identity."""
    if not hart.state.imsic or not 0 < identity <= IDENTITIES:
        return False
    hart.state.eip[FILE_WORDS * file + identity // 64] |= 1ULL << (identity % 64)
    return True


cdef void claim(Hart* hart, int file) noexcept nogil:
    cdef uint64_t identity = identity_of(top_of_file(hart, file))
    if identity:
        hart.state.eip[FILE_WORDS * file + identity // 64] &= ~(1ULL << (identity % 64))
        drive(hart, file)


# --- Registers behind a selection ------------------------------------------------------------------------------------

cdef inline bint is_priority(uint64_t select) noexcept nogil:
    return FIRST_PRIORITY <= select <= LAST_PRIORITY


cdef inline bint is_of_file(uint64_t select) noexcept nogil:
    return EIDELIVERY <= select <= LAST_OF_FILE


cdef inline bint is_there(const Hart* hart, uint64_t select) noexcept nogil:
    """Of arrays only the even numbers are."""
    if is_priority(select):
        return not select & 1
    return is_of_file(select) and hart.state.imsic and not (select >= EIP and select & 1)


cdef inline uint64_t* place_of(Hart* hart, int file, uint64_t select) noexcept nogil:
    """NULL: it reads as 0, and ignores writes."""
    cdef uint64_t word = (select & 0x3F) // 2
    if select == EIDELIVERY:
        return &hart.state.eidelivery[file]
    if select == EITHRESHOLD:
        return &hart.state.eithreshold[file]
    if select < EIP or word >= FILE_WORDS:
        return NULL
    return &hart.state.eie[FILE_WORDS * file + word] if select >= EIE else &hart.state.eip[FILE_WORDS * file + word]


cdef uint64_t read_selected(Hart* hart, int file, uint64_t select) noexcept nogil:
    cdef uint64_t* place = place_of(hart, file, select)
    return 0 if place == NULL or is_priority(select) else place[0]


cdef void write_selected(Hart* hart, int file, uint64_t select, uint64_t value) noexcept nogil:
    cdef uint64_t* place = place_of(hart, file, select)
    if place == NULL or is_priority(select):
        return
    if select == EIDELIVERY:
        value &= 1
    elif select == EITHRESHOLD:
        value &= IDENTITIES
    elif not select & 0x3F:
        value &= ~1ULL                  # 0 is no identity
    place[0] = value
    drive(hart, file)


cdef uint64_t read_mireg(Hart* hart) noexcept nogil:
    return read_selected(hart, MACHINE_FILE, hart.state.miselect)


cdef void write_mireg(Hart* hart, uint64_t value) noexcept nogil:
    write_selected(hart, MACHINE_FILE, hart.state.miselect, value)


cdef uint64_t read_sireg(Hart* hart) noexcept nogil:
    return read_selected(hart, SUPERVISOR_FILE, hart.state.siselect)


cdef void write_sireg(Hart* hart, uint64_t value) noexcept nogil:
    write_selected(hart, SUPERVISOR_FILE, hart.state.siselect, value)


# --- Who may access what ---------------------------------------------------------------------------------------------

cdef inline bint allows(const Hart* hart, uint64_t bit) noexcept nogil:
    """mstateen0, of a mode below M."""
    return (
        hart.state.privilege == MACHINE or not hart.state.features & FEATURE_SMSTATEEN
        or hart.state.mstateen[0] & bit != 0
    )


cdef bint selection_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return allows(hart, MSTATEEN0_CSRIND)


cdef bint aia_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return allows(hart, MSTATEEN0_AIA)


cdef bint mireg_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return is_there(hart, hart.state.miselect)


cdef bint sireg_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    """In a guest, whether what it has selected may be there for another, and so is for its host to say."""
    cdef uint64_t select = hart.state.vsiselect if hart.state.virtual else hart.state.siselect
    if not allows(hart, MSTATEEN0_CSRIND):
        return False
    if hart.state.virtual:
        return is_priority(select) or is_of_file(select)
    return is_there(hart, select) and allows(hart, MSTATEEN0_AIA if is_priority(select) else MSTATEEN0_IMSIC)


cdef bint vsireg_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    """Guests have no files; in one it is for the host to say."""
    return hart.state.virtual and allows(hart, MSTATEEN0_CSRIND)


cdef bint mtopei_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return hart.state.imsic


cdef bint stopei_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    if not hart.state.imsic:
        return hart.state.virtual       # a host might show its guest one
    return allows(hart, MSTATEEN0_IMSIC)


cdef bint vstopei_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return hart.state.virtual and stopei_enabled(hart, number, writes)


cdef inline bint host_allows(const Hart* hart, uint64_t bit) noexcept nogil:
    return not hart.state.features & FEATURE_SMSTATEEN or hart.state.hstateen[0] & bit != 0


cdef bint guest_may_select(Hart* hart, int number) noexcept nogil:
    """siselect; what stands behind it, and stopei, are none of a guest's."""
    return number == CSR_SISELECT and host_allows(hart, MSTATEEN0_CSRIND)


cdef bint guest_may_see_top(Hart* hart, int number) noexcept nogil:
    return host_allows(hart, MSTATEEN0_AIA)


cdef bint guest_may_see_pending(Hart* hart, int number) noexcept nogil:
    """sip and sie, unless the host has taken them over."""
    return not hart.state.hvictl & HVICTL_VTI


# --- Others ----------------------------------------------------------------------------------------------------------

cdef uint64_t read_mtopei(Hart* hart) noexcept nogil:
    return top_of_file(hart, MACHINE_FILE)


cdef void write_mtopei(Hart* hart, uint64_t value) noexcept nogil:
    claim(hart, MACHINE_FILE)


cdef uint64_t read_stopei(Hart* hart) noexcept nogil:
    return top_of_file(hart, SUPERVISOR_FILE)


cdef void write_stopei(Hart* hart, uint64_t value) noexcept nogil:
    claim(hart, SUPERVISOR_FILE)


cdef uint64_t read_mtopi(Hart* hart) noexcept nogil:
    poll(&hart.cpu)
    return top_for_machine(hart)


cdef uint64_t read_stopi(Hart* hart) noexcept nogil:
    poll(&hart.cpu)
    return top_for_supervisor(hart)


cdef uint64_t read_vstopi(Hart* hart) noexcept nogil:
    poll(&hart.cpu)
    return top_for_guest(hart)


cdef inline uint64_t aliases(const Hart* hart) noexcept nogil:
    """The bits of mip that mvip shows: those that software may set, without what comes by a line."""
    return MIP_SSIP | MIP_SEIP | (0 if hart.state.menvcfg & MENVCFG_STCE else MIP_STIP)


cdef uint64_t read_mvip(Hart* hart) noexcept nogil:
    return hart.state.mip & aliases(hart)


cdef void write_mvip(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t writable = aliases(hart)
    hart.state.mip = hart.state.mip & ~writable | value & writable
    hart.cpu.attention = True
