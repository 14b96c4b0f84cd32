# Physical memory protection.
from libc.stdint cimport uint64_t
from vm_native.riscv.state cimport Hart

cdef void digest_pmp(Hart* hart) noexcept nogil
cdef bint pmp_allows(
    Hart* hart, uint64_t physical, uint64_t size, int access, int privilege, bint* partial
) noexcept nogil
