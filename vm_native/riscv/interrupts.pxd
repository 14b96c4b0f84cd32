# Interrupts that are pending: which there are, and which comes first.
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport (
    HSTATUS_VGEIN, HSTATUS_VGEIN_SHIFT, HVICTL_IID, HVICTL_IID_SHIFT, HVICTL_VTI, IRQ_SEI, MENVCFG_STCE, MIP_STIP,
)
from vm_native.riscv.state cimport Hart

cdef enum:                  # interrupt files of an IMSIC, by level
    MACHINE_FILE = 0
    SUPERVISOR_FILE = 1     # behind it that of guest 1, and so on
    NO_FILE = -1

cdef inline int file_of_guest(const Hart* hart) noexcept nogil:
    # That which hstatus names.
    cdef int number = <int>((hart.state.hstatus & HSTATUS_VGEIN) >> HSTATUS_VGEIN_SHIFT)
    return SUPERVISOR_FILE + number if 0 < number <= hart.state.guest_files else NO_FILE

cdef inline uint64_t pending_interrupts(const Hart* hart) noexcept nogil:
    # What mip reads as. With Sstc on, STIP is the comparison's alone.
    cdef uint64_t software = hart.state.mip
    if hart.state.menvcfg & MENVCFG_STCE:
        software &= ~MIP_STIP
    return software | hart.state.lines

cdef inline bint is_injected(const Hart* hart) noexcept nogil:
    # Whether the hart runs a guest to which its host, by hvictl, shows an interrupt that is pending nowhere.
    cdef uint64_t control = hart.state.hvictl
    return control & HVICTL_VTI != 0 and hart.state.virtual and control & HVICTL_IID != IRQ_SEI << HVICTL_IID_SHIFT

cdef inline bint may_interrupt(const Hart* hart) noexcept nogil:
    # Whether there is an interrupt that is enabled by itself, whatever the mode.
    return pending_interrupts(hart) & hart.state.mie != 0 or is_injected(hart)

cdef enum:
    IID_SHIFT = 16          # of what the registers of top interrupts say

cdef inline uint64_t identity_of(uint64_t top) noexcept nogil:
    return top >> IID_SHIFT

cdef int highest(uint64_t pending) noexcept nogil
cdef uint64_t top_of_file(const Hart* hart, int file) noexcept nogil
cdef uint64_t top_for_machine(const Hart* hart) noexcept nogil
cdef uint64_t top_for_supervisor(const Hart* hart) noexcept nogil
cdef uint64_t top_for_guest(const Hart* hart) noexcept nogil
