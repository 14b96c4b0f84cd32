# Vector loads and stores.
from vm_native.ir.block cimport Block, Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.jit.x86_64.compilation cimport Cold, Compilation

cdef bint emit_vector_access(Compilation* t, Block* part, Uop* uop, const VectorUop* v) noexcept nogil
cdef void emit_part_of_access(Compilation* t, const VectorUop* v, Cold* cold) noexcept nogil
cdef bint emit_move_of_all(Compilation* t, const VectorUop* v) noexcept nogil
