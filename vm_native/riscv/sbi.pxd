# Supervisor calls that are served natively, and counters that firmware emulates.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu

cdef int serve_call(Cpu* cpu) noexcept nogil
cdef bint emulate_counter(Cpu* cpu, int number, uint64_t* value) noexcept nogil
