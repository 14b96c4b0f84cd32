# Supervisor calls that are served natively.
from vm_native.machine cimport Cpu

cdef int serve_call(Cpu* cpu) noexcept nogil
