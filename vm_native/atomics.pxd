# Atomics. These return a Status; unless that is CONTINUE, pc and budget have been stored and the handler returns.
from libc.stdint cimport int64_t
from vm_native.ir.block cimport Uop
from vm_native.line_marks cimport LineMark
from vm_native.machine cimport Cpu

cdef enum AtomicOperation:
    ATOMIC_SWAP
    ATOMIC_ADD
    ATOMIC_XOR
    ATOMIC_AND
    ATOMIC_OR
    ATOMIC_MIN
    ATOMIC_MAX
    ATOMIC_MINU
    ATOMIC_MAXU

cdef int reserve(Cpu* cpu, Uop* uop, int64_t budget, int size) noexcept nogil
cdef int store_conditional(Cpu* cpu, Uop* uop, int64_t budget, int size) noexcept nogil
cdef int atomic(Cpu* cpu, Uop* uop, int64_t budget, int operation, int size) noexcept nogil
cdef int exchange(Cpu* cpu, Uop* uop, int64_t budget, int size) noexcept nogil
cdef LineMark* begin_atomic(Cpu* cpu, void* host) noexcept nogil
cdef void end_atomic(LineMark* line) noexcept nogil
