from libc.stdint cimport uint8_t
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.translation cimport Job

cdef void emit_perform_thunk(Job* job) noexcept nogil
cdef void emit_entry(Job* job) noexcept nogil
cdef void emit_end(Job* job, Block* part, Uop* uop, int opcode, int way) noexcept nogil
cdef void emit_perform(Job* job, Uop* uop, int refund) noexcept nogil
cdef bint emit_cold(Job* job) noexcept nogil
