"""IEEE 754-2019 binary arithmetic in integers, generic over a format of at most 64 bits (binary64 or narrower).

Sections cited are those of IEEE 754-2019. What it leaves open is decided in float_rules.pxd; tininess is detected after
rounding (7.5).

A finite non-zero number is unpacked to value = significand * 2**(exponent - 63) with bit 63 of the significand set.
Every operation computes a significand whose lowest bit is sticky (set if anything non-zero was dropped below it);
`rounded` is the only place that rounds to a format.
"""

from libc.stdint cimport uint32_t, uint64_t
from vm_native.arithmetic.float_rules cimport DZ, NV, NX, OF, RDN, RMM, RNE, RTZ, RUP, UF

cdef extern from *:
    """
    typedef unsigned __int128 vm_uint128;
    static inline int vm_leading_zeros(unsigned long long x) { return __builtin_clzll(x); }
    """
    ctypedef unsigned long long uint128 "vm_uint128"
    int leading_zeros "vm_leading_zeros"(uint64_t x) noexcept nogil

cdef enum Class:
    ZERO
    FINITE
    INFINITE
    NAN

cdef struct Number:
    Class kind
    bint sign
    int exponent            # of a finite non-zero number, unbiased
    uint64_t significand    # bit 63 set


cdef inline int bias(Format f) noexcept nogil:
    return (1 << (f.exponent_bits - 1)) - 1


cdef Number unpack(Format f, uint64_t bits) noexcept nogil:
    cdef Number n
    cdef uint64_t fraction = bits & ((1ULL << f.fraction_bits) - 1)
    cdef int exponent = bits >> f.fraction_bits & ((1 << f.exponent_bits) - 1)
    cdef int shift = 63 - f.fraction_bits
    n.sign = (bits & sign_bit(f)) != 0
    n.exponent = 0
    n.significand = 0
    if exponent == (1 << f.exponent_bits) - 1:
        n.kind = NAN if fraction else INFINITE
    elif exponent:
        n.kind = FINITE
        n.exponent = exponent - bias(f)
        n.significand = 1ULL << 63 | fraction << shift
    elif fraction:
        n.kind = FINITE
        shift = leading_zeros(fraction)
        n.exponent = 1 - bias(f) - (shift - (63 - f.fraction_bits))
        n.significand = fraction << shift
    else:
        n.kind = ZERO
    return n


cdef inline uint64_t signed_as(Format f, bint sign, uint64_t magnitude) noexcept nogil:
    return sign_bit(f) | magnitude if sign else magnitude


cdef inline bint rounds_up(int rounding, bint sign, bint odd, uint64_t remainder, uint64_t half) noexcept nogil:
    """Whether a magnitude with this remainder below its last place goes to the next larger one (4.3)."""
    if rounding == RNE:
        return remainder > half or (remainder == half and odd)
    if rounding == RMM:
        return remainder >= half
    return remainder != 0 and ((rounding == RUP and not sign) or (rounding == RDN and sign))


cdef uint64_t shift_out(uint64_t significand, int shift, int rounding, bint sign, bint* inexact) noexcept nogil:
    """significand / 2**shift (shift > 0), rounded to an integer."""
    cdef uint64_t kept, remainder
    if shift > 64:          # less than half of the last place, and not zero
        significand = 1
        shift = 64
    kept = significand >> shift if shift < 64 else 0
    remainder = significand - (kept << shift) if shift < 64 else significand
    inexact[0] = remainder != 0
    return kept + rounds_up(rounding, sign, kept & 1, remainder, 1ULL << (shift - 1))


cdef uint64_t rounded(Format f, bint sign, int exponent, uint64_t significand, int rounding,
                      uint32_t* flags) noexcept nogil:
    """Round and pack a normalised significand (lowest bit sticky); overflow 7.4, underflow 7.5, inexact 7.6."""
    cdef int biased = exponent + bias(f)
    cdef int shift = 63 - f.fraction_bits
    cdef uint64_t bits
    cdef bint inexact, tiny
    if biased <= 0:
        # Tiny after rounding: with an unbounded exponent it would still lie below the smallest normal number.
        tiny = biased < 0 or not shift_out(significand, shift, rounding, sign, &inexact) >> (f.fraction_bits + 1)
        bits = shift_out(significand, shift + 1 - biased, rounding, sign, &inexact)
        if inexact:
            flags[0] |= NX | UF if tiny else NX
        return signed_as(f, sign, bits)
    if biased < (1 << f.exponent_bits) - 1:
        bits = shift_out(significand, shift, rounding, sign, &inexact)
        bits += <uint64_t>(biased - 1) << f.fraction_bits           # the implicit one, or a carry, adds to the exponent
        if bits < infinity(f):
            if inexact:
                flags[0] |= NX
            return signed_as(f, sign, bits)
    flags[0] |= OF | NX
    if rounding == RTZ or (rounding == RDN and not sign) or (rounding == RUP and sign):
        return signed_as(f, sign, infinity(f) - 1)
    return signed_as(f, sign, infinity(f))


cdef uint64_t rounded_wide(Format f, bint sign, int exponent, uint128 significand, int rounding,
                           uint32_t* flags) noexcept nogil:
    """The same for a non-zero value significand * 2**(exponent - 127), not normalised."""
    cdef int shift
    if significand >> 64:
        shift = leading_zeros(<uint64_t>(significand >> 64))
    else:
        shift = 64 + leading_zeros(<uint64_t>significand)
    significand <<= shift
    return rounded(f, sign, exponent - shift, <uint64_t>(significand >> 64) | (<uint64_t>significand != 0),
                   rounding, flags)


cdef inline uint128 shift_right_sticky(uint128 significand, int shift) noexcept nogil:
    if shift >= 128:
        return significand != 0
    return significand >> shift | ((significand >> shift << shift) != significand)


cdef uint64_t invalid(Format f, uint32_t* flags) noexcept nogil:
    flags[0] |= NV
    return f.default_nan


cdef bint any_signaling(Format f, uint64_t a, uint64_t b) noexcept nogil:
    return is_signaling_nan(f, a) or is_signaling_nan(f, b)


cdef uint64_t add(Format f, uint64_t a, uint64_t b, int rounding, uint32_t* flags) noexcept nogil:
    return multiply_add(f, a, <uint64_t>bias(f) << f.fraction_bits, b, rounding, flags)      # a * 1 + b


cdef uint64_t multiply(Format f, uint64_t a, uint64_t b, int rounding, uint32_t* flags) noexcept nogil:
    return multiply_add(f, a, b, (a ^ b) & sign_bit(f), rounding, flags)    # + a zero of the product's own sign


cdef uint64_t multiply_add(Format f, uint64_t a, uint64_t b, uint64_t c, int rounding,
                           uint32_t* flags) noexcept nogil:
    """a * b + c, rounded once. Infinity * 0 + quiet NaN is invalid too (7.2 c leaves it open)."""
    cdef Number x = unpack(f, a), y = unpack(f, b), z = unpack(f, c)
    cdef bint sign = x.sign != y.sign, larger_sign
    cdef int exponent, distance
    cdef uint128 product, addend

    if any_signaling(f, a, b) or is_signaling_nan(f, c):
        return invalid(f, flags)
    if (x.kind == INFINITE and y.kind == ZERO) or (x.kind == ZERO and y.kind == INFINITE):
        return invalid(f, flags)
    if x.kind == NAN or y.kind == NAN or z.kind == NAN:
        return f.default_nan
    if x.kind == INFINITE or y.kind == INFINITE:
        if z.kind == INFINITE and z.sign != sign:
            return invalid(f, flags)
        return signed_as(f, sign, infinity(f))
    if z.kind == INFINITE:
        return c
    if x.kind == ZERO or y.kind == ZERO:
        if z.kind != ZERO or z.sign == sign:
            return c
        return signed_as(f, rounding == RDN, 0)                     # the sum of opposite zeros (6.3)

    # Leading one of the product at bit 126 or 125, of the addend at 126: room for one carry, and of the 106 bits of
    # the longest product none is lost before the operands are so far apart that at most one leading bit cancels.
    product = <uint128>x.significand * <uint128>y.significand >> 1
    exponent = x.exponent + y.exponent + 2
    if z.kind == ZERO:
        return rounded_wide(f, sign, exponent, product, rounding, flags)
    addend = <uint128>z.significand << 63
    distance = exponent - (z.exponent + 1)
    if distance > 0:
        addend = shift_right_sticky(addend, distance)
    elif distance < 0:
        product = shift_right_sticky(product, -distance)
        exponent = z.exponent + 1
    if sign == z.sign:
        return rounded_wide(f, sign, exponent, product + addend, rounding, flags)
    if product == addend:
        return signed_as(f, rounding == RDN, 0)
    larger_sign = sign if product > addend else z.sign
    product = product - addend if product > addend else addend - product
    return rounded_wide(f, larger_sign, exponent, product, rounding, flags)


cdef uint64_t divide(Format f, uint64_t a, uint64_t b, int rounding, uint32_t* flags) noexcept nogil:
    cdef Number x = unpack(f, a), y = unpack(f, b)
    cdef bint sign = x.sign != y.sign
    cdef int exponent = x.exponent - y.exponent
    cdef uint128 dividend, quotient
    if any_signaling(f, a, b):
        return invalid(f, flags)
    if x.kind == NAN or y.kind == NAN:
        return f.default_nan
    if x.kind == y.kind and (x.kind == INFINITE or x.kind == ZERO):
        return invalid(f, flags)
    if x.kind == INFINITE:
        return signed_as(f, sign, infinity(f))
    if x.kind == ZERO or y.kind == INFINITE:
        return signed_as(f, sign, 0)
    if y.kind == ZERO:
        flags[0] |= DZ
        return signed_as(f, sign, infinity(f))
    if x.significand < y.significand:
        dividend = <uint128>x.significand << 64
        exponent -= 1
    else:
        dividend = <uint128>x.significand << 63
    quotient = dividend // <uint128>y.significand                   # bit 63 is its highest
    return rounded(f, sign, exponent, <uint64_t>quotient | (quotient * <uint128>y.significand != dividend),
                   rounding, flags)


cdef uint64_t square_root(Format f, uint64_t a, int rounding, uint32_t* flags) noexcept nogil:
    cdef Number x = unpack(f, a)
    cdef uint128 radicand
    cdef uint64_t root = 0, trial
    cdef int bit
    if is_signaling_nan(f, a):
        return invalid(f, flags)
    if x.kind == NAN:
        return f.default_nan
    if x.kind == ZERO:
        return a
    if x.sign:
        return invalid(f, flags)
    if x.kind == INFINITE:
        return a
    radicand = <uint128>x.significand << (64 if x.exponent & 1 else 63)
    for bit in range(63, -1, -1):
        trial = root | 1ULL << bit
        if <uint128>trial * <uint128>trial <= radicand:
            root = trial
    return rounded(f, False, x.exponent >> 1, root | (<uint128>root * <uint128>root != radicand), rounding, flags)


cdef bint unordered(Format f, uint64_t a, uint64_t b, bint quiet, uint32_t* flags) noexcept nogil:
    if not is_nan(f, a) and not is_nan(f, b):
        return False
    if not quiet or any_signaling(f, a, b):
        flags[0] |= NV
    return True


cdef bint equal(Format f, uint64_t a, uint64_t b, bint quiet, uint32_t* flags) noexcept nogil:
    if unordered(f, a, b, quiet, flags):
        return False
    return a == b or not (a | b) & (sign_bit(f) - 1)                # zeros of either sign are equal


cdef bint less(Format f, uint64_t a, uint64_t b, bint quiet, uint32_t* flags) noexcept nogil:
    cdef bint negative_a = (a & sign_bit(f)) != 0, negative_b = (b & sign_bit(f)) != 0
    if unordered(f, a, b, quiet, flags):
        return False
    if negative_a != negative_b:
        return negative_a and (a | b) & (sign_bit(f) - 1) != 0
    return a > b if negative_a else a < b


cdef uint64_t extreme_number(Format f, uint64_t a, uint64_t b, bint maximum, uint32_t* flags) noexcept nogil:
    if any_signaling(f, a, b):
        flags[0] |= NV
    if is_nan(f, a):
        return f.default_nan if is_nan(f, b) else b
    if is_nan(f, b):
        return a
    if equal(f, a, b, True, flags):
        return a & b if maximum else a | b                          # the same, or zeros
    return a if less(f, a, b, True, flags) != maximum else b


cdef uint64_t minimum_number(Format f, uint64_t a, uint64_t b, uint32_t* flags) noexcept nogil:
    return extreme_number(f, a, b, False, flags)


cdef uint64_t maximum_number(Format f, uint64_t a, uint64_t b, uint32_t* flags) noexcept nogil:
    return extreme_number(f, a, b, True, flags)


cdef int class_of(Format f, uint64_t a) noexcept nogil:
    cdef uint64_t magnitude = a & (sign_bit(f) - 1)
    cdef int above_zero                 # the class of the magnitude, from +0 on
    if magnitude > infinity(f):
        return 8 if is_signaling_nan(f, a) else 9
    if magnitude == infinity(f):
        above_zero = 3
    elif magnitude >> f.fraction_bits:
        above_zero = 2
    else:
        above_zero = 1 if magnitude else 0
    return 4 + above_zero if magnitude == a else 3 - above_zero


cdef uint64_t convert(Format source, Format target, uint64_t a, int rounding, uint32_t* flags) noexcept nogil:
    cdef Number x = unpack(source, a)
    if is_signaling_nan(source, a):
        return invalid(target, flags)
    if x.kind == NAN:
        return target.default_nan
    if x.kind == INFINITE:
        return signed_as(target, x.sign, infinity(target))
    if x.kind == ZERO:
        return signed_as(target, x.sign, 0)
    return rounded(target, x.sign, x.exponent, x.significand, rounding, flags)


cdef uint64_t from_integer(Format f, bint negative, uint64_t magnitude, int rounding, uint32_t* flags) noexcept nogil:
    cdef int shift
    if magnitude == 0:
        return 0
    shift = leading_zeros(magnitude)
    return rounded(f, negative, 63 - shift, magnitude << shift, rounding, flags)


cdef uint64_t to_integer(Format f, uint64_t a, bint signed, int width, int rounding, uint32_t* flags) noexcept nogil:
    cdef Number x = unpack(f, a)
    cdef bint inexact = False, fits = False
    cdef uint64_t magnitude = 0
    cdef uint64_t largest = ~0ULL >> (64 - width + signed)
    if x.kind == ZERO:
        return 0
    if x.kind == FINITE and x.exponent < width:
        magnitude = x.significand
        if x.exponent < 63:
            magnitude = shift_out(magnitude, 63 - x.exponent, rounding, x.sign, &inexact)
        fits = magnitude <= (largest + 1 if signed else 0) if x.sign else magnitude <= largest
    if fits:
        if inexact:
            flags[0] |= NX
        return -magnitude if x.sign else magnitude
    flags[0] |= NV
    if x.sign and x.kind != NAN:
        return -(largest + 1) if signed else 0
    return largest


cdef uint64_t to_integral(Format f, uint64_t a, int rounding, bint* exact, uint32_t* flags) noexcept nogil:
    cdef Number x = unpack(f, a)
    cdef bint inexact = False
    cdef uint64_t magnitude
    exact[0] = True
    if is_signaling_nan(f, a):
        return invalid(f, flags)
    if x.kind == NAN:
        return f.default_nan
    if x.kind != FINITE or x.exponent >= f.fraction_bits:
        return a
    magnitude = shift_out(x.significand, 63 - x.exponent, rounding, x.sign, &inexact)
    exact[0] = not inexact
    return signed_as(f, x.sign, from_integer(f, False, magnitude, rounding, flags))


cdef uint32_t to_integer_modulo(Format f, uint64_t a, uint32_t* flags) noexcept nogil:
    cdef Number x = unpack(f, a)
    cdef bint inexact
    cdef uint64_t magnitude = 0
    to_integer(f, a, True, 32, RTZ, flags)
    if x.kind == FINITE:
        if x.exponent < 63:
            magnitude = shift_out(x.significand, 63 - x.exponent, RTZ, x.sign, &inexact)
        elif x.exponent < 63 + 32:
            magnitude = x.significand << (x.exponent - 63)
    return <uint32_t>(-magnitude if x.sign else magnitude)
