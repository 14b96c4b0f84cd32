# Vectors of which elements go elsewhere.
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.jit.x86_64.compilation cimport Compilation

cdef bint emit_gather(Compilation* t, const VectorUop* v) noexcept nogil
cdef bint emit_slide(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil
cdef bint emit_first_element(Compilation* t, const VectorUop* v) noexcept nogil
cdef bint emit_reduction(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil
cdef bint emit_give(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil
cdef bint emit_indices(Compilation* t, const VectorUop* v) noexcept nogil
