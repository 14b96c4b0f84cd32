"""Pointer masking (privileged specification, chapter "Pointer Masking Extensions"): Ssnpm, Smnpm, Smmpm.

The field PMM of a register of the next higher mode says how many of the highest bits an address of a load or store
does not count. Engines know the number of the mode at hand: the TLB has addresses without these bits, so that one with
a tag in them is a slow access, and one without them is what it always was.
"""
from libc.stdint cimport int64_t, uint64_t
from vm_native.riscv.constants cimport (
    HENVCFG_PMM, HENVCFG_PMM_SHIFT, HSTATUS_HUPMM, HSTATUS_HUPMM_SHIFT, MENVCFG_PMM, MENVCFG_PMM_SHIFT, MSECCFG_PMM,
    MSECCFG_PMM_SHIFT, MSTATUS_MXR, SATP_MODE, SATP_MODE_BARE, SENVCFG_PMM, SENVCFG_PMM_SHIFT,
)
from vm_native.riscv.state cimport MACHINE, USER, Hart
from vm_native.riscv.worlds cimport data_is_of_guest, guest_status, has_guests, host_status

cdef int[4] PMLEN = [0, 0, 7, 16]       # by the value of PMM


cdef inline int bits_of_mode(const Hart* hart, int privilege, bint of_guest) noexcept nogil:
    """Where loads and stores have this privilege, and where MXR is not in effect."""
    if privilege == MACHINE:
        return PMLEN[(hart.state.mseccfg & MSECCFG_PMM) >> MSECCFG_PMM_SHIFT]
    if privilege == USER:
        return PMLEN[(hart.state.senvcfg & SENVCFG_PMM) >> SENVCFG_PMM_SHIFT]
    if of_guest:
        return PMLEN[(hart.state.henvcfg & HENVCFG_PMM) >> HENVCFG_PMM_SHIFT]
    return PMLEN[(hart.state.menvcfg & MENVCFG_PMM) >> MENVCFG_PMM_SHIFT]


cdef void update_masking(Hart* hart, int data_privilege) noexcept nogil:
    """What engines are to ignore, where loads and stores have this privilege; of `update_mode` a part."""
    cdef bint of_guest = has_guests(hart) and data_is_of_guest(hart)
    cdef uint64_t status = hart.state.mstatus, satp = hart.state.satp
    if of_guest:
        status = guest_status(hart) | host_status(hart)
        if not hart.state.virtual:
            satp = hart.state.vsatp
    hart.cpu.ignored_bits = 0 if status & MSTATUS_MXR else bits_of_mode(hart, data_privilege, of_guest)
    hart.cpu.extends_sign = data_privilege != MACHINE and satp & SATP_MODE != SATP_MODE_BARE


cdef uint64_t address_in_guest(const Hart* hart, uint64_t address, int privilege) noexcept nogil:
    """Of hlv and hsv, as their host forms it; `privilege` is the guest's. A host in U-mode has a field of its own."""
    cdef int bits = bits_of_mode(hart, privilege, True)
    if privilege == USER and hart.state.privilege == USER:
        bits = PMLEN[(hart.state.hstatus & HSTATUS_HUPMM) >> HSTATUS_HUPMM_SHIFT]
    if not bits or (guest_status(hart) | host_status(hart)) & MSTATUS_MXR:
        return address
    if hart.state.vsatp & SATP_MODE != SATP_MODE_BARE:
        return <uint64_t>(<int64_t>(address << bits) >> bits)
    return address << bits >> bits
