# One trace as host code.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from vm_native.ir.block cimport Block
from vm_native.jit.neighbours cimport Neighbours
from vm_native.jit.state cimport Jit, Trace
from vm_native.machine cimport Cpu

cdef enum:
    HOST_FEATURE_WORDS = 8

cdef bint host_has_instructions() noexcept nogil
cdef void describe_host(uint32_t* words) noexcept nogil
cdef uint64_t most_bytes(Jit* jit, Block** parts, int count) noexcept nogil
cdef uint8_t* emit_trace(
    Jit* jit, Cpu* cpu, Trace* trace, uint8_t* at, Block** parts, int* next_exits, int count,
    const Neighbours* around
) noexcept nogil
