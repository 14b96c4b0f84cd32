# What every trace shares.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.jit.state cimport Jit
from vm_native.jit.x86_64.assembler cimport Emitter

cdef enum:
    EDGE_ENTRY = -8         # where code that the jump cache finds says, seen from its start, where its edge entry is

cdef struct Miss:           # displacements that lead to where what is not in the jump cache is
    uint8_t* jumps[2]

cdef void emit_stubs(Jit* jit) noexcept nogil
cdef void look_up_jump_cache(Emitter* e, const uint8_t* miss) noexcept nogil
cdef Miss look_up_to_count(Emitter* e, uint64_t place) noexcept nogil
cdef void look_up_known(Emitter* e, uint64_t pc, const uint8_t* miss) noexcept nogil
