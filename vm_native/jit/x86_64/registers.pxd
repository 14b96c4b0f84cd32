from vm_native.ir.block cimport Block
from vm_native.jit.x86_64.translation cimport Job

cdef void allocate(Job* job, Block** parts, int count, bint loops) noexcept nogil
cdef void emit_swap(Job* job, bint enter) noexcept nogil
