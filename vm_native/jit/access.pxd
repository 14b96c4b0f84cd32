from libc.stdint cimport int32_t
from vm_native.ir cimport Uop
from vm_native.jit.job cimport Job

cdef bint emit_access(Job* job, Uop* uop, int opcode) noexcept nogil
cdef int32_t page_slot_place(int bank, int base) noexcept nogil
