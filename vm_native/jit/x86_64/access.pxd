# Loads and stores, alone and in groups.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.compilation cimport Alignment, Cold, Compilation

cdef int emit_page_test(
    Compilation* t, Uop* uop, int size, int kind, Alignment alignment, Cold** cold
) noexcept nogil
cdef bint emit_access(Compilation* t, Uop* uop, int opcode) noexcept nogil
cdef void choose_page_entry(Compilation* t, Uop* uop, int opcode, uint64_t pc) noexcept nogil
cdef void find_strides(Compilation* t, Block* part) noexcept nogil
cdef int emit_group(Compilation* t, Block* part, int first) noexcept nogil
cdef void emit_one_by_one(Compilation* t, Cold* cold) noexcept nogil
