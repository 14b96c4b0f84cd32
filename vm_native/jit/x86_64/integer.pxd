# Integer uops.
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.compilation cimport Cold, Compilation

cdef bint only_computes(int opcode) noexcept nogil
cdef bint emit_integer(Compilation* t, Uop* uop, int opcode) noexcept nogil
cdef void emit_division(Compilation* t, Cold* cold) noexcept nogil
