# Compiled traces: their place in code memory, the jumps between them, and their end.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.machine cimport Compiler, Cpu
from vm_native.ir.block cimport Block
from vm_native.jit.state cimport Code, Exit, Jit

cdef void lay_out_regions(Jit* jit, uint8_t* first) noexcept nogil
cdef uint8_t* room_for_trace(Jit* jit, uint64_t size) noexcept nogil
cdef Code* new_code(Block** parts, int part_count) noexcept nogil
cdef void free_code(Code* code) noexcept nogil
cdef void keep_code(Jit* jit, Code* code, uint8_t* end) noexcept nogil
cdef void link_exit(Compiler* face, Cpu* cpu, Block* target) noexcept nogil
cdef void link(Jit* jit, Exit* way, Code* target) noexcept nogil
cdef Code* code_of(Block* block) noexcept nogil
cdef void discard_block(Compiler* face, Block* block) noexcept nogil
cdef void free_all(Jit* jit) noexcept nogil
