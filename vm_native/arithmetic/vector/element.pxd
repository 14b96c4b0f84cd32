# What operations on elements depend on besides the elements, and helpers of table.py's expressions that are inlined:
# where the width is known when they are compiled (loops/), little remains of them.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vm_native.arithmetic.float_rules cimport NV
from vm_native.arithmetic.softfloat cimport Format, infinity

cdef extern from *:
    """
    typedef __int128 vm_int128;
    """
    ctypedef long long int128 "vm_int128"

ctypedef fused wide:
    int64_t
    int128

cdef enum FixedRounding:    # how fixed-point operations round what they shift out
    NEAREST_UP = 0
    NEAREST_EVEN = 1
    DOWN = 2
    TO_ODD = 3

cdef struct Element:
    int bits                # the selected element width
    Format number           # of that width
    Format wide             # of twice that
    int rounding            # of floating point
    int fixed_rounding
    uint32_t flags          # of floating point, ORed into
    uint32_t saturated      # becomes 1
    uint64_t carry          # the mask's bit for this element, where it is an operand

cdef inline bint carries(Element* e, uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t sum = a + b + e.carry
    if e.bits == 64:
        return sum < a or e.carry and sum == a
    return sum >> e.bits != 0

cdef inline uint64_t rotated_left(Element* e, uint64_t a, uint64_t count) noexcept nogil:
    cdef uint64_t limit = e.bits - 1
    return a << (count & limit) | a >> ((0 - count) & limit)

cdef inline wide shifted(Element* e, wide value, int count) noexcept nogil:
    """To the right, rounded as the fixed-point rounding mode says."""
    cdef wide unit = <wide>1 << count
    cdef wide rest = value & (unit - 1)
    cdef wide half = unit >> 1
    cdef wide result = value >> count
    if e.fixed_rounding == TO_ODD:
        return result | (rest != 0)
    if e.fixed_rounding == NEAREST_UP:
        return result + (rest != 0 and rest >= half)
    if e.fixed_rounding == NEAREST_EVEN:
        return result + (rest > half or rest != 0 and rest == half and result & 1 != 0)
    return result

cdef inline uint64_t saturated(Element* e, wide value) noexcept nogil:
    cdef wide largest = (<wide>1 << (e.bits - 1)) - 1
    e.saturated |= value > largest or value < -largest - 1
    return <uint64_t>(largest if value > largest else -largest - 1 if value < -largest - 1 else value)

cdef inline uint64_t saturated_unsigned(Element* e, wide value) noexcept nogil:
    cdef wide largest = (<wide>1 << e.bits) - 1
    e.saturated |= value > largest or value < 0
    return <uint64_t>(largest if value > largest else 0 if value < 0 else value)

cdef inline uint64_t extreme(Element* e, uint64_t a, uint64_t b, bint largest) noexcept nogil:
    """minimumNumber and maximumNumber of IEEE 754-2019: of two operands the one that is a number; -0 is less than 0."""
    cdef uint64_t sign = 1ULL << (e.bits - 1), quiet = 1ULL << (e.number.fraction_bits - 1)
    cdef bint a_is_nan = (a & (sign - 1)) > infinity(e.number), b_is_nan = (b & (sign - 1)) > infinity(e.number)
    # As unsigned integers these are in the order of the numbers
    cdef uint64_t a_place = (2 * sign - 1 - a) if a & sign else a | sign
    cdef uint64_t b_place = (2 * sign - 1 - b) if b & sign else b | sign
    cdef uint64_t chosen = a if (a_place < b_place) != largest else b
    e.flags |= NV if (a_is_nan and not a & quiet) or (b_is_nan and not b & quiet) else 0
    chosen = a if b_is_nan else chosen
    chosen = b if a_is_nan else chosen
    return e.number.default_nan if a_is_nan and b_is_nan else chosen
