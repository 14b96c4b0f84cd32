# Two uops or three that one can do.
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport UOP_LI, UOP_WIDE

cdef struct Combined:
    int opcode
    Uop[2] uops             # the second cell, if it has one

cdef inline bint is_constant(const Combined* c) noexcept nogil:
    return c.opcode == UOP_LI or c.opcode == UOP_WIDE

cdef bint take(Combined* c, const Uop* second, int opcode) noexcept nogil
cdef bint rotate(Combined* c, const Combined* second, const Uop* sum) noexcept nogil
cdef bint may_take(const Combined* c) noexcept nogil
cdef int shift_of_sum(const Combined* c) noexcept nogil
