# What a trace knows of the shape of vectors: see Cpu.vector_shape.
from libc.stdint cimport uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport (
    BITS, LENGTH_KEPT, SHAPE_KNOWN, SHAPE_LENGTH_SHIFT, SHAPE_TYPE, VECTOR_ELEMENTS, VECTOR_LOAD, VECTOR_SET,
    VECTOR_STORE, VectorUop,
)
from vm_native.jit.x86_64.compilation cimport Compilation

cdef inline void describe(Compilation* t, Uop* uop, uint32_t shape, VectorUop* v) noexcept nogil:
    t.jit.front_end.describe_vector(t.cpu, uop, t.trace.key.mode, shape, v)

cdef inline uint32_t full_shape(uint32_t shape, const VectorUop* v) noexcept nogil:
    # The same type, with as many elements as there is room for; 0 where an instruction does not tell.
    if v.kind not in (VECTOR_ELEMENTS, VECTOR_LOAD, VECTOR_STORE) or v.d_size == BITS or not v.room:
        return 0
    return shape & (SHAPE_KNOWN | SHAPE_TYPE) | v.room >> v.d_size << SHAPE_LENGTH_SHIFT

cdef inline uint32_t shape_behind(uint32_t shape, const VectorUop* v) noexcept nogil:
    # What it is taken to be then. A length that a slot says is in general the greatest.
    if v.kind != VECTOR_SET:
        return shape
    if v.length == LENGTH_KEPT:
        return shape & ~<uint32_t>SHAPE_TYPE | <uint32_t>v.type
    return SHAPE_KNOWN | <uint32_t>v.value << SHAPE_LENGTH_SHIFT | <uint32_t>v.type

cdef void demand_whole_shape(Compilation* t, Uop* uop) noexcept nogil
cdef void demand_type(Compilation* t, Uop* uop) noexcept nogil
cdef void demand_some_shape(Compilation* t, Uop* uop) noexcept nogil
cdef void leave_room_for_part(Compilation* t, Uop* uop) noexcept nogil
cdef void load_length(Compilation* t, int size) noexcept nogil
cdef void emit_set(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil
