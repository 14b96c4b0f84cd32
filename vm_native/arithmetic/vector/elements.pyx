"""Operations on elements, and the loops over groups of them. table.py says what each operation computes."""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from vm_native.arithmetic cimport softfloat
from vm_native.arithmetic.float_rules cimport NV, NX, RTZ
from vm_native.arithmetic.integer cimport signed64
from vm_native.arithmetic.softfloat cimport (
    Format, binary16, binary32, binary64, is_nan, is_signaling_nan, sign_bit,
)

cdef extern from *:
    """
    typedef __int128 vm_int128;
    """
    ctypedef long long int128 "vm_int128"


# --- Integers --------------------------------------------------------------------------------------------------------

cdef inline bint carries(Element* e, uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t sum = a + b + e.carry
    if e.bits == 64:
        return sum < a or e.carry and sum == a
    return sum >> e.bits != 0


cdef inline uint64_t rotated_left(Element* e, uint64_t a, uint64_t count) noexcept nogil:
    cdef uint64_t limit = e.bits - 1
    return a << (count & limit) | a >> ((0 - count) & limit)


cdef int128 shifted(Element* e, int128 value, int count) noexcept nogil:
    """To the right, rounded as the fixed-point rounding mode says."""
    cdef int128 unit = <int128>1 << count
    cdef int128 rest = value & (unit - 1)
    cdef int128 half = unit >> 1
    cdef int128 result = value >> count
    cdef bint rounds_up = False
    if not rest:
        return result
    if e.fixed_rounding == TO_ODD:
        return result | 1
    if e.fixed_rounding == NEAREST_UP:
        rounds_up = rest >= half
    elif e.fixed_rounding == NEAREST_EVEN:
        rounds_up = rest > half or rest == half and result & 1 != 0
    return result + rounds_up


cdef uint64_t saturated(Element* e, int128 value) noexcept nogil:
    cdef int128 largest = (<int128>1 << (e.bits - 1)) - 1
    if value > largest:
        e.saturated = 1
        return <uint64_t>largest
    if value < -largest - 1:
        e.saturated = 1
        return <uint64_t>(-largest - 1)
    return <uint64_t>value


cdef uint64_t saturated_unsigned(Element* e, int128 value) noexcept nogil:
    cdef int128 largest = (<int128>1 << e.bits) - 1
    if 0 <= value <= largest:
        return <uint64_t>value
    e.saturated = 1
    return <uint64_t>largest if value > 0 else 0


# --- Floating point --------------------------------------------------------------------------------------------------

cdef void use_formats(Element* e, int bits) noexcept nogil:
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

cdef uint64_t element(const uint8_t* group, uint64_t i, int size, bint signed) noexcept nogil:
    if size == 0:
        return <uint64_t><int64_t>(<const int8_t*>group)[i] if signed else group[i]
    if size == 1:
        return <uint64_t><int64_t>(<const int16_t*>group)[i] if signed else (<const uint16_t*>group)[i]
    if size == 2:
        return <uint64_t><int64_t>(<const int32_t*>group)[i] if signed else (<const uint32_t*>group)[i]
    return (<const uint64_t*>group)[i]


cdef void set_element(uint8_t* group, uint64_t i, int size, uint64_t value) noexcept nogil:
    if size == 0:
        group[i] = <uint8_t>value
    elif size == 1:
        (<uint16_t*>group)[i] = <uint16_t>value
    elif size == 2:
        (<uint32_t*>group)[i] = <uint32_t>value
    else:
        (<uint64_t*>group)[i] = value


cdef void compute_elements(Operands* o, int operation, bint mask_is_operand) noexcept nogil:
    cdef Compute compute = computes[operation]
    cdef uint64_t i, a, b = o.scalar, d = 0
    for i in range(o.first, o.count):
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
    cdef Format f = o.e.wide if o.d_size > o.a_size else o.e.number
    cdef bint alone = True
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
