# Floating-point uops in a rounding mode of their own.
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.compilation cimport Compilation

cdef bint emit_rounded(Compilation* t, Uop* uop, int opcode) noexcept nogil
cdef void end_rounding(Compilation* t, Uop* following, int opcode) noexcept nogil
cdef void restore_rounding(Compilation* t) noexcept nogil
