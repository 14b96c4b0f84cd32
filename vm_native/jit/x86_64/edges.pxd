# How compiled code counts which basic blocks follow each other.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block
from vm_native.jit.x86_64.compilation cimport Compilation, Edges

cdef void store_edge_place(Compilation* t, uint64_t place) noexcept nogil
cdef void store_edge_place_in_rdx(Compilation* t) noexcept nogil
cdef void count_edge_from_rdx(Compilation* t, uint64_t pc) noexcept nogil
cdef void count_edge(Compilation* t, uint64_t pc, uint64_t before) noexcept nogil
cdef void pass_edge(Compilation* t, uint64_t pc) noexcept nogil
cdef bint can_count_by_turns(Compilation* t, Block** parts, int count) noexcept nogil
cdef void begin_turns(Compilation* t) noexcept nogil
cdef void end_turn(Compilation* t) noexcept nogil
cdef void emit_turn_routines(Compilation* t) noexcept nogil
cdef void settle_turns(Compilation* t, const Edges* at) noexcept nogil
cdef void resume_turn(Compilation* t, const Edges* at) noexcept nogil
cdef void leave_turn(Compilation* t, const Edges* at) noexcept nogil
