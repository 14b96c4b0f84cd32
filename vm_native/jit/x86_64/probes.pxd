# What compiled code does for recorders.
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.x86_64.compilation cimport Compilation, Transfer

cdef void store_transfer(Compilation* t, const Transfer* transfer) noexcept nogil
cdef bint emit_probe(Compilation* t, Block* part, Uop* uop, int opcode) noexcept nogil
