# The compiling engine of one machine.
from vm_native.jit.state cimport Jit
from vm_native.machine cimport Machine
from vm_native.shared_code cimport SharedCode

cdef class JitCompiler:
    cdef Jit jit
    cdef tuple shared_code      # SharedCode: owns the layers that its machine runs
    cdef void attach(self, Machine* machine) except *
    cdef void take_front_end(self) except *
    cdef tuple with_layer(self, SharedCode shared)
    cdef bint accept(self, SharedCode shared) noexcept
