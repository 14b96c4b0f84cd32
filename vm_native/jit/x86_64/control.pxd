# Through, out of and back into a trace.
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.translation cimport Translation

cdef void emit_fallback_thunk(Translation* t) noexcept nogil
cdef void emit_entry(Translation* t) noexcept nogil
cdef bint emit_end(Translation* t, Block* part, Uop* uop, int opcode, int next_link) noexcept nogil
cdef void emit_fallback(Translation* t, Uop* uop, int refund) noexcept nogil
cdef bint emit_cold(Translation* t) noexcept nogil
