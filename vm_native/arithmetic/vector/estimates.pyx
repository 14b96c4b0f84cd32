"""Estimates of 1 / a and 1 / sqrt(a), to seven bits, the same on every machine.

A table gives the fraction of the result by the first seven bits of the operand's: what is right for the middle of the
interval that has these bits, rounded. The tables are computed at import.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from math import sqrt

from vm_native.arithmetic.float_rules cimport DZ, NV, NX, OF, RDN, RTZ, RUP
from vm_native.arithmetic.softfloat cimport Format, infinity, is_nan, is_signaling_nan, sign_bit

cdef uint8_t reciprocals[128]       # by the fraction
cdef uint8_t roots[128]             # by the last bit of the biased exponent, and six of the fraction


cdef void fill_tables() except *:
    for i in range(128):
        reciprocals[i] = <uint8_t>round(256 / (1 + (i + 0.5) / 128) - 128)
        # The bias is odd: with an even biased exponent the operand counts as one from 2 up to 4
        roots[i] = <uint8_t>round(256 / sqrt((1 if i & 64 else 2) * (1 + ((i & 63) + 0.5) / 64)) - 128)


fill_tables()


cdef inline void normalize(Format f, int64_t* exponent, uint64_t* fraction) noexcept nogil:
    """Of a subnormal: the fraction as if it had an implicit one, the exponent below 1 accordingly."""
    cdef uint64_t top = 1ULL << (f.fraction_bits - 1)
    while not fraction[0] & top:
        exponent[0] -= 1
        fraction[0] <<= 1
    fraction[0] = fraction[0] << 1 & (2 * top - 1)


cdef uint64_t reciprocal(Format f, uint64_t a, int rounding, uint32_t* flags) noexcept nogil:
    cdef uint64_t sign = a & sign_bit(f), fraction = a & ((1ULL << f.fraction_bits) - 1), result
    cdef int64_t exponent = (a & ~sign) >> f.fraction_bits
    cdef int64_t bias = (1 << (f.exponent_bits - 1)) - 1
    if is_nan(f, a):
        flags[0] |= NV if is_signaling_nan(f, a) else 0
        return f.default_nan
    if not a ^ sign:
        flags[0] |= DZ
        return sign | infinity(f)
    if a ^ sign == infinity(f):
        return sign
    if not exponent:
        normalize(f, &exponent, &fraction)
        if exponent < -1:               # too large
            flags[0] |= NX | OF
            if rounding == RTZ or rounding == (RUP if sign else RDN):
                return sign | infinity(f) - 1
            return sign | infinity(f)
    result = <uint64_t>reciprocals[fraction >> (f.fraction_bits - 7)] << (f.fraction_bits - 7)
    exponent = 2 * bias - 1 - exponent
    if exponent <= 0:                   # subnormal: the implicit one is shown
        result = result >> 1 | 1ULL << (f.fraction_bits - 1)
        result >>= -exponent
        exponent = 0
    return sign | <uint64_t>exponent << f.fraction_bits | result


cdef uint64_t reciprocal_square_root(Format f, uint64_t a, uint32_t* flags) noexcept nogil:
    cdef uint64_t sign = a & sign_bit(f), fraction = a & ((1ULL << f.fraction_bits) - 1), index
    cdef int64_t exponent = (a & ~sign) >> f.fraction_bits
    cdef int64_t bias = (1 << (f.exponent_bits - 1)) - 1
    if not a ^ sign:
        flags[0] |= DZ
        return sign | infinity(f)
    if sign or is_nan(f, a):
        flags[0] |= NV if is_signaling_nan(f, a) or not is_nan(f, a) else 0
        return f.default_nan
    if a == infinity(f):
        return 0
    if not exponent:
        normalize(f, &exponent, &fraction)
    index = <uint64_t>(exponent & 1) << 6 | fraction >> (f.fraction_bits - 6)
    exponent = (3 * bias - 1 - exponent) >> 1
    return <uint64_t>exponent << f.fraction_bits | <uint64_t>roots[index] << (f.fraction_bits - 7)
