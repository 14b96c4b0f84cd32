# Integer operations on the elements of vectors.
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.jit.x86_64.compilation cimport Compilation

cdef bint may_be_part(const Compilation* t, const VectorUop* v) noexcept nogil
cdef int integer_opcode(const VectorUop* v) noexcept nogil
cdef bint emit_integers(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil
