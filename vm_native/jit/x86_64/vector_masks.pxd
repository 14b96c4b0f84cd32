# Vectors of bits: what makes them, and what is done with them.
from libc.stdint cimport uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.jit.x86_64.compilation cimport Compilation

cdef struct BitsOfLanes:    # of a mask that is put together, part by part
    uint32_t first          # element of those that are in ecx
    int count               # how many there are
    bint inverted

cdef bint has_lanes(const VectorUop* v) noexcept nogil
cdef int lanes_at(const Compilation* t, const VectorUop* v, uint32_t place) noexcept nogil
cdef int mask_for(const VectorUop* v, int wide) noexcept nogil
cdef void take_lanes(Compilation* t, const VectorUop* v, BitsOfLanes* bits, int wide, int mask) noexcept nogil
cdef bint emit_comparison_of_vectors(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil
cdef bint emit_bits(Compilation* t, const VectorUop* v) noexcept nogil
