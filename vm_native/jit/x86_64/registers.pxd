# Which guest registers live in host registers during a trace.
from vm_native.ir.block cimport Block
from vm_native.jit.x86_64.translation cimport Translation

cdef void allocate(Translation* t, Block** parts, int count, bint loops) noexcept nogil
cdef void swap_in(Translation* t) noexcept nogil
cdef void swap_out(Translation* t) noexcept nogil
