"""The order of interrupts: privileged specification, sections 3.1.9 and 12.1.3; chapter "H"; and what the Advanced
Interrupt Architecture (chapters "Interrupts for Machine and Supervisor Levels" and "... Virtual Machines") calls the
top one.

Priorities that software might configure are read-only zeros, as the AIA permits: the order is the default one.
"""
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport (
    HVICTL_DPR, HVICTL_IPRIO, HVICTL_IPRIOM, IRQ_LCOFI, IRQ_MEI, IRQ_MSI, IRQ_MTI, IRQ_SEI, IRQ_SGEI, IRQ_SSI,
    IRQ_STI, IRQ_VSEI, IRQ_VSSI, IRQ_VSTI,
)
from vm_native.riscv.state cimport FILE_WORDS, Hart

cdef extern from *:
    int lowest_bit "__builtin_ctzll"(unsigned long long value) noexcept nogil

cdef enum:
    SOURCES = 11
    SOME_PRIORITY = 1       # where none is configurable
    FIRST = 0               # priorities that have no number of their own
    LAST = 255
    UNNUMBERED = 256        # of an external interrupt without a number

cdef int[SOURCES] PRIORITY = [
    IRQ_MEI, IRQ_MSI, IRQ_MTI, IRQ_SEI, IRQ_SSI, IRQ_STI, IRQ_SGEI, IRQ_VSEI, IRQ_VSSI, IRQ_VSTI, IRQ_LCOFI,
]


cdef int highest(uint64_t pending) noexcept nogil:
    cdef int i
    for i in range(SOURCES):
        if pending >> PRIORITY[i] & 1:
            return PRIORITY[i]
    return 0


cdef inline uint64_t top_of(uint64_t pending) noexcept nogil:
    return <uint64_t>highest(pending) << IID_SHIFT | SOME_PRIORITY if pending else 0


cdef uint64_t top_for_machine(const Hart* hart) noexcept nogil:
    """mtopi."""
    return top_of(pending_interrupts(hart) & hart.state.mie & ~hart.state.mideleg)


cdef uint64_t top_for_supervisor(const Hart* hart) noexcept nogil:
    """stopi, of a host."""
    return top_of(pending_interrupts(hart) & hart.state.mie & hart.state.mideleg & ~hart.state.hideleg)


cdef uint64_t top_of_file(const Hart* hart, int file) noexcept nogil:
    """mtopei, stopei, vstopei: of those that are pending and enabled the lowest, if it is below the threshold."""
    cdef uint64_t ready, identity, threshold = hart.state.eithreshold[file]
    cdef int word
    for word in range(FILE_WORDS):
        ready = hart.state.eip[FILE_WORDS * file + word] & hart.state.eie[FILE_WORDS * file + word]
        if ready:
            identity = 64 * word + lowest_bit(ready)
            return identity << IID_SHIFT | identity if not threshold or identity < threshold else 0
    return 0


cdef uint64_t top_for_guest(const Hart* hart) noexcept nogil:
    """vstopi: of what is an external interrupt, and of what is none, the one that comes first."""
    cdef uint64_t pending = (pending_interrupts(hart) & hart.state.mie & hart.state.hideleg) >> 1
    cdef uint64_t control = hart.state.hvictl, number = control & HVICTL_IPRIO
    cdef uint64_t identity = (control & HVICTL_IID) >> HVICTL_IID_SHIFT, injected
    cdef uint64_t external_number = number_of_external(hart, number if identity == IRQ_SEI else 0)
    cdef bint external = pending >> IRQ_SEI & 1
    pending &= ~(1ULL << IRQ_SEI)
    if not control & HVICTL_VTI:
        if external or not pending:
            return in_register(control, IRQ_SEI, external_number) if external else 0
        return in_register(control, highest(pending), LAST)
    if identity == IRQ_SEI:
        return in_register(control, IRQ_SEI, external_number) if external else 0
    injected = number if number else UNNUMBERED if control & HVICTL_DPR else FIRST
    if external and (external_number < injected or external_number == injected and control & HVICTL_DPR):
        return in_register(control, IRQ_SEI, external_number)
    return in_register(control, identity, injected)


cdef inline uint64_t number_of_external(const Hart* hart, uint64_t given) noexcept nogil:
    """The priority of a guest's external interrupt: its file's, or without a file what the host has given."""
    cdef int file = file_of_guest(hart)
    cdef uint64_t number = given if file == NO_FILE else identity_of(top_of_file(hart, file))
    return number if number else UNNUMBERED


cdef inline uint64_t in_register(uint64_t control, uint64_t identity, uint64_t priority) noexcept nogil:
    if not control & HVICTL_IPRIOM:
        priority = SOME_PRIORITY
    return identity << IID_SHIFT | min(priority, <uint64_t>LAST)
