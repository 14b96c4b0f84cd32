"""Floating-point operations on the elements of vectors, in AVX2 instructions: singles and doubles.

As in floating.pyx flags accumulate in the host's status word, and its rounding mode is the guest's. Elements that the
mask turns off must raise none: zeroes take their places. A NaN among the results, which is rare, becomes the canonical
one out of line; and the host's fused operations do not call infinity * 0 + NaN invalid.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport BITS, FROM_NOWHERE, FROM_VECTOR, VectorUop
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.compilation cimport (
    COLD_FALLBACK, COLD_FUSED_NAN, COLD_VECTOR_NAN, Cold, ColdKind, Compilation, cold_jump, new_cold,
    read_float,
)
from vm_native.jit.x86_64.vector_float_rules cimport *
from vm_native.jit.x86_64.vector_floats512 cimport emit_floats_by_masks, emit_nan_by_masks
from vm_native.jit.x86_64.vector_masks cimport BitsOfLanes, has_lanes, lanes_at, take_lanes
from vm_native.jit.x86_64.vector_operands cimport (
    bytes_of, has_parts, load_mask, load_part, load_scalar, of_format, on_place, part_at, store_part,
)

from vm_native.arithmetic.vector.table import NUMBERS

cdef enum:
    MOST_OPERATIONS = 256

cdef FloatsRule[MOST_OPERATIONS] rules


cdef void jump_if_nan(
    Compilation* t, Uop* uop, const VectorUop* v, ColdKind kind, uint32_t at, int wide, int a, int b, int scratch
) noexcept nogil:
    """To the cold part, if either register has one."""
    cdef Cold* cold = new_cold(t, kind, uop)
    cold.shape, cold.place, cold.wide = t.shape, <int32_t>at, wide
    vex_constant(&t.e, of_format(v, VCMPPS) | wide, WIG, scratch, a, b, CMP_UNORDERED)
    on_registers(t, of_format(v, VMOVMSKPS) | wide, RAX, NO_SOURCE, scratch)
    op(&t.e, TEST, W32, RAX, RAX)
    cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
    cold.done = here(&t.e)


cdef inline void operate(
    Compilation* t, const VectorUop* v, const FloatsRule* rule, uint32_t at, int wide, int xmm
) noexcept nogil:
    """Into a register."""
    cdef int opcode = of_format(v, rule.host) | wide
    if rule.shape == OF_ONE:
        on_place(t, opcode, xmm, NO_SOURCE, v.a + at)
        return
    if rule.shape == REVERSED or rule.shape == DIVIDES_REVERSED:
        if v.source == FROM_VECTOR:
            load_part(t, xmm, v.b + at, wide)
            on_place(t, opcode, xmm, xmm, v.a + at)
        else:
            on_place(t, opcode, xmm, XMM1, v.a + at)
        return
    load_part(t, xmm, v.a + at, wide)
    if v.source == FROM_VECTOR:
        on_place(t, opcode, xmm, xmm, v.b + at)
    else:
        on_registers(t, opcode, xmm, xmm, XMM1)


cdef bint emit_simple(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    """Two parts at a time, if there are two as wide: one test is for both."""
    cdef uint32_t at = 0, size
    cdef int wide
    cdef bint both
    if v.source != FROM_NOWHERE and not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        size = bytes_of(wide)
        both = wide and v.bytes - at >= 2 * size
        operate(t, v, rule, at, wide, XMM0)
        if both:
            operate(t, v, rule, at + size, wide, XMM2)
            store_part(t, XMM2, v.d + at + size, wide)
        store_part(t, XMM0, v.d + at, wide)
        jump_if_nan(t, uop, v, COLD_VECTOR_NAN, at, wide, XMM2 if both else XMM0, XMM0, XMM0)
        t.cold[t.cold_count - 1].count = 2 if both else 1
        at += size * (2 if both else 1)
    return True


cdef void emit_nan(Compilation* t, const VectorUop* v, const Cold* cold) noexcept nogil:
    if t.avx512:
        emit_nan_by_masks(t, v, &rules[v.operation], cold)
    elif cold.kind == COLD_FUSED_NAN:
        emit_fused_nan(t, v, cold)
    else:
        emit_stored_nan(t, v, cold)


cdef void emit_stored_nan(Compilation* t, const VectorUop* v, const Cold* cold) noexcept nogil:
    """Out of line: the parts have been stored."""
    cdef int32_t at = v.d + cold.place, end = at + cold.count * bytes_of(cold.wide)
    while at < end:
        load_part(t, XMM0, at, cold.wide)
        canonical(t, v, XMM0, XMM2, cold.wide)
        store_part(t, XMM0, at, cold.wide)
        at += bytes_of(cold.wide)
    jump(&t.e, cold.done)


cdef void canonical(Compilation* t, const VectorUop* v, int xmm, int scratch, int wide) noexcept nogil:
    vex_constant(&t.e, of_format(v, VCMPPS) | wide, WIG, scratch, xmm, xmm, CMP_UNORDERED)
    vex_literal_constant(
        &t.e, VPBLENDVB | wide, xmm, xmm, vector_constant(t, NANS + v.size - 2), scratch << MASK_IN_CONSTANT
    )


cdef void load_number(Compilation* t, const VectorUop* v) noexcept nogil:
    """The second operand, if it is no vector, into xmm1 once more."""
    if v.source != FROM_VECTOR:
        on_registers(
            t, (VPBROADCASTD if v.size == 2 else VPBROADCASTQ) | YMM, XMM1, NO_SOURCE, read_float(t, v.slot, XMM1)
        )


cdef bint emit_masked(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    """Zeroes where the mask is not set raise no flags: in sums, differences and products."""
    cdef uint32_t at = 0
    cdef int wide
    if rule.shape != SIMPLE or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        load_mask(t, v, at, wide, XMM2, False)
        on_place(t, VPAND | wide, XMM0, XMM2, v.a + at)
        if v.source == FROM_VECTOR:
            on_place(t, VPAND | wide, XMM1, XMM2, v.b + at)
        else:
            on_registers(t, VPAND | wide, XMM1, XMM2, XMM1)
        on_registers(t, of_format(v, rule.host) | wide, XMM0, XMM0, XMM1)
        canonical(t, v, XMM0, XMM1, wide)
        load_part(t, XMM1, v.d + at, wide)
        vex_constant(&t.e, VPBLENDVB | wide, WIG, XMM0, XMM1, XMM0, XMM2 << MASK_IN_CONSTANT)
        store_part(t, XMM0, v.d + at, wide)
        at += bytes_of(wide)
        if at < v.bytes:
            load_number(t, v)
    return True


# --- Fused -----------------------------------------------------------------------------------------------------------

cdef void fuse(
    Compilation* t, const VectorUop* v, const FloatsRule* rule, int32_t at, int wide, int xmm
) noexcept nogil:
    """Into a register. xmm1 is lost, unless it has the second operand."""
    cdef int opcode = rule.host | wide | (W if v.size == 3 else 0)
    cdef bint of_result = rule.shape == FUSED_OF_RESULT
    cdef int32_t factor = (v.d if of_result else v.a) + at
    load_part(t, xmm, (v.a if of_result else v.d) + at, wide)
    if v.source == FROM_VECTOR:
        load_part(t, XMM1, factor, wide)
        on_place(t, opcode, xmm, XMM1, v.b + at)
    else:
        on_place(t, opcode, xmm, XMM1, factor)


cdef bint emit_fused(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    """Two parts at a time, as `emit_simple`; but what is out of line finds all operands as they were, and stores."""
    cdef uint32_t at = 0, size
    cdef int wide
    cdef bint both
    if not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        size = bytes_of(wide)
        both = wide and v.bytes - at >= 2 * size
        fuse(t, v, rule, at, wide, XMM0)
        if both:
            fuse(t, v, rule, at + size, wide, XMM2)
        jump_if_nan(t, uop, v, COLD_FUSED_NAN, at, wide, XMM0, XMM2 if both else XMM0, XMM1)
        store_part(t, XMM0, v.d + at, wide)
        if both:
            store_part(t, XMM2, v.d + at + size, wide)
        t.cold[t.cold_count - 1].count = 2 if both else 1
        t.cold[t.cold_count - 1].done = here(&t.e)
        at += size * (2 if both else 1)
        if at < v.bytes:
            load_number(t, v)
    return True


cdef void invalid_products(
    Compilation* t, const VectorUop* v, int32_t factor, int32_t at, int wide, bint infinite
) noexcept nogil:
    """In eax a bit for each product of a factor that is infinite, or else 0, and one that is 0, or infinite."""
    cdef int equal = (VPCMPEQD if v.size == 2 else VPCMPEQQ) | wide, double = v.size - 2
    load_part(t, XMM0, factor, wide)
    on_constant(t, VPAND | wide, XMM0, XMM0, MAGNITUDES + double)
    on_constant(t, equal, XMM0, XMM0, INFINITIES + double if infinite else ZEROES)
    if v.source == FROM_VECTOR:
        load_part(t, XMM2, v.b + at, wide)
        on_constant(t, VPAND | wide, XMM2, XMM2, MAGNITUDES + double)
    else:
        on_constant(t, VPAND | wide, XMM2, XMM1, MAGNITUDES + double)
    on_constant(t, equal, XMM2, XMM2, ZEROES if infinite else INFINITIES + double)
    on_registers(t, VPAND | wide, XMM0, XMM0, XMM2)
    on_registers(t, of_format(v, VMOVMSKPS) | wide, RAX, NO_SOURCE, XMM0)


cdef void emit_fused_part(
    Compilation* t, const VectorUop* v, const FloatsRule* rule, int32_t at, int wide
) noexcept nogil:
    cdef int32_t factor = (v.d if rule.shape == FUSED_OF_RESULT else v.a) + at
    cdef uint8_t* valid
    load_number(t, v)
    invalid_products(t, v, factor, at, wide, True)
    op(&t.e, MOV, W32, RCX, RAX)
    invalid_products(t, v, factor, at, wide, False)
    op(&t.e, OR, W32, RAX, RCX)
    valid = jump_if(&t.e, IF_EQUAL, NULL)
    vex(&t.e, VXORPS, WIG, XMM0, XMM0, XMM0)
    vex(&t.e, VDIVSS, WIG, XMM0, XMM0, XMM0)        # raises that
    patch(valid, t.e.executable, here(&t.e))
    fuse(t, v, rule, at, wide, XMM0)
    canonical(t, v, XMM0, XMM2, wide)
    store_part(t, XMM0, v.d + at, wide)


cdef void emit_fused_nan(Compilation* t, const VectorUop* v, const Cold* cold) noexcept nogil:
    """Out of line, before anything is stored."""
    cdef int32_t at = cold.place, end = at + cold.count * bytes_of(cold.wide)
    while at < end:
        emit_fused_part(t, v, &rules[v.operation], at, cold.wide)
        at += bytes_of(cold.wide)
    jump(&t.e, cold.done)


# --- Comparisons -----------------------------------------------------------------------------------------------------

cdef bint emit_comparison(Compilation* t, Uop* uop, const VectorUop* v, const FloatsRule* rule) noexcept nogil:
    """Zeroes in place of elements that are turned off signal nothing. Their bits stay."""
    cdef BitsOfLanes bits = BitsOfLanes(0, 0, False)
    cdef uint32_t at = 0
    cdef int wide
    if v.d_size != BITS or v.masked or not has_lanes(v) or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.elements << v.size:
        wide = lanes_at(t, v, at)
        load_part(t, XMM0, v.a + at, wide)
        if v.source == FROM_VECTOR:
            load_part(t, XMM1, v.b + at, wide)
        vex_constant(&t.e, of_format(v, VCMPPS) | wide, WIG, XMM0, XMM0, XMM1, rule.host)
        take_lanes(t, v, &bits, wide, 0)
        at += bytes_of(wide)
    return True


# --- Conversions -----------------------------------------------------------------------------------------------------

cdef bint emit_from_integers(Compilation* t, Uop* uop, const VectorUop* v, bint signed) noexcept nogil:
    """The host takes them for signed ones: where one is negative as such, the interpreter's function does it."""
    cdef uint32_t at = 0
    cdef int wide
    cdef Cold* cold
    if v.size != 2 or v.masked or not has_parts(v):
        return False
    if not signed:
        vex(&t.e, VPXOR, WIG, XMM0, XMM0, XMM0)
        while at < v.bytes:
            wide = part_at(t, v, at)
            load_part(t, XMM2, v.a + at, wide)      # with zeroes behind it, where the sum is of longer parts
            on_registers(t, VPOR | part_at(t, v, 0), XMM0, XMM0, XMM2)
            at += bytes_of(wide)
        cold = new_cold(t, COLD_FALLBACK, uop)
        on_registers(t, VMOVMSKPS | part_at(t, v, 0), RAX, NO_SOURCE, XMM0)
        op(&t.e, TEST, W32, RAX, RAX)
        cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
        at = 0
    while at < v.bytes:
        wide = part_at(t, v, at)
        on_place(t, VCVTDQ2PS | wide, XMM0, NO_SOURCE, v.a + at)
        store_part(t, XMM0, v.d + at, wide)
        at += bytes_of(wide)
    return True


# --- What. A row for each operation ----------------------------------------------------------------------------------

def R(str name, FloatsShape shape, int host):
    cdef FloatsRule* rule = &rules[<int>NUMBERS[name]]
    rule.shape, rule.host = shape, host


R("fadd",    SIMPLE,           VADDPS)
R("fsub",    SIMPLE,           VSUBPS)
R("frsub",   REVERSED,         VSUBPS)
R("fmul",    SIMPLE,           VMULPS)
R("fdiv",    DIVIDES,          VDIVPS)
R("frdiv",   DIVIDES_REVERSED, VDIVPS)
R("fsqrt",   OF_ONE,           VSQRTPS)

# What the host calls FNMADD is -(a * b) + c, here NMSAC; and the other way round.
R("fmacc",   FUSED,            VFMADD231P)
R("fmsac",   FUSED,            VFMSUB231P)
R("fnmsac",  FUSED,            VFNMADD231P)
R("fnmacc",  FUSED,            VFNMSUB231P)
R("fmadd",   FUSED_OF_RESULT,  VFMADD231P)
R("fmsub",   FUSED_OF_RESULT,  VFMSUB231P)
R("fnmsub",  FUSED_OF_RESULT,  VFNMADD231P)
R("fnmadd",  FUSED_OF_RESULT,  VFNMSUB231P)

R("fcvt.f.x",  FROM_SIGNED,    VCVTDQ2PS)
R("fcvt.f.xu", FROM_UNSIGNED,  VCVTDQ2PS)

R("feq",     COMPARES,         CMP_EQUAL)
R("fne",     COMPARES,         CMP_NOT_EQUAL)
R("flt",     COMPARES,         CMP_LESS)
R("fle",     COMPARES,         CMP_NOT_GREATER)
R("fgt",     COMPARES,         CMP_GREATER)
R("fge",     COMPARES,         CMP_NOT_LESS)


cdef bint may_be_few_floats(const Compilation* t, const VectorUop* v) noexcept nogil:
    """Whether it can be done where the registers of the operands have more elements than there are."""
    return t.avx512 and rules[v.operation].shape != NOT_HERE and rules[v.operation].shape != COMPARES


cdef bint emit_floats(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    """Whether the operation is one of these; then it has been emitted."""
    cdef const FloatsRule* rule = &rules[v.operation]
    if t.avx512:
        return emit_floats_by_masks(t, uop, v, rule)
    if rule.shape == NOT_HERE or v.size < 2:
        return False
    if rule.shape == COMPARES:
        return emit_comparison(t, uop, v, rule)
    if rule.shape == FROM_SIGNED or rule.shape == FROM_UNSIGNED:
        return emit_from_integers(t, uop, v, rule.shape == FROM_SIGNED)
    if not has_parts(v) or v.d_size != v.size:
        return False
    if rule.shape == FUSED or rule.shape == FUSED_OF_RESULT:
        return not v.masked and emit_fused(t, uop, v, rule)
    return emit_masked(t, uop, v, rule) if v.masked else emit_simple(t, uop, v, rule)
