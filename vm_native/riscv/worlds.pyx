"""Worlds: the registers that supervisor code finds are its own, whether it is a host's or a guest's.

Privileged specification, chapter "H". A hart that runs a guest (V = 1) has the guest's registers where supervisor code
looks for them, and those of its host are put away where the host finds the guest's: all that translates code or
addresses for a supervisor knows of one set. An exchange of the two goes with each change of V. So a trap that the guest
takes itself, and all that it does in the handler, is what it is without a host.
"""
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport (
    BREAKPOINT, FETCH_ACCESS, FETCH_GUEST_PAGE, FETCH_MISALIGNED, FETCH_PAGE, HSTATUS_GVA, HSTATUS_SPV, HSTATUS_SPVP,
    LOAD_ACCESS, LOAD_GUEST_PAGE, LOAD_MISALIGNED, LOAD_PAGE, MCAUSE_INTERRUPT, MSTATUS_FS, MSTATUS_GVA, MSTATUS_MPV,
    MSTATUS_MXR, MSTATUS_SIE, MSTATUS_SPELP, MSTATUS_SPIE, MSTATUS_SPP, MSTATUS_SUM, MSTATUS_VS, STORE_ACCESS,
    STORE_GUEST_PAGE, STORE_MISALIGNED, STORE_PAGE,
)
from vm_native.riscv.state cimport SUPERVISOR, Hart, RiscvState

cdef uint64_t OF_A_WORLD = (
    MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_VS | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR
    | MSTATUS_SPELP
)

cdef enum:                  # exceptions whose value is an address
    OF_FETCHES = 1 << FETCH_MISALIGNED | 1 << FETCH_ACCESS | 1 << BREAKPOINT | 1 << FETCH_PAGE | 1 << FETCH_GUEST_PAGE
    OF_GUEST_PAGES = 1 << FETCH_GUEST_PAGE | 1 << LOAD_GUEST_PAGE | 1 << STORE_GUEST_PAGE
    OF_DATA = (
        1 << LOAD_MISALIGNED | 1 << LOAD_ACCESS | 1 << STORE_MISALIGNED | 1 << STORE_ACCESS | 1 << LOAD_PAGE
        | 1 << STORE_PAGE | 1 << LOAD_GUEST_PAGE | 1 << STORE_GUEST_PAGE
    )


cdef inline void exchange(uint64_t* a, uint64_t* b) noexcept nogil:
    cdef uint64_t kept = a[0]
    a[0] = b[0]
    b[0] = kept


cdef void exchange_worlds(Hart* hart) noexcept nogil:
    """V changes; the caller goes on to update_mode."""
    cdef RiscvState* state = hart.state
    cdef uint64_t differing = (state.mstatus ^ state.vsstatus) & OF_A_WORLD
    state.mstatus ^= differing
    state.vsstatus ^= differing
    exchange(&state.stvec, &state.vstvec)
    exchange(&state.sscratch, &state.vsscratch)
    exchange(&state.sepc, &state.vsepc)
    exchange(&state.scause, &state.vscause)
    exchange(&state.stval, &state.vstval)
    exchange(&state.satp, &state.vsatp)
    state.virtual = not state.virtual


cdef bint guest_takes(const Hart* hart, uint64_t cause) noexcept nogil:
    """Whether an exception that M-mode delegates is the guest's own."""
    return hart.state.virtual and hart.state.hedeleg >> cause & 1


cdef inline bint is_of(uint64_t cause, uint64_t causes) noexcept nogil:
    return not cause & MCAUSE_INTERRUPT and causes >> cause & 1


cdef inline bint has_guest_address(Hart* hart, uint64_t cause) noexcept nogil:
    """Whether the trap's value is an address of the guest's."""
    if hart.state.virtual:
        return is_of(cause, OF_FETCHES | OF_DATA)
    return is_of(cause, OF_DATA) and (hart.reaches_guest or data_is_of_guest(hart))


cdef void leave_to_host(Hart* hart, uint64_t cause) noexcept nogil:
    """From a guest, or an instruction that reaches into one."""
    cdef RiscvState* state = hart.state
    cdef bint of_guest_page = is_of(cause, OF_GUEST_PAGES)
    state.hstatus &= ~(HSTATUS_SPV | HSTATUS_GVA)
    if has_guest_address(hart, cause):
        state.hstatus |= HSTATUS_GVA
    state.htval = hart.guest_physical if of_guest_page else 0
    state.htinst = hart.guest_instruction if of_guest_page else 0
    hart.reaches_guest = False
    if state.virtual:
        state.hstatus = (state.hstatus | HSTATUS_SPV) & ~HSTATUS_SPVP
        if state.privilege == SUPERVISOR:
            state.hstatus |= HSTATUS_SPVP
        exchange_worlds(hart)


cdef void leave_to_machine(Hart* hart, uint64_t cause) noexcept nogil:
    """The same, or from M-mode that does."""
    cdef RiscvState* state = hart.state
    cdef bint of_guest_page = is_of(cause, OF_GUEST_PAGES)
    cdef bint of_guest = has_guest_address(hart, cause)
    state.mstatus &= ~(MSTATUS_MPV | MSTATUS_GVA)
    if of_guest:
        state.mstatus |= MSTATUS_GVA
    state.mtval2 = hart.guest_physical if of_guest_page else 0
    state.mtinst = hart.guest_instruction if of_guest_page else 0
    hart.reaches_guest = False
    if state.virtual:
        state.mstatus |= MSTATUS_MPV
        exchange_worlds(hart)
