# Compiled traces: their place in code memory, the jumps between them, and their end.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.ir.block cimport Block
from vm_native.jit.state cimport Exit, HandedOver, Jit, Trace
from vm_native.machine cimport Compiler, Cpu

cdef void lay_out_regions(Jit* jit, uint8_t* first) noexcept nogil
cdef uint8_t* room_for_trace(Jit* jit, uint64_t size) noexcept nogil
cdef Trace* new_trace(Block** parts, int part_count) noexcept nogil
cdef void free_trace(Trace* trace) noexcept nogil
cdef void keep_trace(Jit* jit, Trace* trace, uint8_t* end) noexcept nogil
cdef void link_exit(Compiler* interface, Cpu* cpu, Block* target) noexcept nogil
cdef void link(Jit* jit, Exit* exit, Trace* target) noexcept nogil
cdef void discard_draft(Jit* jit, const Trace* trace) noexcept nogil
cdef void* cold_exit(Jit* jit, Block* block) noexcept nogil
cdef Trace* trace_of(Block* block) noexcept nogil
cdef void discard_block(Compiler* interface, Block* block) noexcept nogil
cdef void renew_block(Compiler* interface, Block* block) noexcept nogil
cdef void forget_traces(Compiler* interface) noexcept nogil
cdef void make_room(Compiler* interface) noexcept nogil
cdef void* hand_over(Compiler* interface) noexcept nogil
cdef void free_handed_over(void* compiled) noexcept nogil
cdef bint adopt_stubs(Jit* jit, const HandedOver* handed) noexcept nogil
cdef void free_all(Jit* jit) noexcept nogil
