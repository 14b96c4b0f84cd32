# Floating-point uops.
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.assembler cimport Precision, Width
from vm_native.jit.x86_64.compilation cimport Compilation

ctypedef void (*EmitFloating)(Compilation* t, Uop* uop, int host, Precision precision, Width width) noexcept nogil

cdef struct FloatingRule:   # how such a uop becomes host instructions
    EmitFloating emit       # NULL: not by this table
    int host                # what the function asks for: an opcode of the host, a condition, a sign, a rounding mode
    Precision precision
    Width width

cdef const FloatingRule* floating_rule(int opcode) noexcept nogil
cdef bint emit_floating(Compilation* t, Uop* uop, int opcode) noexcept nogil
