# A thread for each hart.
from libc.stdint cimport int64_t, uint64_t
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.execution.translate cimport Translator
from vm_native.machine cimport Cpu, Machine
from vm_native.safepoints cimport Safepoints

cdef class HartThreads:
    cdef NativeMachine owner        # keeps alive what `machine` points to
    cdef Machine* machine
    cdef const Translator* translator
    cdef Safepoints safepoints
    cdef list threads               # there are some while the machine runs

    cdef bint is_forked(self) noexcept
    cdef int begin(self) except -1
    cdef int run(self, int first, uint64_t steps, uint64_t until_ns) noexcept nogil
    cdef int stopped_hart(self, int first) noexcept nogil
    cdef void run_hart(self, Cpu* cpu) noexcept nogil
    cdef void run_slice_of(self, Cpu* cpu, int64_t length, bint last) noexcept nogil
