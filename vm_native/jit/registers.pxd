from vm_native.ir cimport Block
from vm_native.jit.job cimport Job

cdef void allocate(Job* job, Block** parts, int count, bint loops) noexcept nogil
cdef void emit_swap(Job* job, bint enter) noexcept nogil
