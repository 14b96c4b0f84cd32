# softfloat.pxd: IEEE 754 binary arithmetic in integers, for every rounding mode, with every flag.
#
# Operands and results are bit patterns in the low bits of a uint64_t (no NaN boxing here). A NaN result is always the
# format's default one. `flags` is ORed into, never cleared.

from libc.stdint cimport uint32_t, uint64_t
from vm_native.arithmetic.float_rules cimport NAN16, NAN32, NAN64

cdef struct Format:
    int fraction_bits       # without the implicit one
    int exponent_bits
    uint64_t default_nan

cdef inline Format binary16() noexcept nogil:
    cdef Format format
    format.fraction_bits = 10
    format.exponent_bits = 5
    format.default_nan = NAN16
    return format

cdef inline Format binary32() noexcept nogil:
    cdef Format format
    format.fraction_bits = 23
    format.exponent_bits = 8
    format.default_nan = NAN32
    return format

cdef inline Format binary64() noexcept nogil:
    cdef Format format
    format.fraction_bits = 52
    format.exponent_bits = 11
    format.default_nan = NAN64
    return format

cdef inline uint64_t sign_bit(Format f) noexcept nogil:
    return 1ULL << (f.fraction_bits + f.exponent_bits)

cdef inline uint64_t infinity(Format f) noexcept nogil:
    return ((1ULL << f.exponent_bits) - 1) << f.fraction_bits

cdef inline bint is_nan(Format f, uint64_t a) noexcept nogil:
    return (a & (sign_bit(f) - 1)) > infinity(f)

cdef inline bint is_signaling_nan(Format f, uint64_t a) noexcept nogil:
    return is_nan(f, a) and not a >> (f.fraction_bits - 1) & 1

cdef uint64_t add(Format f, uint64_t a, uint64_t b, int rounding, uint32_t* flags) noexcept nogil
cdef uint64_t multiply(Format f, uint64_t a, uint64_t b, int rounding, uint32_t* flags) noexcept nogil
cdef uint64_t multiply_add(Format f, uint64_t a, uint64_t b, uint64_t c, int rounding, uint32_t* flags) noexcept nogil
cdef uint64_t divide(Format f, uint64_t a, uint64_t b, int rounding, uint32_t* flags) noexcept nogil
cdef uint64_t square_root(Format f, uint64_t a, int rounding, uint32_t* flags) noexcept nogil

# minimumNumber and maximumNumber (9.6): a NaN only if both are; -0 is less than +0.
cdef uint64_t minimum_number(Format f, uint64_t a, uint64_t b, uint32_t* flags) noexcept nogil
cdef uint64_t maximum_number(Format f, uint64_t a, uint64_t b, uint32_t* flags) noexcept nogil

# Number of the class (5.7.2), in the order that floating.pxd gives.
cdef int class_of(Format f, uint64_t a) noexcept nogil

# Ordered comparisons; false if either is a NaN, invalid if one signals or (not quiet) if there is one at all.
cdef bint equal(Format f, uint64_t a, uint64_t b, bint quiet, uint32_t* flags) noexcept nogil
cdef bint less(Format f, uint64_t a, uint64_t b, bint quiet, uint32_t* flags) noexcept nogil

cdef uint64_t convert(Format source, Format target, uint64_t a, int rounding, uint32_t* flags) noexcept nogil
cdef uint64_t from_integer(Format f, bint negative, uint64_t magnitude, int rounding, uint32_t* flags) noexcept nogil
# To an integral value in the same format (5.9); exact says whether it was one already, and inexact is not raised.
cdef uint64_t to_integral(Format f, uint64_t a, int rounding, bint* exact, uint32_t* flags) noexcept nogil
# To an integer of `width` (32, 64) bits, in the low bits of the result. What does not fit is invalid and saturates;
# a NaN counts as too large.
cdef uint64_t to_integer(Format f, uint64_t a, bint signed, int width, int rounding, uint32_t* flags) noexcept nogil
# The low 32 bits of a number truncated to an integer of any size; 0 if there is none. Flags as a conversion to a
# signed 32-bit integer, towards zero, raises them.
cdef uint32_t to_integer_modulo(Format f, uint64_t a, uint32_t* flags) noexcept nogil
