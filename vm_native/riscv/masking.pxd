# Pointer masking: how many of an address' highest bits are ignored.
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport FEATURE_SMMPM, FEATURE_SMNPM, FEATURE_SSNPM
from vm_native.riscv.state cimport Hart

cdef inline bint has_masking(const Hart* hart) noexcept nogil:
    return hart.state.features & (FEATURE_SMMPM | FEATURE_SMNPM | FEATURE_SSNPM) != 0

cdef void update_masking(Hart* hart, int data_privilege) noexcept nogil
cdef uint64_t address_in_guest(const Hart* hart, uint64_t address, int privilege) noexcept nogil
