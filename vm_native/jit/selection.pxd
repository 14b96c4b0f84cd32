# Which blocks make a trace.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block
from vm_native.jit.neighbours cimport Neighbours
from vm_native.jit.state cimport Jit
from vm_native.machine cimport Cpu

cdef int choose_trace(
    Jit* jit, const Cpu* cpu, Block* head, Block** parts, int* next_exits, Neighbours* around
) noexcept nogil
cdef Block* head_for(Jit* jit, Block* block) noexcept nogil
cdef void become_draft(Jit* jit, Block* block) noexcept nogil
cdef Block* block_in_page(Jit* jit, Block* near, uint64_t pc) noexcept nogil
