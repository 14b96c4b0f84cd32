# Floating-point operations on the elements of vectors.
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.jit.x86_64.compilation cimport Cold, Compilation

cdef bint emit_floats(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil
cdef bint may_be_few_floats(const Compilation* t, const VectorUop* v) noexcept nogil
cdef void emit_nan(Compilation* t, const VectorUop* v, const Cold* cold) noexcept nogil
