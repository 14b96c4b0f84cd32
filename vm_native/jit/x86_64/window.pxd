# Loads and stores where addresses are physical ones.
from libc.stdint cimport int32_t
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.compilation cimport Cold, Compilation, Reach

cdef int32_t store_window_offset(const Compilation* t, int base) noexcept nogil
cdef Cold* test_window(Compilation* t, Uop* uop, int kind, int base, const Reach* wanted) noexcept nogil
cdef bint needs_no_test(Compilation* t, Block* part, int at) noexcept nogil
cdef bint emit_window_access(Compilation* t, Block* part, int at) noexcept nogil
cdef bint forms_address(Compilation* t, Block* part, int at, const Uop* sum) noexcept nogil
cdef void emit_indexed_load(Compilation* t, Block* part, int at, const Uop* sum, int shift) noexcept nogil
cdef void emit_found_by_index(Compilation* t, Cold* cold) noexcept nogil
cdef void follow_base(Compilation* t, Uop* uop, int opcode) noexcept nogil
cdef void forget_reaches(Compilation* t) noexcept nogil
