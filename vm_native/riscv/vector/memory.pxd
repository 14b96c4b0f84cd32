# Vector loads and stores: one function for each of their shapes.
from vm_native.riscv.vector.operands cimport Vector

cdef int run_access_unit(Vector* v) noexcept nogil
cdef int run_access_strided(Vector* v) noexcept nogil
cdef int run_access_indexed(Vector* v) noexcept nogil
cdef int run_access_mask(Vector* v) noexcept nogil
cdef int run_access_whole(Vector* v) noexcept nogil
cdef int run_access_first(Vector* v) noexcept nogil
