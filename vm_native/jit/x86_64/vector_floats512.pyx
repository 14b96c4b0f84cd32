"""Floating-point operations on the elements of vectors, in AVX-512 instructions: singles and doubles.

As in vector_floats.pyx, but elements that do not count raise no flags where a mask register turns them off, so that
there may be a mask, and fewer elements than there is room for, with every operation. What is out of line finds the
result in its register.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport BITS, FROM_NOWHERE, FROM_VECTOR, VectorUop
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.avx512 cimport *
from vm_native.jit.x86_64.compilation cimport (
    COLD_FUSED_NAN, COLD_VECTOR_NAN, Cold, ColdKind, Compilation, cold_jump, new_cold,
)
from vm_native.jit.x86_64.vector_float_rules cimport (
    COMPARES, DIVIDES_REVERSED, FROM_SIGNED, FROM_UNSIGNED, FUSED, FUSED_OF_RESULT, NOT_HERE, OF_ONE, REVERSED,
    FloatsRule,
)
from vm_native.jit.x86_64.vector_masks cimport BitsOfLanes, has_lanes, lanes_at, mask_for, take_lanes
from vm_native.jit.x86_64.vector_operands cimport (
    Selection, bytes_of, end_selection, has_parts, load_bits, load_part, load_scalar, of_format, on_place,
    part_at, read_part, select, store_part, store_selected, target_of_part,
)


cdef void find_nans(Compilation* t, const VectorUop* v, int xmm, int mask, int wide) noexcept nogil:
    """Those of the elements that count, into k2."""
    vex_constant(&t.e, of_format(v, VCMPPS) | EVEX | wide | under(mask), WIG, K2, xmm, xmm, CMP_UNORDERED)


cdef void jump_if_nan(
    Compilation* t, Uop* uop, const VectorUop* v, ColdKind kind, uint32_t at, int xmm, int mask, int wide
) noexcept nogil:
    cdef Cold* cold = new_cold(t, kind, uop)
    cold.shape, cold.place, cold.wide, cold.xmm, cold.mask = t.shape, <int32_t>at, wide, xmm, mask
    find_nans(t, v, xmm, mask, wide)
    test_mask(t, K2, K2)
    cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
    cold.done = here(&t.e)


cdef void put(
    Compilation* t, const VectorUop* v, const Selection* selection, int xmm, uint32_t at, int wide
) noexcept nogil:
    """Into d."""
    if selection.mask:
        store_selected(t, selection.mask, xmm, v.d + <int32_t>at, wide, v.d_size)
    else:
        store_part(t, xmm, v.d + <int32_t>at, wide)
    end_selection(t, selection)


# --- Operations of one and two ---------------------------------------------------------------------------------------

cdef void operate(
    Compilation* t, const VectorUop* v, const FloatsRule* rule, uint32_t at, int opcode, int wide, int result
) noexcept nogil:
    cdef int32_t place = <int32_t>at
    if rule.shape == OF_ONE:
        on_place(t, opcode, result, NO_SOURCE, v.a + place)
    elif rule.shape == REVERSED or rule.shape == DIVIDES_REVERSED:
        on_place(
            t, opcode, result, read_part(t, XMM0, v.b + place, wide) if v.source == FROM_VECTOR else XMM1, v.a + place
        )
    elif v.source == FROM_VECTOR:
        on_place(t, opcode, result, read_part(t, XMM0, v.a + place, wide), v.b + place)
    else:
        on_registers(t, opcode, result, read_part(t, XMM0, v.a + place, wide), XMM1)


cdef bint emit_simple(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide, opcode, result
    cdef Selection selection
    if v.source != FROM_NOWHERE and not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        select(t, v, at, wide, v.d_size, &selection)
        result = target_of_part(t, v, at, wide)
        opcode = of_format(v, rule.host) | wide
        if selection.mask:
            opcode |= under(selection.mask) | ZEROING
        operate(t, v, rule, at, opcode, wide, result)
        jump_if_nan(t, uop, v, COLD_VECTOR_NAN, at, result, 0, wide)
        put(t, v, &selection, result, at, wide)
        at += bytes_of(wide)
    return True


cdef bint emit_from_integers(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide, opcode, result
    cdef Selection selection
    if v.size != 2 or v.d_size != 2:
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        select(t, v, at, wide, v.d_size, &selection)
        result = target_of_part(t, v, at, wide)
        opcode = (VCVTDQ2PS if rule.shape == FROM_SIGNED else VCVTUDQ2PS) | wide
        if selection.mask:
            opcode |= under(selection.mask) | ZEROING
        on_place(t, opcode, result, NO_SOURCE, v.a + <int32_t>at)
        put(t, v, &selection, result, at, wide)
        at += bytes_of(wide)
    return True


# --- Fused -----------------------------------------------------------------------------------------------------------

cdef inline int32_t factor_of(const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    return v.d if rule.shape == FUSED_OF_RESULT else v.a


cdef inline bint keeps_factors(const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    """Whether d can take the result at once: what is out of line asks for the factors, too."""
    return rule.shape == FUSED and v.d != v.a and (v.source != FROM_VECTOR or v.d != v.b)


cdef bint emit_fused(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide, opcode, result, factor
    cdef Selection selection
    if not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        select(t, v, at, wide, v.d_size, &selection)
        result = target_of_part(t, v, at, wide) if keeps_factors(v, rule) else XMM0
        if result != XMM0:
            read_part(t, result, v.d + <int32_t>at, wide)
        else:
            load_part(t, XMM0, (v.a if rule.shape == FUSED_OF_RESULT else v.d) + <int32_t>at, wide)
        opcode = rule.host | wide | under(selection.mask) | (W if v.size == 3 else 0)
        factor = read_part(t, XMM2, factor_of(v, rule) + <int32_t>at, wide)
        if v.source == FROM_VECTOR:
            on_place(t, opcode, result, factor, v.b + <int32_t>at)
        else:
            on_registers(t, opcode, result, factor, XMM1)
        jump_if_nan(t, uop, v, COLD_FUSED_NAN, at, result, selection.mask, wide)
        put(t, v, &selection, result, at, wide)
        at += bytes_of(wide)
    return True


cdef void find_invalid_products(
    Compilation* t, const VectorUop* v, int factor, int other, int mask, int wide, int class_of_factor, int into
) noexcept nogil:
    cdef int opcode = VFPCLASSPS | wide | (EVEX_WIDE if v.size == 3 else 0)
    cdef int class_of_other = CLASS_ZERO + CLASS_INFINITE - class_of_factor
    vex_constant(&t.e, opcode | under(mask), WIG, into, NO_SOURCE, factor, class_of_factor)
    vex_constant(&t.e, opcode | under(into), WIG, into, NO_SOURCE, other, class_of_other)


cdef void raise_invalid(Compilation* t, const VectorUop* v, const FloatsRule* rule, const Cold* cold) noexcept nogil:
    """Where a factor is infinite and the other one 0."""
    cdef int factor, other = XMM1
    cdef uint8_t* valid
    factor = read_part(t, XMM2, factor_of(v, rule) + cold.place, cold.wide)
    if v.source == FROM_VECTOR:
        other = read_part(t, XMM1, v.b + cold.place, cold.wide)
    find_invalid_products(t, v, factor, other, cold.mask, cold.wide, CLASS_INFINITE, K3)
    find_invalid_products(t, v, factor, other, cold.mask, cold.wide, CLASS_ZERO, K4)
    test_mask(t, K3, K4)
    valid = jump_if(&t.e, IF_EQUAL, NULL)
    vex(&t.e, VXORPS, WIG, XMM2, XMM2, XMM2)
    vex(&t.e, VDIVSS, WIG, XMM2, XMM2, XMM2)        # raises that
    patch(valid, t.e.executable, here(&t.e))


cdef void emit_nan_by_masks(
    Compilation* t, const VectorUop* v, const FloatsRule* rule, const Cold* cold
) noexcept nogil:
    """Out of line: k2 says where there are some, of which the host has not called all products invalid."""
    if cold.kind == COLD_FUSED_NAN:
        raise_invalid(t, v, rule, cold)
    vex_literal(
        &t.e, of_format(v, VMOVAPS) | cold.wide | under(K2), cold.xmm, NO_SOURCE, vector_constant(t, NANS + v.size - 2)
    )
    jump(&t.e, cold.done)


# --- All -------------------------------------------------------------------------------------------------------------

cdef bint emit_comparison(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    """Elements that are turned off signal nothing. Their bits stay."""
    cdef BitsOfLanes bits = BitsOfLanes(0, 0, False)
    cdef uint32_t at = 0
    cdef int wide, second, mask, result
    if v.d_size != BITS or not has_lanes(v) or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.elements << v.size:
        wide = lanes_at(t, v, at)
        result = mask_for(v, wide)
        mask = 0
        if v.masked:
            mask = load_bits(t, K1, v.mask, at >> v.size, bytes_of(wide) >> v.size)
        second = read_part(t, XMM1, v.b + at, wide) if v.source == FROM_VECTOR else XMM1
        vex_constant(
            &t.e, of_format(v, VCMPPS) | EVEX | wide | under(mask), WIG, result, read_part(t, XMM0, v.a + at, wide),
            second, rule.host
        )
        take_lanes(t, v, &bits, wide, result)
        at += bytes_of(wide)
    return True


cdef bint emit_floats_by_masks(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    """Whether the operation is one of these; then it has been emitted."""
    if rule.shape == NOT_HERE or v.size < 2:
        return False
    if rule.shape == COMPARES:
        return emit_comparison(t, uop, v, rule)
    if not has_parts(v) or v.d_size != v.size:
        return False
    if rule.shape == FROM_SIGNED or rule.shape == FROM_UNSIGNED:
        return emit_from_integers(t, uop, v, rule)
    if rule.shape == FUSED or rule.shape == FUSED_OF_RESULT:
        return emit_fused(t, uop, v, rule)
    return emit_simple(t, uop, v, rule)
