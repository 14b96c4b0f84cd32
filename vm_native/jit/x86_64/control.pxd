# Through, out of and back into a trace.
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.compilation cimport Compilation

cdef void emit_fallback_thunk(Compilation* t) noexcept nogil
cdef void emit_entry(Compilation* t) noexcept nogil
cdef void emit_counted_entry(Compilation* t) noexcept nogil
cdef bint emit_end(Compilation* t, Block* part, Uop* uop, int opcode, int next_exit) noexcept nogil
cdef void emit_fallback_at_hand(Compilation* t, Uop* uop) noexcept nogil
cdef bint emit_cold(Compilation* t) noexcept nogil
