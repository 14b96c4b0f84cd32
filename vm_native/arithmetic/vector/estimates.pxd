# The estimates of 1 / a and 1 / sqrt(a), to seven bits: vector specification 1.0, sections 13.9 and 13.10.
from libc.stdint cimport uint32_t, uint64_t
from vm_native.arithmetic.softfloat cimport Format

cdef uint64_t reciprocal(Format f, uint64_t a, int rounding, uint32_t* flags) noexcept nogil
cdef uint64_t reciprocal_square_root(Format f, uint64_t a, uint32_t* flags) noexcept nogil
