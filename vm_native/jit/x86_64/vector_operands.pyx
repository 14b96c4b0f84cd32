"""Vectors in the host's instructions: their parts of 64, 32 or 16 bytes, scalars for all elements, masks.

A part is in memory, or with AVX-512 in a host register (vector_registers.pyx). Results are computed in xmm0 (or all of
ymm0, zmm0), or in the register where they live; xmm1 has a scalar for each element, xmm2 is free: for masks, where a
mask is not in one of AVX-512's registers. There k1 says which elements of a part count, and k2 is free.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport FROM_CONSTANT, FROM_INTEGER, FROM_NUMBER, FROM_VECTOR, VectorUop
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.avx512 cimport *
from vm_native.jit.x86_64.compilation cimport (
    BIAS, COLD_FALLBACK, Cold, Compilation, cold_jump, new_cold, read_float, read_slot,
)
from vm_native.jit.x86_64.vector_registers cimport (
    NOWHERE, holder_of, home_of, knows_bits, let_memory_have, middle_of, take_from_memory, written,
)
from vm_native.jit.x86_64.vector_shapes cimport load_length


cdef int[4] MOVES = [VMOVDQU8, VMOVDQU16, VMOVDQU32, VMOVDQU64]
cdef int[4] BROADCASTS = [VPBROADCASTB, VPBROADCASTW, VPBROADCASTD, VPBROADCASTQ]
cdef int[4] COMPARISONS = [VPCMPUB, VPCMPUW, VPCMPUD, VPCMPUQ]


# --- Parts -----------------------------------------------------------------------------------------------------------

cdef int widest(const Compilation* t, const VectorUop* v) noexcept nogil:
    """Of the parts that such an instruction can have."""
    return ZMM if t.avx512 and v.elements << max(v.size, v.d_size) >= 64 else YMM


cdef inline void on_memory(Compilation* t, int opcode, int xmm, int source, int32_t place) noexcept nogil:
    vex_memory(&t.e, opcode, W64 if opcode & W else WIG, xmm, source, RBP, NO_INDEX, place - BIAS)


cdef bint take_out(Compilation* t, int xmm, int32_t place, uint32_t bytes) noexcept nogil:
    """Whether these are bytes from the middle of a host register; then they have been copied."""
    cdef int offset = 0, holder = middle_of(t, place, bytes, &offset)
    if holder == NOWHERE or bytes < 16 or offset % <int>bytes:
        return False
    vex_constant(
        &t.e, (VEXTRACTI64X4 if bytes == 32 else VEXTRACTI128) | (ZMM if offset + bytes > 32 else YMM), WIG, holder,
        NO_SOURCE, xmm, offset // <int>bytes
    )
    return True


cdef void load_part(Compilation* t, int xmm, int32_t place, int wide) noexcept nogil:
    on_few(t, VMOVDQU | wide, xmm, place, bytes_of(wide))


cdef int read_part(Compilation* t, int scratch, int32_t place, int wide) noexcept nogil:
    """The register that has it."""
    cdef int holder = holder_of(t, place, bytes_of(wide))
    if holder != NOWHERE:
        return holder
    load_part(t, scratch, place, wide)
    return scratch


cdef void on_place(Compilation* t, int opcode, int xmm, int source, int32_t place) noexcept nogil:
    """On a register and a part as wide as the instruction, at a place seen from the Cpu."""
    cdef int holder = holder_of(t, place, bytes_of(opcode))
    if holder != NOWHERE:
        on_registers(t, opcode, xmm, source, holder)
        return
    let_memory_have(t, place, bytes_of(opcode))
    on_memory(t, opcode, xmm, source, place)


cdef void on_few(Compilation* t, int opcode, int xmm, int32_t place, uint32_t bytes) noexcept nogil:
    """On nothing but so many bytes there."""
    cdef int holder = holder_of(t, place, bytes)
    if holder == NOWHERE and take_out(t, xmm, place, bytes):
        holder = xmm
    if holder != NOWHERE:
        on_registers(t, opcode, xmm, NO_SOURCE, holder)
        return
    let_memory_have(t, place, bytes)
    on_memory(t, opcode, xmm, NO_SOURCE, place)


cdef void store_part(Compilation* t, int xmm, int32_t place, int wide) noexcept nogil:
    cdef int home = home_of(t, place, bytes_of(wide))
    if home != NOWHERE:
        if home != xmm:
            on_registers(t, VMOVDQU | wide, home, NO_SOURCE, xmm)
        written(t, home)
        return
    let_memory_have(t, place, bytes_of(wide))
    on_memory(t, VMOVDQU_TO | wide, xmm, NO_SOURCE, place)
    take_from_memory(t, place, bytes_of(wide))


cdef int target_of_part(Compilation* t, const VectorUop* v, uint32_t place, int wide) noexcept nogil:
    """Where to compute d's part, if all that is read has been read by then."""
    cdef int home = NOWHERE if is_selective(t, v) else home_of(t, v.d + <int32_t>place, bytes_of(wide))
    return XMM0 if home == NOWHERE else home


# --- Scalars ---------------------------------------------------------------------------------------------------------

cdef void broadcast(Compilation* t, const VectorUop* v, int xmm, int size) noexcept nogil:
    """The lowest element becomes all of them."""
    on_registers(t, BROADCASTS[size] | widest(t, v), xmm, NO_SOURCE, xmm)


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
    """The second operand, in each element of the widest part, if it is no vector. False if that is not done here."""
    cdef int reg
    if v.source == FROM_NUMBER:
        if size < 2 or not t.floats:
            return False
        if size == 2:
            check_box(t, uop, v.slot)
        on_registers(t, BROADCASTS[size] | widest(t, v), xmm, NO_SOURCE, read_float(t, v.slot, xmm))
    elif v.source == FROM_CONSTANT and v.value == 0:
        vex(&t.e, VPXOR, WIG, xmm, xmm, xmm)
    elif v.source == FROM_CONSTANT or v.source == FROM_INTEGER:
        reg = RAX
        if v.source == FROM_CONSTANT:
            load_constant(&t.e, RAX, v.value)
        else:
            reg = read_slot(t, v.slot, RAX)
        vex(&t.e, VMOVQ, W64, xmm, NO_SOURCE, reg)
        broadcast(t, v, xmm, size)
    else:
        return v.source == FROM_VECTOR
    return True


# --- Masks of AVX2 ---------------------------------------------------------------------------------------------------

cdef void load_mask(
    Compilation* t, const VectorUop* v, uint32_t place, int wide, int xmm, bint inverted
) noexcept nogil:
    """All ones in the elements of d's part whose bit in the mask is set; or those whose bit is not."""
    cdef uint32_t element = place >> v.d_size
    cdef int32_t byte = v.mask + <int32_t>(element >> 3)
    cdef int bits = BITS_OF_BYTES + v.d_size, compare = VPCMPEQB
    if v.d_size == 0:
        on_memory(t, (VPBROADCASTD if wide else VPBROADCASTW) | wide, xmm, NO_SOURCE, byte)
        on_constant(t, VPSHUFB | wide, xmm, xmm, SPREAD_BYTES)
    elif v.d_size == 1:
        on_memory(t, (VPBROADCASTW if wide else VPBROADCASTB) | wide, xmm, NO_SOURCE, byte)
        compare = VPCMPEQW
    elif v.d_size == 2:
        on_memory(t, VPBROADCASTB | wide, xmm, NO_SOURCE, byte)
        compare = VPCMPEQD
        if element & 4:                     # of 16 bytes, behind others
            on_registers_shift(t, SHIFT_DOUBLEWORDS | wide, SHIFT_LOGICAL, xmm, 4)
    else:
        on_memory(t, VPBROADCASTB | wide, xmm, NO_SOURCE, byte)
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


cdef uint8_t* count_bytes(Compilation* t, const VectorUop* v, uint32_t place) noexcept nogil:
    """Where there are fewer elements than there can be: how many bytes of them are behind this place, into eax.

    Gives the displacement of a jump, if there are none.
    """
    load_length(t, v.d_size)
    op_constant(&t.e, SUB_CONSTANT, W32, RAX, <int32_t>place)
    return jump_if(&t.e, IF_NOT_GREATER, NULL)


cdef void store_first_bytes(Compilation* t, const VectorUop* v, int xmm, uint32_t place) noexcept nogil:
    """As many as there are; others stay as they are."""
    cdef Emitter* e = &t.e
    cdef uint8_t* none = count_bytes(t, v, place)
    load_constant(e, RDX, 32)
    op(e, CMP, W32, RAX, RDX)
    op(e, CMOVCC | IF_GREATER, W32, RAX, RDX)
    # The mask ends at THEN_ONES + rax: zeroes that end where the elements do.
    op_literal(e, LEA, W64, RDX, vector_constant(t, THEN_ZEROES))
    unary(e, NEG, W64, RAX)
    vex_memory(e, VMOVDQU | YMM, WIG, XMM2, NO_SOURCE, RDX, RAX, CONSTANT_BYTES)
    choose(t, XMM0, xmm, v.d + <int32_t>place, XMM2, YMM)
    on_memory(t, VMOVDQU_TO | YMM, XMM0, NO_SOURCE, v.d + <int32_t>place)
    patch(none, e.executable, here(e))


# --- Masks of AVX-512 ------------------------------------------------------------------------------------------------

cdef int load_bits(Compilation* t, int mask, int32_t place, uint32_t element, uint32_t count) noexcept nogil:
    """Those of so many elements from this one on, if no mask register has them into this one; which it is.

    Those behind them are anything. No more bytes are read than have them: the host does not find in one store what
    several have written.
    """
    cdef int opcode = KMOV64 if count > 32 else KMOV32 if count > 16 else KMOV16 if count > 8 else KMOV8
    if not element and knows_bits(t, place, count):
        return K5
    let_memory_have(t, place + <int32_t>(element >> 3), 8)
    vex_memory(
        &t.e, opcode, W64 if count > 16 else W32, mask, NO_SOURCE, RBP, NO_INDEX,
        place + <int32_t>(element >> 3) - BIAS
    )
    if element & 7:
        vex_constant(&t.e, KSHIFTR, W64, mask, NO_SOURCE, mask, element & 7)
    return mask


cdef void select(
    Compilation* t, const VectorUop* v, uint32_t place, int wide, int size, Selection* selection
) noexcept nogil:
    """The elements that count of d's part, of this size; rax and rdx are lost where there may be fewer."""
    cdef Emitter* e = &t.e
    cdef uint32_t count = bytes_of(wide) >> size
    cdef bint masked = v.masked and not v.mask_is_operand
    selection.mask, selection.none = 0, NULL
    if t.partly:
        selection.none = count_bytes(t, v, place)
        if size:
            shift_constant(e, SHR, W32, RAX, size)
        load_constant(e, RDX, 64)
        op(e, CMP, W32, RAX, RDX)
        op(e, CMOVCC | IF_GREATER, W32, RAX, RDX)
        load_constant(e, RDX, -1)
        vex(e, BZHI, W64, RDX, RAX, RDX)
        vex(e, KMOV_FROM, W64, K1, NO_SOURCE, RDX)
        selection.mask = K1
    if masked:
        selection.mask = load_bits(t, K2 if t.partly else K1, v.mask, place >> size, count)
    if masked and t.partly:
        vex(e, KAND, W64, K1, K1, K2)
        selection.mask = K1


cdef void end_selection(Compilation* t, const Selection* selection) noexcept nogil:
    if selection.none != NULL:
        patch(selection.none, t.e.executable, here(&t.e))


cdef void store_selected(
    Compilation* t, int mask, int xmm, int32_t place, int wide, int size
) noexcept nogil:
    """The elements of this size that a mask register names."""
    cdef int home = holder_of(t, place, bytes_of(wide))
    if home != NOWHERE and home == home_of(t, place, bytes_of(wide)):
        on_registers(t, MOVES[size] | wide | under(mask), home, NO_SOURCE, xmm)
        written(t, home)
        return
    let_memory_have(t, place, bytes_of(wide))
    on_memory(t, MOVES[size] | TO_MEMORY | wide | under(mask), xmm, NO_SOURCE, place)
    take_from_memory(t, place, bytes_of(wide))


# --- Results ---------------------------------------------------------------------------------------------------------

cdef void store_result(Compilation* t, const VectorUop* v, int xmm, uint32_t place, int wide) noexcept nogil:
    """What a register has is d's part; elements that do not count stay as they are. rax, rdx, xmm2 are lost."""
    cdef Selection selection
    if t.avx512 and is_selective(t, v):
        select(t, v, place, wide, v.d_size, &selection)
        store_selected(t, selection.mask, xmm, v.d + <int32_t>place, wide, v.d_size)
        end_selection(t, &selection)
        return
    if v.masked and not v.mask_is_operand:
        load_mask(t, v, place, wide, XMM2, True)
        choose(t, XMM0, xmm, v.d + <int32_t>place, XMM2, wide)
        xmm = XMM0
    if t.partly:
        store_first_bytes(t, v, xmm, place)
    else:
        store_part(t, xmm, v.d + <int32_t>place, wide)
