# The compiling engine of one machine.
from vm_native.jit.state cimport Jit
from vm_native.machine cimport Machine

cdef class JitCompiler:
    cdef Jit jit
    cdef void attach(self, Machine* machine) except *
    cdef void take_front_end(self) except *
