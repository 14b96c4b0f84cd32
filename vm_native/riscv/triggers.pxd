# The trigger module of a hart.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu
from vm_native.riscv.state cimport Hart

cdef void digest_triggers(Hart* hart) noexcept nogil
cdef bint has_trigger(Cpu* cpu, int accesses, uint64_t first, uint64_t size) noexcept nogil
cdef bint trigger_fires(Cpu* cpu, int accesses, uint64_t first, uint64_t size) noexcept nogil
