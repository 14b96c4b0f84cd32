# Loads and stores, alone and in groups.
from libc.stdint cimport int32_t, uint64_t
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.assembler cimport Width
from vm_native.jit.x86_64.compilation cimport Alignment, Cold, Compilation

cdef struct Access:         # how a uop moves data
    int size                # bytes; 0: it is none of these
    int kind                # READ or WRITE
    int opcode              # of the host's instruction
    Width width
    bint boxed              # loads a single
    bint word               # loads the sign extension of 32 bits

cdef int emit_page_test(
    Compilation* t, Uop* uop, int size, int kind, Alignment alignment, Cold** cold
) noexcept nogil
cdef bint asks_window(Compilation* t, Block* part, Uop* uop, int opcode, Access* access) noexcept nogil
cdef void form_address(Compilation* t, int base, int32_t offset) noexcept nogil
cdef void find_line(Compilation* t, int reg, int base, int index, int32_t offset) noexcept nogil
cdef void announce(Compilation* t, int base, int32_t offset) noexcept nogil
cdef void announce_all(Compilation* t, int base, int32_t offset, int32_t size) noexcept nogil
cdef void transfer(Compilation* t, Uop* uop, const Access* access, int base) noexcept nogil
cdef bint emit_access(Compilation* t, Uop* uop, int opcode) noexcept nogil
cdef bint emit_block_zeroing(Compilation* t, Uop* uop, int opcode) noexcept nogil
cdef void choose_page_entry(Compilation* t, Uop* uop, int opcode, uint64_t pc) noexcept nogil
cdef void find_strides(Compilation* t, Block* part) noexcept nogil
cdef int emit_group(Compilation* t, Block* part, int first) noexcept nogil
cdef void emit_one_by_one(Compilation* t, Cold* cold) noexcept nogil
