# What compiled code does for recorders.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.compilation cimport Compilation, Transfer

cdef void store_transfer(Compilation* t, const Transfer* transfer) noexcept nogil
cdef void store_edge_place(Compilation* t, uint64_t place) noexcept nogil
cdef void count_edge(Compilation* t, uint64_t pc, uint64_t before) noexcept nogil
cdef bint emit_probe(Compilation* t, Block* part, Uop* uop, int opcode) noexcept nogil
