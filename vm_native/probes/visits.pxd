# How often a basic block was left to which.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu, Recorder, Visit

cdef extern from *:
    """
    #define VM_MULTIPLIER 0x9E3779B97F4A7C15ULL
    """
    uint64_t MULTIPLIER "VM_MULTIPLIER"     # of hashes: 2**64 divided by the golden ratio

cdef bint open_table(Recorder* recorder) noexcept nogil
cdef Visit visit_of(Cpu* cpu, uint64_t pc) noexcept nogil
cdef void count_visit(Recorder* recorder, Visit of) noexcept nogil
