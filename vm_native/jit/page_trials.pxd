from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block, Uop
from vm_native.machine cimport TRIAL_COUNTERS, Cpu

cdef bint note_stray(Cpu* cpu, Uop* uop) noexcept nogil

cdef inline uint64_t counter_of(const Block* block) noexcept nogil:
    # Which of the hart's counters the turns of a block on trial are counted by. Two may share it: they take each other
    # to run more often than they do, and leave more accesses as they are.
    return (block.key.pc >> 1) % TRIAL_COUNTERS
