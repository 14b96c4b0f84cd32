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
from vm_native.riscv.state cimport Hart

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


cdef uint64_t top_for_guest(const Hart* hart) noexcept nogil:
    """vstopi: of what is an external interrupt, and of what is none, the one that comes first."""
    cdef uint64_t pending = (pending_interrupts(hart) & hart.state.mie & hart.state.hideleg) >> 1
    cdef uint64_t control = hart.state.hvictl, number = control & HVICTL_IPRIO
    cdef uint64_t identity = (control & HVICTL_IID) >> HVICTL_IID_SHIFT
    cdef uint64_t external_number = number if identity == IRQ_SEI and number else UNNUMBERED
    cdef bint external = pending >> IRQ_SEI & 1
    pending &= ~(1ULL << IRQ_SEI)
    if not control & HVICTL_VTI:
        if external or not pending:
            return in_register(control, IRQ_SEI, external_number) if external else 0
        return in_register(control, highest(pending), LAST)
    if identity == IRQ_SEI:
        return in_register(control, IRQ_SEI, external_number) if external else 0
    if external and not number and control & HVICTL_DPR:
        return in_register(control, IRQ_SEI, external_number)      # which has no number: all others come before it
    return in_register(control, identity, number if number else LAST if control & HVICTL_DPR else FIRST)


cdef inline uint64_t in_register(uint64_t control, uint64_t identity, uint64_t priority) noexcept nogil:
    if not control & HVICTL_IPRIOM:
        priority = SOME_PRIORITY
    return identity << IID_SHIFT | min(priority, <uint64_t>LAST)
