# Floating point on register images in any rounding mode, by way of softfloat.
from libc.stdint cimport uint32_t, uint64_t

# One of OPERATIONS; ORs what is raised into flags. What has no rounding mode ignores it, and operands that it lacks.
cdef uint64_t operate(int operation, int rounding, uint64_t a, uint64_t b, uint64_t c, uint32_t* flags) noexcept nogil
