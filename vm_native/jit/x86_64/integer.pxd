from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.translation cimport Job

cdef bint emit_integer(Job* job, Uop* uop, int opcode) noexcept nogil
