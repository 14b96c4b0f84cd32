# The host's world and its guest's, and the changes from one to the other.
from libc.stdint cimport uint32_t, uint64_t
from vm_native.ir.vectors cimport SHAPE_KNOWN, SHAPE_LENGTH_SHIFT
from vm_native.riscv.constants cimport (
    FEATURE_H, HSTATUS_GVA, HSTATUS_SPV, MSTATUS_GVA, MSTATUS_MPP, MSTATUS_MPP_M, MSTATUS_MPRV, MSTATUS_MPV,
    MSTATUS_VS, VTYPE_VILL,
)
from vm_native.riscv.state cimport MACHINE, Hart, RiscvState

cdef inline bint has_guests(const Hart* hart) noexcept nogil:
    return hart.state.features & FEATURE_H != 0

cdef inline bint data_is_of_guest(const Hart* hart) noexcept nogil:
    # Whether loads and stores have addresses of the guest's: its own, and M-mode's with MPRV.
    cdef uint64_t status = hart.state.mstatus
    if hart.state.virtual:
        return True
    return (
        hart.state.privilege == MACHINE and status & MSTATUS_MPP != MSTATUS_MPP_M
        and status & MSTATUS_MPRV != 0 and status & MSTATUS_MPV != 0
    )

cdef inline uint64_t guest_status(const Hart* hart) noexcept nogil:
    # vsstatus, wherever it is; other bits are the host's.
    return hart.state.mstatus if hart.state.virtual else hart.state.vsstatus

cdef inline uint64_t host_status(const Hart* hart) noexcept nogil:
    # The same of the host's sstatus.
    return hart.state.vsstatus if hart.state.virtual else hart.state.mstatus

# FS and VS are of a guest and of its host both: what is off for either is off.

cdef inline bint is_on(const Hart* hart, uint64_t field) noexcept nogil:
    return hart.state.mstatus & field != 0 and not (hart.state.virtual and not hart.state.vsstatus & field)

cdef inline bint is_dirty(const Hart* hart, uint64_t field) noexcept nogil:
    return hart.state.mstatus & field == field and (not hart.state.virtual or hart.state.vsstatus & field == field)

cdef inline void make_dirty(Hart* hart, uint64_t field) noexcept nogil:
    hart.state.mstatus |= field
    if hart.state.virtual:
        hart.state.vsstatus |= field

cdef inline void update_shape(Hart* hart) noexcept nogil:
    # After a change of vtype, vl, vstart, or of VS, or of V. Code counts on a shape only where instructions change
    # nothing of all that: the state is dirty, and they begin with the first element.
    cdef const RiscvState* state = hart.state
    if state.vlenb and is_dirty(hart, MSTATUS_VS) and not state.vstart and not state.vtype & VTYPE_VILL:
        hart.cpu.vector_shape = SHAPE_KNOWN | <uint32_t>state.vl << SHAPE_LENGTH_SHIFT | <uint32_t>state.vtype
    else:
        hart.cpu.vector_shape = 0

# What HS-mode and M-mode learn of a trap that they are about to take, besides what they do on a hart without guests.
# Where none is in sight that is little.

cdef inline void inform_host(Hart* hart, uint64_t cause) noexcept nogil:
    if hart.state.virtual or hart.reaches_guest:
        leave_to_host(hart, cause)
        return
    hart.state.hstatus &= ~(HSTATUS_SPV | HSTATUS_GVA)
    hart.state.htval = hart.state.htinst = 0

cdef inline void inform_machine(Hart* hart, uint64_t cause) noexcept nogil:
    if hart.state.virtual or hart.reaches_guest or hart.state.mstatus & MSTATUS_MPRV:
        leave_to_machine(hart, cause)
        return
    hart.state.mstatus &= ~(MSTATUS_MPV | MSTATUS_GVA)
    hart.state.mtval2 = hart.state.mtinst = 0

cdef void exchange_worlds(Hart* hart) noexcept nogil
cdef void leave_to_host(Hart* hart, uint64_t cause) noexcept nogil
cdef void leave_to_machine(Hart* hart, uint64_t cause) noexcept nogil
cdef bint guest_takes(const Hart* hart, uint64_t cause) noexcept nogil
