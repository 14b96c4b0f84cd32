# Floating-point operations on the elements of vectors, in AVX-512 instructions.
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.jit.x86_64.compilation cimport Cold, Compilation
from vm_native.jit.x86_64.vector_float_rules cimport FloatsRule

cdef bint emit_floats_by_masks(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil
cdef void emit_nan_by_masks(Compilation* t, const VectorUop* v, const FloatsRule* rule, const Cold* cold) noexcept nogil
