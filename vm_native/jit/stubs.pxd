from vm_native.jit.state cimport Jit

cdef void emit_stubs(Jit* jit) noexcept nogil
