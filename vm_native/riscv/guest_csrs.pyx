"""What csrs.py names a function for of the hypervisor's registers; what needs their fields' legal values is in csr.pyx.

Privileged specification, chapter "H"; for timers chapter "Sstc", for state enables chapter "Smstateen/Ssstateen". Where
a host could do what its guest may not, the guest's access is a virtual instruction: whatever it is that the host must
have for that itself has been looked at before.
"""
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport (
    CSR_CYCLE, CSR_SIE, CSR_SIP, CSR_SIREG, CSR_SISELECT, CSR_STIMECMP, CSR_STOPEI, CSR_STOPI, FEATURE_SMSTATEEN,
    FEATURE_SSTC, HENVCFG_SSE, HENVCFG_STCE, HGATP_MODE, HGATP_MODE_BARE, HGATP_PPN, HGATP_VMID, HSTATEEN_SE,
    HSTATUS_VTVM, MCOUNTEREN_TM, MENVCFG_STCE, MIP_VSEIP, MIP_VSSIP, MIP_VSTIP, MSTATEEN0_ENVCFG, SENVCFG_SSE,
)
from vm_native.riscv.interrupts cimport pending_interrupts
from vm_native.riscv.privilege cimport poll, update_mode
from vm_native.riscv.spaces cimport levels_of
from vm_native.riscv.state cimport MACHINE, USER, Hart

cdef enum:
    OF_GUEST = 0x100        # from the number of a supervisor's register to that of its guest's

cdef uint64_t VIRTUAL_PENDING = MIP_VSSIP | MIP_VSTIP | MIP_VSEIP


# --- What a guest may access -----------------------------------------------------------------------------------------

cdef bint guest_may_count(Hart* hart, int number) noexcept nogil:
    cdef int counter = number - CSR_CYCLE
    if not hart.state.hcounteren >> counter & 1:
        return False
    return hart.state.privilege != USER or hart.state.scounteren >> counter & 1


cdef bint guest_may_compare(Hart* hart, int number) noexcept nogil:
    return hart.state.henvcfg & HENVCFG_STCE != 0 and hart.state.hcounteren & MCOUNTEREN_TM != 0


cdef bint guest_may_configure(Hart* hart, int number) noexcept nogil:
    return not hart.state.features & FEATURE_SMSTATEEN or hart.state.hstateen[0] & MSTATEEN0_ENVCFG != 0


cdef bint guest_may_enable(Hart* hart, int number) noexcept nogil:
    return hart.state.hstateen[number & 3] & HSTATEEN_SE != 0


cdef bint guest_may_translate(Hart* hart, int number) noexcept nogil:
    return not hart.state.hstatus & HSTATUS_VTVM


cdef bint guest_may_draw(Hart* hart, int number) noexcept nogil:
    return False


cdef bint guest_has_shadow_stack(Hart* hart, int number) noexcept nogil:
    if not hart.state.henvcfg & HENVCFG_SSE:
        return False
    return hart.state.privilege != USER or hart.state.senvcfg & SENVCFG_SSE != 0


cdef bint vstimecmp_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    if not hart.state.features & FEATURE_SSTC:
        return False
    if hart.state.privilege == MACHINE:
        return True
    return hart.state.menvcfg & MENVCFG_STCE != 0 and hart.state.mcounteren & MCOUNTEREN_TM != 0


cdef int number_for_guest(int number) noexcept nogil:
    """Of what a guest finds by this one. Registers that are exchanged with its world are where it looks for them."""
    if number in (CSR_SIE, CSR_SIP, CSR_SISELECT, CSR_SIREG, CSR_STOPEI, CSR_STOPI, CSR_STIMECMP):
        return number + OF_GUEST
    return number


# --- Effects ---------------------------------------------------------------------------------------------------------

cdef uint64_t read_hvip(Hart* hart) noexcept nogil:
    return hart.state.mip & VIRTUAL_PENDING


cdef void write_hvip(Hart* hart, uint64_t value) noexcept nogil:
    hart.state.mip = hart.state.mip & ~VIRTUAL_PENDING | value & VIRTUAL_PENDING
    hart.cpu.attention = True


cdef uint64_t read_vsip(Hart* hart) noexcept nogil:
    """What the host delegates of it, at the supervisor's bits."""
    poll(&hart.cpu)
    return (pending_interrupts(hart) & hart.state.hideleg) >> 1


cdef void write_vsip(Hart* hart, uint64_t value) noexcept nogil:
    cdef uint64_t writable = hart.state.hideleg & MIP_VSSIP
    write_hvip(hart, hart.state.mip & ~writable | value << 1 & writable)


cdef void write_hgatp(Hart* hart, uint64_t value) noexcept nogil:
    """A mode that is not there leaves the mode as it was. The root is of 16 KiB, aligned to that."""
    cdef uint64_t writable = HGATP_PPN | HGATP_VMID
    if value & HGATP_MODE == HGATP_MODE_BARE or 3 <= levels_of(value) <= hart.state.max_levels:
        writable |= HGATP_MODE
    hart.state.hgatp = hart.state.hgatp & ~writable | value & writable
    update_mode(hart)
