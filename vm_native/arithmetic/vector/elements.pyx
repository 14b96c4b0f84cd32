"""Operations on elements, and the loops over groups of them. table.py says what each operation computes.

Most have loops of their own for each width (loops/). These compute whole blocks into a place of their own; what of them
counts is copied to the destination. The rest, and all in a rounding mode that the host does not have, is done element
by element.
"""
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from vm_native.arithmetic cimport softfloat
from vm_native.arithmetic.float_rules cimport NV, NX, RTZ
from vm_native.arithmetic.integer cimport signed64
from vm_native.arithmetic.softfloat cimport (
    Format, binary16, binary32, binary64, is_nan, is_signaling_nan, sign_bit,
)
from vm_native.arithmetic.vector.element cimport Element
from vm_native.arithmetic.vector.loops.kernels cimport (
    BLOCK, BYTES, HALVES, Kernels, Loop, NARROW, PLAIN, REDUCTION, WIDE, WIDE_FIRST, WIDE_REDUCTION,
)
from vm_native.arithmetic.vector.loops import kernels

cdef const Kernels* chosen = <const Kernels*>PyCapsule_GetPointer(
    kernels, "vm_native.arithmetic.vector.loops.kernels")


def use_loops(others):
    """For tests: take the loops of such a capsule, or with None none at all."""
    global chosen
    chosen = NULL if others is None else <const Kernels*>PyCapsule_GetPointer(
        others, "vm_native.arithmetic.vector.loops.kernels")


# --- Floating point --------------------------------------------------------------------------------------------------

cdef inline void use_formats(Element* e, int bits) noexcept nogil:
    """Of elements of so many bits; there is none of 8, nor of 128."""
    e.bits = bits
    e.number = binary16() if bits <= 16 else binary32() if bits == 32 else binary64()
    e.wide = binary16() if bits == 8 else binary32() if bits == 16 else binary64()


cdef inline uint64_t negated(Format f, uint64_t a) noexcept nogil:
    return a ^ sign_bit(f)


cdef inline uint64_t fadd(Element* e, Format f, uint64_t a, uint64_t b) noexcept nogil:
    return softfloat.add(f, a, b, e.rounding, &e.flags)


cdef inline uint64_t fmul(Element* e, Format f, uint64_t a, uint64_t b) noexcept nogil:
    return softfloat.multiply(f, a, b, e.rounding, &e.flags)


cdef inline uint64_t fdiv(Element* e, Format f, uint64_t a, uint64_t b) noexcept nogil:
    return softfloat.divide(f, a, b, e.rounding, &e.flags)


cdef inline uint64_t fma(
    Element* e, Format f, uint64_t a, uint64_t b, uint64_t c, bint minus_product, bint minus_addend
) noexcept nogil:
    return softfloat.multiply_add(
        f, negated(f, a) if minus_product else a, b, negated(f, c) if minus_addend else c, e.rounding, &e.flags
    )


cdef inline bint fle(Element* e, uint64_t a, uint64_t b) noexcept nogil:
    return softfloat.less(e.number, a, b, False, &e.flags) or softfloat.equal(e.number, a, b, False, &e.flags)


cdef inline uint64_t widened(Element* e, uint64_t a) noexcept nogil:
    return softfloat.convert(e.number, e.wide, a, e.rounding, &e.flags)


cdef uint64_t narrowed_to_odd(Element* e, uint64_t a) noexcept nogil:
    """Truncated, and odd if that was not exact: rounding it once more gives what rounding once would."""
    cdef uint32_t flags = 0
    cdef uint64_t result = softfloat.convert(e.wide, e.number, a, RTZ, &flags)
    e.flags |= flags
    return result | 1 if flags & NX else result


cdef inline uint64_t from_unsigned(Element* e, Format f, uint64_t a) noexcept nogil:
    return softfloat.from_integer(f, False, a, e.rounding, &e.flags)


cdef inline uint64_t from_signed(Element* e, Format f, uint64_t a) noexcept nogil:
    cdef bint negative = signed64(a) < 0
    return softfloat.from_integer(f, negative, 0 - a if negative else a, e.rounding, &e.flags)


include "vector_elements.pxi"


# --- Loops -----------------------------------------------------------------------------------------------------------

cdef int variant_of(const Operands* o) noexcept nogil:
    """By the widths of the result and the first operand."""
    if o.d_size == BIT:
        return BYTES
    if o.a_size < o.size:
        return HALVES + o.size - o.a_size - 1
    if o.d_size > o.size:
        return WIDE_FIRST if o.a_size > o.size else WIDE
    return NARROW if o.a_size > o.size else PLAIN


cdef inline uint64_t one(bint is_float, int size) noexcept nogil:
    """An element of which no operation raises a flag."""
    return 1 if not is_float else 0x3C00 if size == 1 else 0x3F800000 if size == 2 else 0x3FF0000000000000ULL


cdef inline const uint8_t* padded(
    uint8_t* room, const uint8_t* group, uint64_t value, const uint8_t* lanes, uint64_t count, int size
) noexcept nogil:
    """The elements that count, and this value for all others."""
    chosen.splat(room, value, count, size)
    chosen.blend(room, group, lanes, count, size)
    return room


cdef inline void find_lanes(uint8_t* lanes, const uint8_t* mask, uint64_t count) noexcept nogil:
    """A byte for each element, all ones where it counts, and none up to the end of a block."""
    if mask == NULL:
        memset(lanes, 0xFF, count)
    else:
        chosen.expand(lanes, mask, count)
    memset(lanes + count, 0, BLOCK)


cdef inline void store_bits(uint8_t* d, const uint8_t* bits, uint64_t count, const uint8_t* mask) noexcept nogil:
    cdef uint64_t i
    cdef uint8_t which
    for i in range((count + 7) >> 3):
        which = mask[i] if mask != NULL else 0xFF
        if i == count >> 3:
            which &= (1 << (count & 7)) - 1
        d[i] = d[i] & ~which | bits[i] & which


cdef void store_elements(
    uint8_t* d, const uint8_t* values, uint64_t count, int size, const uint8_t* mask
) noexcept nogil:
    cdef uint8_t lanes[ROOM]
    cdef uint64_t i
    if mask == NULL:
        memcpy(d, values, count << size)
    elif chosen != NULL:
        find_lanes(lanes, mask, count)
        chosen.blend(d, values, lanes, count, size)
    else:
        for i in range(count):
            if bit(mask, i):
                memcpy(d + (i << size), values + (i << size), <uint64_t>1 << size)


cdef inline bint is_apart(const Operands* o) noexcept nogil:
    """Whether the destination lies over no source."""
    cdef const uint8_t* end = o.d + (o.count << o.d_size)
    if o.d < o.a + (o.count << o.a_size) and o.a < end:
        return False
    return o.b == NULL or o.d >= o.b + (o.count << o.b_size) or o.b >= end


cdef bint compute_by_loop(Operands* o, int operation, bint mask_is_operand) noexcept nogil:
    """False where there is no loop for it: then nothing has been done."""
    cdef uint8_t values[ROOM]
    cdef uint8_t lanes[ROOM]
    cdef uint8_t a_room[ROOM]
    cdef uint8_t b_room[ROOM]
    cdef uint8_t scalar_room[ROOM]
    cdef uint8_t d_room[ROOM]
    cdef const uint8_t* a = o.a
    cdef const uint8_t* b = o.b
    cdef const uint8_t* d = o.d
    cdef const Needs* need = &needs[operation]
    cdef const uint8_t* mask = NULL if mask_is_operand else o.mask
    cdef Loop loop
    cdef int variant = variant_of(o)
    cdef uint8_t* out = values
    cdef uint64_t rest = (BLOCK >> o.size) - 1, in_blocks
    cdef bint whole = not o.count & rest
    cdef bint numbers = False
    if chosen == NULL:
        return False
    loop = chosen.loops[operation][variant][o.size]
    if loop == NULL and o.on_host:
        loop = chosen.floats[operation][variant][o.size]
        numbers = True
    if loop == NULL:
        return False
    if b == NULL:
        chosen.splat(scalar_room, o.scalar, o.count, o.b_size)
        b = scalar_room
    if mask_is_operand:
        if o.mask == NULL:
            memset(lanes, 0, o.count + BLOCK)
        else:
            find_lanes(lanes, o.mask, o.count)
    elif (numbers or need.zeros) and (mask != NULL or not whole):
        # As many as the loop computes: of wider operands that is more than a block
        in_blocks = (o.count + rest) & ~rest
        find_lanes(lanes, mask, o.count)
        a = padded(a_room, a, one(need.float_a, o.a_size) if numbers else 0, lanes, in_blocks, o.a_size)
        b = padded(b_room, b, one(need.float_b, o.b_size) if numbers else 0, lanes, in_blocks, o.b_size)
        if numbers and need.destination:
            d = padded(d_room, d, one(True, o.d_size), lanes, in_blocks, o.d_size)
    if whole and mask == NULL and o.d_size != BIT and not need.destination and is_apart(o):
        out = o.d
    loop(out, d, a, b, lanes, o.count, &o.e)
    if numbers and need.float_d and chosen.make_canonical(out, o.count, o.d_size) and need.destination:
        return False            # infinity * 0 + a NaN is invalid, and not every host says so
    if o.d_size == BIT:
        chosen.pack(a_room, out, o.count)
        store_bits(o.d, a_room, o.count, mask)
    elif mask == NULL:
        if out != o.d:
            memcpy(o.d, out, o.count << o.d_size)
    else:
        if not (numbers or need.zeros):
            find_lanes(lanes, mask, o.count)
        chosen.blend(o.d, out, lanes, o.count, o.d_size)
    return True


cdef inline uint64_t identity_of(const Needs* need, int size) noexcept nogil:
    cdef uint64_t sign = <uint64_t>1 << ((8 << size) - 1)
    if need.identity == ONES:
        return <uint64_t>-1
    return sign - 1 if need.identity == LARGEST else sign if need.identity == LEAST else 0


cdef bint reduce_by_loop(Operands* o, int operation) noexcept nogil:
    """False where there is no loop for it, or no element counts."""
    cdef uint8_t lanes[ROOM]
    cdef uint8_t a_room[ROOM]
    cdef uint8_t out[8]
    cdef const uint8_t* a = o.a
    cdef int variant = WIDE_REDUCTION if o.d_size > o.size else REDUCTION
    cdef Loop loop
    if chosen == NULL or not o.count:
        return False
    loop = chosen.loops[operation][variant][o.size]
    if loop != NULL:
        if o.mask != NULL or o.count << o.size & (BLOCK - 1):
            find_lanes(lanes, o.mask, o.count)
            a = padded(a_room, a, identity_of(&needs[operation], o.size), lanes, o.count, o.size)
        loop(out, NULL, a, o.b, NULL, o.count, &o.e)
    else:
        loop = chosen.floats[operation][variant][o.size] if o.on_host else NULL
        if loop == NULL:
            return False
        if o.mask != NULL:
            find_lanes(lanes, o.mask, o.count)
            if not any_counts(lanes, o.count):
                return False
        loop(out, NULL, a, o.b, lanes if o.mask != NULL else NULL, o.count, &o.e)
        memset(a_room, 0, BLOCK)        # all of which it looks at: a signaling NaN would set a flag
        memcpy(a_room, out, <uint64_t>1 << o.d_size)
        chosen.make_canonical(a_room, 1, o.d_size)
        memcpy(out, a_room, 8)
    memcpy(o.d, out, <uint64_t>1 << o.d_size)
    return True


cdef inline bint any_counts(const uint8_t* lanes, uint64_t count) noexcept nogil:
    cdef uint64_t i
    for i in range(count):
        if lanes[i]:
            return True
    return False


# --- Element by element ----------------------------------------------------------------------------------------------

cdef void compute_elements(Operands* o, int operation, bint mask_is_operand) noexcept nogil:
    cdef Compute compute = computes[operation]
    cdef uint64_t i, a, b = o.scalar, d = 0
    if compute_by_loop(o, operation, mask_is_operand):
        return
    use_formats(&o.e, 8 << o.size)
    for i in range(o.count):
        if mask_is_operand:
            o.e.carry = o.mask != NULL and bit(o.mask, i)
        elif o.mask != NULL and not bit(o.mask, i):
            continue
        a = element(o.a, i, o.a_size, o.a_signed)
        if o.b != NULL:
            b = element(o.b, i, o.b_size, o.b_signed)
        if o.d_size == BIT:
            set_bit(o.d, i, compute(&o.e, a, b, d) != 0)
        else:
            d = element(o.d, i, o.d_size, False)
            set_element(o.d, i, o.d_size, compute(&o.e, a, b, d))


cdef void reduce_elements(Operands* o, int operation, bint quiets_alone) noexcept nogil:
    cdef Compute compute = computes[operation]
    cdef uint64_t i, result = element(o.b, 0, o.d_size, o.b_signed)
    cdef Format f
    cdef bint alone = True
    if reduce_by_loop(o, operation):
        return
    use_formats(&o.e, 8 << o.size)
    f = o.e.wide if o.d_size > o.a_size else o.e.number
    for i in range(o.count):
        if o.mask == NULL or bit(o.mask, i):
            result = compute(&o.e, element(o.a, i, o.a_size, o.a_signed), result, 0)
            if o.b_signed and o.d_size < 3:
                result = extended(result, o.d_size)
            elif not o.b_signed and o.d_size < 3:
                result &= (<uint64_t>1 << (8 << o.d_size)) - 1
            alone = False
    if quiets_alone and alone and is_nan(f, result):
        if is_signaling_nan(f, result):
            o.e.flags |= NV
        result = f.default_nan
    if o.count:
        set_element(o.d, 0, o.d_size, result)


cdef inline uint64_t extended(uint64_t value, int size) noexcept nogil:
    cdef int above = 64 - (8 << size)
    return <uint64_t>(<int64_t>(value << above) >> above)
