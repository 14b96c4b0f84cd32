# Integer uops for cryptography.
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.compilation cimport Compilation

cdef bint emit_crypto(Compilation* t, Uop* uop, int opcode) noexcept nogil
