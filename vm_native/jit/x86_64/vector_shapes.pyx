"""The shape of vectors: what a trace asks of it, and the instructions that set one.

What is known of it at a point of a trace is in `Compilation.shape_known`. A demand is a comparison, and none where what
it asks for is known; what becomes of a uop where the shape is another one is its cold part's to do.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport (
    LENGTH_CONSTANT, LENGTH_KEPT, SHAPE_KNOWN, SHAPE_LENGTH_MASK, SHAPE_LENGTH_SHIFT, SHAPE_TYPE, VectorUop,
)
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    BIAS, COLD_FALLBACK, COLD_MISFIT, COLD_PART, NOTHING_OF_SHAPE, TYPE_OF_SHAPE, WHOLE_SHAPE, Cold, Compilation,
    cold_jump, define, know_word, load_slot, new_cold, offset_of, target_of,
)
from vm_native.machine cimport Cpu


cdef inline int32_t shape_offset() noexcept nogil:
    return offset_of(&(<Cpu*>NULL).vector_shape)


# --- Demands ---------------------------------------------------------------------------------------------------------

cdef void demand_whole_shape(Compilation* t, Uop* uop) noexcept nogil:
    """What it is from here on, or where its length may change from turn to turn only for this uop."""
    cdef Cold* cold
    if t.shape_known == WHOLE_SHAPE:
        return
    cold = new_cold(t, COLD_FALLBACK if t.shape_known == TYPE_OF_SHAPE else COLD_MISFIT, uop)
    jump_if_other(t, cold)
    if t.shape_known == NOTHING_OF_SHAPE:
        t.shape_known = WHOLE_SHAPE


cdef inline void jump_if_other(Compilation* t, Cold* cold) noexcept nogil:
    op_constant_memory(&t.e, CMP_CONSTANT, W32, RBP, shape_offset(), <int32_t>t.shape)
    cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))


cdef void demand_type(Compilation* t, Uop* uop) noexcept nogil:
    """Whatever its length is."""
    cdef Cold* cold = new_cold(t, COLD_MISFIT, uop)
    op_memory(&t.e, MOV, W32, RAX, RBP, NO_INDEX, shape_offset())
    op_constant(&t.e, AND_CONSTANT, W32, RAX, <int32_t>(SHAPE_KNOWN | SHAPE_TYPE))
    op_constant(&t.e, CMP_CONSTANT, W32, RAX, <int32_t>(t.shape & (SHAPE_KNOWN | SHAPE_TYPE)))
    cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
    t.shape_known = TYPE_OF_SHAPE


cdef void demand_some_shape(Compilation* t, Uop* uop) noexcept nogil:
    """Whichever it is. Else the interpreter's function does what is to be done, and the trace goes on."""
    cdef Cold* cold
    if t.shape_known != NOTHING_OF_SHAPE:
        return
    cold = new_cold(t, COLD_FALLBACK, uop)
    op_constant_memory(&t.e, CMP_CONSTANT, W32, RBP, shape_offset(), 0)
    cold_jump(cold, jump_if(&t.e, IF_NOT_LESS, NULL))


cdef void leave_room_for_part(Compilation* t, Uop* uop) noexcept nogil:
    """Out of line it is done for as many elements as there are."""
    cdef Cold* cold = new_cold(t, COLD_PART, uop)
    cold.shape = t.shape
    jump_if_other(t, cold)


cdef void load_length(Compilation* t, int size) noexcept nogil:
    """How many bytes the elements have that there are, of this size each, into eax."""
    op_memory(&t.e, MOV, W32, RAX, RBP, NO_INDEX, shape_offset())
    shift_constant(&t.e, SHR, W32, RAX, SHAPE_LENGTH_SHIFT)
    op_constant(&t.e, AND_CONSTANT, W32, RAX, SHAPE_LENGTH_MASK)
    if size:
        shift_constant(&t.e, SHL, W32, RAX, size)


# --- Instructions that set it ----------------------------------------------------------------------------------------

cdef inline void store_wide(Compilation* t, int32_t place, int64_t value) noexcept nogil:
    store_constant(&t.e, 8, RBP, NO_INDEX, place - BIAS, <int32_t>value)


cdef void set_length(Compilation* t, const VectorUop* v) noexcept nogil:
    """A constant one."""
    cdef int target = target_of(t, v.result, RAX)
    cdef uint32_t shape = shape_behind(t.shape, v)
    if t.shape_known != WHOLE_SHAPE or t.shape != shape:
        store_constant(&t.e, 4, RBP, NO_INDEX, shape_offset(), <int32_t>shape)
        store_wide(t, v.length_place, v.value)
        store_wide(t, v.type_place, <int64_t>v.type)
    if v.result != t.jit.front_end.sink:
        load_constant(&t.e, target, v.value)
        define(t, v.result, target)
        know_word(t, v.result)
    t.shape, t.shape_known = shape, WHOLE_SHAPE


cdef void set_length_of_slot(Compilation* t, const VectorUop* v) noexcept nogil:
    """As many elements as a register says, but not more than there is room for."""
    cdef Emitter* e = &t.e
    load_slot(t, RAX, v.slot)
    load_constant(e, RCX, v.value)
    op(e, CMP, W64, RAX, RCX)
    op(e, CMOVCC | IF_ABOVE, W64, RAX, RCX)
    op_memory(e, MOV_TO, W64, RAX, RBP, NO_INDEX, v.length_place - BIAS)
    op(e, MOV, W32, RCX, RAX)
    shift_constant(e, SHL, W32, RCX, SHAPE_LENGTH_SHIFT)
    op_constant(e, OR_CONSTANT, W32, RCX, <int32_t>(SHAPE_KNOWN | <uint32_t>v.type))
    op_memory(e, MOV_TO, W32, RCX, RBP, NO_INDEX, shape_offset())
    store_wide(t, v.type_place, <int64_t>v.type)
    define(t, v.result, RAX)
    know_word(t, v.result)
    t.shape, t.shape_known = shape_behind(t.shape, v), TYPE_OF_SHAPE


cdef void keep_length(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    cdef Emitter* e = &t.e
    cdef uint32_t shape = shape_behind(t.shape, v)
    if t.shape_known == NOTHING_OF_SHAPE:
        demand_whole_shape(t, uop)
    if shape == t.shape:
        return
    if t.shape_known == WHOLE_SHAPE:
        store_constant(e, 4, RBP, NO_INDEX, shape_offset(), <int32_t>shape)
    else:
        op_memory(e, MOV, W32, RAX, RBP, NO_INDEX, shape_offset())
        op_constant(e, AND_CONSTANT, W32, RAX, <int32_t>~<uint32_t>SHAPE_TYPE)
        op_constant(e, OR_CONSTANT, W32, RAX, <int32_t>v.type)
        op_memory(e, MOV_TO, W32, RAX, RBP, NO_INDEX, shape_offset())
    store_wide(t, v.type_place, <int64_t>v.type)
    t.shape = shape


cdef void emit_set(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    if v.length == LENGTH_KEPT:
        keep_length(t, uop, v)
        return
    demand_some_shape(t, uop)
    if v.length == LENGTH_CONSTANT:
        set_length(t, v)
    else:
        set_length_of_slot(t, v)
