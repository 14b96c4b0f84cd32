# Integer uops that are emitted when somebody needs their results.
from vm_native.ir.block cimport Block
from vm_native.jit.x86_64.compilation cimport Compilation

cdef int emit_or_defer(Compilation* t, Block* part, int at) noexcept nogil
