# Floating-point uops that convert: the functions that rules in floating.pyx and rounding.pyx name.
from libc.stdint cimport uint8_t
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.assembler cimport Precision, Width
from vm_native.jit.x86_64.compilation cimport Compilation

cdef enum ConstantRounding:     # of a conversion to an integer: the guest's rounding modes, or the one in MXCSR
    BY_CONTROL_WORD = -1

cdef void to_integer(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void to_signed(Compilation* t, Uop* uop, int rounding, Precision precision, Width width) noexcept nogil
cdef void to_unsigned(Compilation* t, Uop* uop, int rounding, Precision precision, Width width) noexcept nogil
cdef void to_integral(Compilation* t, Uop* uop, int rounding, Precision precision, Width width) noexcept nogil
cdef void to_integral_exact(Compilation* t, Uop* uop, int rounding, Precision precision, Width width) noexcept nogil
cdef void from_signed(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void from_unsigned(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef uint8_t* jump_if_inexact(Compilation* t, Uop* uop, bint signed, Precision precision, Width width) noexcept nogil
cdef void to_single(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void to_double(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void half_to_single(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void half_to_double(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void single_to_half(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void double_to_half(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void narrow(Compilation* t, int xmm) noexcept nogil
cdef void move_single_out(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void move_single_in(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void move_half_out(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
cdef void move_half_in(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil
