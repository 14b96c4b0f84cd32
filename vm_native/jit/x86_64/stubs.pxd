# What every trace shares.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.jit.state cimport Jit
from vm_native.jit.x86_64.assembler cimport Emitter

cdef void emit_stubs(Jit* jit) noexcept nogil
cdef void look_up_jump_cache(Emitter* e, const uint8_t* miss) noexcept nogil
cdef void look_up_known(Emitter* e, uint64_t pc, const uint8_t* miss) noexcept nogil
