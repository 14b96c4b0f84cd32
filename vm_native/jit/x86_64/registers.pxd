# Which guest registers live in host registers during a trace.
from vm_native.ir.block cimport Block
from vm_native.jit.neighbours cimport Neighbours
from vm_native.jit.state cimport Jit
from vm_native.jit.x86_64.compilation cimport Compilation

cdef void place_registers(Jit* jit) noexcept nogil
cdef void allocate(Compilation* t, Block** parts, int count, const Neighbours* around) noexcept nogil
cdef void swap_in(Compilation* t) noexcept nogil
cdef void swap_out(Compilation* t) noexcept nogil
