from libc.stdint cimport uint64_t
from vm_native.ir cimport Block, Uop
from vm_native.jit.job cimport Job

cdef bint emit_access(Job* job, Uop* uop, int opcode) noexcept nogil
cdef void choose_slot(Job* job, Uop* uop, int opcode, uint64_t pc) noexcept nogil
cdef void find_strides(Job* job, Block* part) noexcept nogil
