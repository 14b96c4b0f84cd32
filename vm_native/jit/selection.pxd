# Which blocks make a trace.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block
from vm_native.jit.state cimport Jit

cdef int choose_trace(Jit* jit, Block* head, Block** parts, int* next_exits) noexcept nogil
cdef Block* block_in_page(Jit* jit, Block* near, uint64_t pc) noexcept nogil
