"""Vectors in AVX2 instructions: their parts of 32 or 16 bytes, scalars for all elements, masks.

Results are computed in xmm0 (or all of ymm0), xmm1 has a scalar for each element, xmm2 is free for masks.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport (
    FROM_CONSTANT, FROM_INTEGER, FROM_NUMBER, FROM_VECTOR, SHAPE_LENGTH_MASK, SHAPE_LENGTH_SHIFT, VectorUop,
)
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.compilation cimport (
    BIAS, COLD_FALLBACK, Cold, Compilation, cold_jump, new_cold, offset_of, read_float, read_slot,
)
from vm_native.machine cimport Cpu


cdef void load_part(Compilation* t, int xmm, int32_t place, int wide) noexcept nogil:
    on_place(t, VMOVDQU | wide, xmm, NO_SOURCE, place)


cdef void store_part(Compilation* t, int xmm, int32_t place, int wide) noexcept nogil:
    on_place(t, VMOVDQU_TO | wide, xmm, NO_SOURCE, place)


# --- Scalars ---------------------------------------------------------------------------------------------------------

cdef int[4] BROADCASTS = [VPBROADCASTB, VPBROADCASTW, VPBROADCASTD, VPBROADCASTQ]


cdef void broadcast(Compilation* t, int xmm, int size) noexcept nogil:
    """The lowest element becomes all of them."""
    on_registers(t, BROADCASTS[size] | YMM, xmm, NO_SOURCE, xmm)


cdef void check_box(Compilation* t, Uop* uop, int slot) noexcept nogil:
    """The interpreter's function knows what a single is that is not boxed."""
    cdef Cold* cold
    if t.boxed[slot]:
        return
    cold = new_cold(t, COLD_FALLBACK, uop)
    vex(&t.e, VMOVQ_TO, W64, read_float(t, slot, XMM1), NO_SOURCE, RAX)
    shift_constant(&t.e, SAR, W64, RAX, 32)
    op_constant(&t.e, CMP_CONSTANT, W32, RAX, -1)
    cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
    # Where it goes on is set by whoever emits the uop: behind it.


cdef bint load_scalar(Compilation* t, Uop* uop, const VectorUop* v, int xmm, int size) noexcept nogil:
    """The second operand, in each element of all 32 bytes, if it is no vector. False if that is not done here."""
    cdef int reg
    if v.source == FROM_NUMBER:
        if size < 2 or not t.floats:
            return False
        if size == 2:
            check_box(t, uop, v.slot)
        on_registers(t, BROADCASTS[size] | YMM, xmm, NO_SOURCE, read_float(t, v.slot, xmm))
    elif v.source == FROM_CONSTANT and v.value == 0:
        vex(&t.e, VPXOR, WIG, xmm, xmm, xmm)
    elif v.source == FROM_CONSTANT or v.source == FROM_INTEGER:
        reg = RAX
        if v.source == FROM_CONSTANT:
            load_constant(&t.e, RAX, v.value)
        else:
            reg = read_slot(t, v.slot, RAX)
        vex(&t.e, VMOVQ, W64, xmm, NO_SOURCE, reg)
        broadcast(t, xmm, size)
    else:
        return v.source == FROM_VECTOR
    return True


# --- Masks -----------------------------------------------------------------------------------------------------------

cdef void load_mask(
    Compilation* t, const VectorUop* v, uint32_t place, int wide, int xmm, bint inverted
) noexcept nogil:
    """All ones in the elements of d's part whose bit in the mask is set; or those whose bit is not."""
    cdef uint32_t element = place >> v.d_size
    cdef int32_t byte = v.mask + <int32_t>(element >> 3)
    cdef int bits = BITS_OF_BYTES + v.d_size, compare = VPCMPEQB
    if v.d_size == 0:
        on_place(t, (VPBROADCASTD if wide else VPBROADCASTW) | wide, xmm, NO_SOURCE, byte)
        on_constant(t, VPSHUFB | wide, xmm, xmm, SPREAD_BYTES)
    elif v.d_size == 1:
        on_place(t, (VPBROADCASTW if wide else VPBROADCASTB) | wide, xmm, NO_SOURCE, byte)
        compare = VPCMPEQW
    elif v.d_size == 2:
        on_place(t, VPBROADCASTB | wide, xmm, NO_SOURCE, byte)
        compare = VPCMPEQD
        if element & 4:                     # of 16 bytes, behind others
            on_registers_shift(t, SHIFT_DOUBLEWORDS | wide, SHIFT_LOGICAL, xmm, 4)
    else:
        on_place(t, VPBROADCASTB | wide, xmm, NO_SOURCE, byte)
        compare = VPCMPEQQ
        if element & 2:
            on_registers_shift(t, SHIFT_DOUBLEWORDS | wide, SHIFT_LOGICAL, xmm, 2)
        if element & 4:
            bits = BITS_OF_MORE_QUADWORDS
    on_constant(t, (VPANDN if inverted else VPAND) | wide, xmm, xmm, bits)
    on_constant(t, compare | wide, xmm, xmm, bits)


cdef void on_registers_shift(Compilation* t, int opcode, int operation, int xmm, int count) noexcept nogil:
    vex_constant(&t.e, opcode, WIG, operation, xmm, xmm, count)


cdef void choose(Compilation* t, int xmm, int other, int32_t place, int mask, int wide) noexcept nogil:
    """Where the mask is set what stands at the place, else what `other` has."""
    vex_memory_constant(&t.e, VPBLENDVB | wide, WIG, xmm, other, RBP, place - BIAS, mask << MASK_IN_CONSTANT)


cdef void store_result(Compilation* t, const VectorUop* v, uint32_t place, int wide) noexcept nogil:
    """What xmm0 has is d's part; where the mask is not set that stays as it is. xmm2 is lost."""
    if v.masked and not v.mask_is_operand:
        load_mask(t, v, place, wide, XMM2, True)
        choose(t, XMM0, XMM0, v.d + <int32_t>place, XMM2, wide)
    put_part(t, v, XMM0, place, wide)


cdef void put_part(Compilation* t, const VectorUop* v, int xmm, uint32_t place, int wide) noexcept nogil:
    """Into d. Where there are fewer elements those behind the last stay as they are; rax, rdx and xmm2 are lost."""
    cdef Emitter* e = &t.e
    cdef uint8_t* none
    if not t.partly:
        store_part(t, xmm, v.d + <int32_t>place, wide)
        return
    op_memory(e, MOV, W32, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).vector_shape))
    shift_constant(e, SHR, W32, RAX, SHAPE_LENGTH_SHIFT)
    op_constant(e, AND_CONSTANT, W32, RAX, SHAPE_LENGTH_MASK)
    if v.d_size:
        shift_constant(e, SHL, W32, RAX, v.d_size)
    op_constant(e, SUB_CONSTANT, W32, RAX, <int32_t>place)
    none = jump_if(e, IF_NOT_GREATER, NULL)
    load_constant(e, RDX, CONSTANT_BYTES)
    op(e, CMP, W32, RAX, RDX)
    op(e, CMOVCC | IF_GREATER, W32, RAX, RDX)
    # The mask is at 32 - rax behind the constant: zeroes that end where the elements do.
    op_literal(e, LEA, W64, RDX, vector_constant(t, THEN_ZEROES))
    unary(e, NEG, W64, RAX)
    vex_memory(e, VMOVDQU | YMM, WIG, XMM2, NO_SOURCE, RDX, RAX, CONSTANT_BYTES)
    choose(t, XMM0, xmm, v.d + <int32_t>place, XMM2, wide)
    store_part(t, XMM0, v.d + <int32_t>place, wide)
    patch(none, e.executable, here(e))
