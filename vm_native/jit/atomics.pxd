from vm_native.ir cimport Uop
from vm_native.jit.job cimport Job

cdef bint emit_atomic(Job* job, Uop* uop, int opcode) noexcept nogil
