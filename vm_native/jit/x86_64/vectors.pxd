# Instructions on vectors.
from libc.stdint cimport uint8_t
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.assembler cimport Emitter
from vm_native.jit.x86_64.compilation cimport Cold, Compilation

cdef bint emit_vector(Compilation* t, Block* part, int at) noexcept nogil
cdef void follow_shape(Compilation* t, Uop* uop, int opcode) noexcept nogil
cdef void emit_cold_vector(Compilation* t, Cold* cold) noexcept nogil
cdef uint8_t* emit_vector_constants(Emitter* e) noexcept nogil
