# The compiling engine of one machine.
from vm_native.machine cimport BlockCache
from vm_native.jit.state cimport Jit

cdef class JitCompiler:
    cdef Jit jit
    cdef void attach(self, BlockCache* cache) except *
    cdef void take_front_end(self) except *
