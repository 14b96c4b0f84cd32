from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.translation cimport Cold, Job

cdef int check(Job* job, Uop* uop, int size, bint write, Cold** cold) noexcept nogil
cdef bint emit_access(Job* job, Uop* uop, int opcode) noexcept nogil
cdef void choose_slot(Job* job, Uop* uop, int opcode, uint64_t pc) noexcept nogil
cdef void find_strides(Job* job, Block* part) noexcept nogil
cdef int emit_group(Job* job, Block* part, int first) noexcept nogil
cdef void emit_one_by_one(Job* job, Cold* cold) noexcept nogil
