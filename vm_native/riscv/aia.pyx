"""The Advanced Interrupt Architecture 1.0 at a hart: what csrs.py names a function for, and the files of its IMSIC.

Chapters "Control and Status Registers (CSRs) Added to Harts", "Incoming MSI Controller (IMSIC)" and "Interrupts for
Virtual Machines". There are no virtual interrupts by mvien and hvien, and no priorities but those of the files.
"""
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport (
    FEATURE_SMSTATEEN, HVICTL_VTI, MENVCFG_STCE, MIP_MEIP, MIP_SEIP, MIP_SGEIP, MIP_SSIP, MIP_STIP, MIP_VSEIP,
    MSTATEEN0_AIA, MSTATEEN0_CSRIND, MSTATEEN0_IMSIC,
)
from vm_native.riscv.interrupts cimport (
    MACHINE_FILE, NO_FILE, SUPERVISOR_FILE, file_of_guest, identity_of, top_for_guest, top_for_machine,
    top_for_supervisor, top_of_file,
)
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


# --- Interrupt files -------------------------------------------------------------------------------------------------

cdef inline bint signals(const Hart* hart, int file) noexcept nogil:
    """Whether the file has an interrupt for the hart."""
    return hart.state.eidelivery[file] and top_of_file(hart, file)


cdef uint64_t signal_of(Hart* hart, int file, uint64_t* lines) noexcept nogil:
    """The lines that the file drives, and which of them are up."""
    cdef uint64_t line
    if file > SUPERVISOR_FILE:
        line = 1ULL << (file - SUPERVISOR_FILE)
        hart.state.hgeip = hart.state.hgeip | line if signals(hart, file) else hart.state.hgeip & ~line
        lines[0] = MIP_SGEIP | MIP_VSEIP
        return signal_of_guests(hart)
    lines[0] = MIP_MEIP if file == MACHINE_FILE else MIP_SEIP
    return lines[0] if signals(hart, file) else 0


cdef inline uint64_t signal_of_guests(const Hart* hart) noexcept nogil:
    """SGEIP, of those files that the host waits for; VSEIP, of that which is its guest's."""
    cdef int file = file_of_guest(hart)
    cdef uint64_t lines = MIP_SGEIP if hart.state.hgeip & hart.state.hgeie else 0
    if file != NO_FILE and hart.state.hgeip >> (file - SUPERVISOR_FILE) & 1:
        lines |= MIP_VSEIP
    return lines


cdef inline void drive_lines(Hart* hart, uint64_t lines, uint64_t up) noexcept nogil:
    hart.state.lines = hart.state.lines & ~lines | up
    if up:
        hart.cpu.attention = True


cdef void drive(Hart* hart, int file) noexcept nogil:
    """After a change by the hart itself."""
    cdef uint64_t lines
    cdef uint64_t up = signal_of(hart, file, &lines)
    drive_lines(hart, lines, up)


cdef void guests_changed(Hart* hart) noexcept nogil:
    """hgeie or hstatus.VGEIN."""
    drive_lines(hart, MIP_SGEIP | MIP_VSEIP, signal_of_guests(hart))


cdef uint64_t receive(Hart* hart, int file, uint64_t identity) noexcept nogil:
    """A message has come: the lines that are up by it. A file or identity that is not there ignores it."""
    cdef uint64_t lines
    if not hart.state.imsic or not 0 <= file <= SUPERVISOR_FILE + hart.state.guest_files:
        return 0
    if not 0 < identity <= IDENTITIES:
        return 0
    hart.state.eip[FILE_WORDS * file + identity // 64] |= 1ULL << (identity % 64)
    return signal_of(hart, file, &lines)


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


cdef inline bint is_register_of_file(uint64_t select) noexcept nogil:
    """Of arrays only the even numbers are."""
    return is_of_file(select) and not (select >= EIP and select & 1)


cdef inline bint is_there(const Hart* hart, uint64_t select) noexcept nogil:
    return not select & 1 if is_priority(select) else hart.state.imsic and is_register_of_file(select)


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


cdef uint64_t read_vsireg(Hart* hart) noexcept nogil:
    cdef int file = file_of_guest(hart)
    return 0 if file == NO_FILE else read_selected(hart, file, hart.state.vsiselect)


cdef void write_vsireg(Hart* hart, uint64_t value) noexcept nogil:
    cdef int file = file_of_guest(hart)
    if file != NO_FILE:
        write_selected(hart, file, hart.state.vsiselect, value)


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
        return is_priority(select) or is_of_file(select) and (not hart.state.imsic or allows(hart, MSTATEEN0_IMSIC))
    return is_there(hart, select) and allows(hart, MSTATEEN0_AIA if is_priority(select) else MSTATEEN0_IMSIC)


cdef bint vsireg_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    """In a guest it is for the host to say."""
    if not allows(hart, MSTATEEN0_CSRIND):
        return False
    return hart.state.virtual or reaches_file(hart) and allows(hart, MSTATEEN0_IMSIC)


cdef bint mtopei_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return hart.state.imsic


cdef bint stopei_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    if not hart.state.imsic:
        return hart.state.virtual       # a host might show its guest one
    return allows(hart, MSTATEEN0_IMSIC)


cdef bint vstopei_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    return stopei_enabled(hart, number, writes) and (hart.state.virtual or file_of_guest(hart) != NO_FILE)


cdef inline bint reaches_file(const Hart* hart) noexcept nogil:
    """Whether the guest has a file, and has selected a register of it."""
    return file_of_guest(hart) != NO_FILE and is_register_of_file(hart.state.vsiselect)


cdef inline bint host_allows(const Hart* hart, uint64_t bit) noexcept nogil:
    return not hart.state.features & FEATURE_SMSTATEEN or hart.state.hstateen[0] & bit != 0


cdef bint guest_may_select(Hart* hart, int number) noexcept nogil:
    return host_allows(hart, MSTATEEN0_CSRIND)


cdef bint guest_may_reach(Hart* hart, int number) noexcept nogil:
    return reaches_file(hart) and host_allows(hart, MSTATEEN0_CSRIND) and host_allows(hart, MSTATEEN0_IMSIC)


cdef bint guest_has_file(Hart* hart, int number) noexcept nogil:
    return file_of_guest(hart) != NO_FILE and host_allows(hart, MSTATEEN0_IMSIC)


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


cdef uint64_t read_vstopei(Hart* hart) noexcept nogil:
    cdef int file = file_of_guest(hart)
    return 0 if file == NO_FILE else top_of_file(hart, file)


cdef void write_vstopei(Hart* hart, uint64_t value) noexcept nogil:
    cdef int file = file_of_guest(hart)
    if file != NO_FILE:
        claim(hart, file)


cdef void write_hgeie(Hart* hart, uint64_t value) noexcept nogil:
    hart.state.hgeie = value & (2ULL << hart.state.guest_files) - 2
    guests_changed(hart)


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
