# Loads and stores, alone and in groups.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.translation cimport Cold, Translation

cdef int emit_probe(Translation* t, Uop* uop, int size, int kind, Cold** cold) noexcept nogil
cdef bint emit_access(Translation* t, Uop* uop, int opcode) noexcept nogil
cdef void choose_page_entry(Translation* t, Uop* uop, int opcode, uint64_t pc) noexcept nogil
cdef void find_strides(Translation* t, Block* part) noexcept nogil
cdef int emit_group(Translation* t, Block* part, int first) noexcept nogil
cdef void emit_one_by_one(Translation* t, Cold* cold) noexcept nogil
