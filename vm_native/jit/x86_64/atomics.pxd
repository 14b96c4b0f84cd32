# Atomics.
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.translation cimport Translation

cdef bint emit_atomic(Translation* t, Uop* uop, int opcode) noexcept nogil
