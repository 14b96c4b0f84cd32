# What the loops of every instruction set are made with, and those that are not of table.py.
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from vm_native.arithmetic.floating cimport (
    as_double, as_float, maximum, minimum, rounded_int32, rounded_int64, rounded_uint32, rounded_uint64, square_root,
    truncated_int32, truncated_int64, truncated_uint32, truncated_uint64,
)
from vm_native.arithmetic.float_rules cimport NAN32, NAN64
from vm_native.arithmetic.integer cimport carryless_high, carryless_low
from vm_native.arithmetic.softfloat cimport binary16, binary32, binary64
from vm_native.arithmetic.vector.element cimport (
    Element, carries, extreme, int128, rotated_left, saturated, saturated_unsigned, shifted,
)
from vm_native.arithmetic.vector.loops.kernels cimport (
    BLOCK, BYTES, EIGHTHS, HALVES, Kernels, NARROW, PLAIN, QUARTERS, REDUCTION, WIDE, WIDE_FIRST, WIDE_REDUCTION,
)

cdef extern from *:
    """
    typedef unsigned char *restrict vm_out;
    #if defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
    #define VM_FUSES 1
    #else
    #define VM_FUSES 0          /* by a function of the C library, which is slow */
    #endif
    #define vm_fused(a, b, c) \\
        _Generic((a), float: __builtin_fmaf, default: __builtin_fma)(a, b, c)

    /* The halves of a carry-less product: one instruction, where it may be used. */
    #ifdef __PCLMUL__
    #include <immintrin.h>
    #define vm_product(a, b) _mm_clmulepi64_si128(_mm_cvtsi64_si128(a), _mm_cvtsi64_si128(b), 0)
    #define vm_product_low(a, b) (unsigned long long)_mm_cvtsi128_si64(vm_product(a, b))
    #define vm_product_high(a, b) (unsigned long long)_mm_extract_epi64(vm_product(a, b), 1)
    #define VM_MULTIPLIES 1
    #else
    #define vm_product_low(a, b) 0
    #define vm_product_high(a, b) 0
    #define VM_MULTIPLIES 0
    #endif

    /* By what the first eight bits are: bytes of ones where they are set. */
    static unsigned long long vm_lanes[256];
    """
    ctypedef uint8_t* Out "vm_out"
    enum: FUSES "VM_FUSES"
    double fused64 "vm_fused"(double a, double b, double c) noexcept nogil
    float fused32 "vm_fused"(float a, float b, float c) noexcept nogil
    uint64_t LANES "vm_lanes"[256]
    enum: MULTIPLIES_CARRYLESS "VM_MULTIPLIES"
    uint64_t host_product_low "vm_product_low"(uint64_t a, uint64_t b) noexcept nogil
    uint64_t host_product_high "vm_product_high"(uint64_t a, uint64_t b) noexcept nogil

ctypedef fused item:
    uint8_t
    uint16_t
    uint32_t
    uint64_t

ctypedef fused real:
    float
    double

cdef Kernels table


cdef void fill_lanes() noexcept:
    cdef int byte, i
    for byte in range(256):
        for i in range(8):
            if byte >> i & 1:
                LANES[byte] |= 0xFFULL << 8 * i


cdef inline uint64_t product_low(uint64_t a, uint64_t b) noexcept nogil:
    return host_product_low(a, b) if MULTIPLIES_CARRYLESS else carryless_low(a, b)


cdef inline uint64_t product_high(uint64_t a, uint64_t b) noexcept nogil:
    return host_product_high(a, b) if MULTIPLIES_CARRYLESS else carryless_high(a, b)


cdef inline real fused(real a, real b, real c) noexcept nogil:
    if real is float:
        return fused32(a, b, c)
    else:
        return fused64(a, b, c)


cdef inline uint64_t whole_blocks(uint64_t count, int size) noexcept nogil:
    """Elements in whole blocks of elements of that size."""
    cdef uint64_t rest = (BLOCK >> size) - 1
    return (count + rest) & ~rest


# --- Masks -----------------------------------------------------------------------------------------------------------

cdef void expand(Out lanes, const uint8_t* bits, uint64_t count) noexcept nogil:
    cdef uint64_t i
    for i in range((count + 7) >> 3):
        (<uint64_t*>lanes)[i] = LANES[bits[i]]


cdef void pack(Out bits, const uint8_t* truths, uint64_t count) noexcept nogil:
    # Behind the last of them there may be anything
    cdef uint64_t i
    for i in range((count + 7) >> 3):
        bits[i] = <uint8_t>(((<const uint64_t*>truths)[i] & 0x0101010101010101ULL) * 0x0102040810204080ULL >> 56)


cdef inline void blend_items(item* d, const item* values, const uint8_t* lanes, uint64_t count) noexcept nogil:
    cdef uint64_t i
    for i in range(count):
        d[i] = values[i] if lanes[i] else d[i]


cdef void blend(Out d, const uint8_t* values, const uint8_t* lanes, uint64_t count, int size) noexcept nogil:
    count = whole_blocks(count, size)
    if size == 0:
        blend_items[uint8_t](d, values, lanes, count & ~15ULL)
    elif size == 1:
        blend_items[uint16_t](<uint16_t*>d, <const uint16_t*>values, lanes, count & ~7ULL)
    elif size == 2:
        blend_items[uint32_t](<uint32_t*>d, <const uint32_t*>values, lanes, count & ~3ULL)
    else:
        blend_items[uint64_t](<uint64_t*>d, <const uint64_t*>values, lanes, count & ~1ULL)


cdef void splat(Out d, uint64_t value, uint64_t count, int size) noexcept nogil:
    """All sizes are one: the value is repeated until it fills 64 bits."""
    cdef uint64_t i, words = (whole_blocks(count, size) << size) >> 3
    if size == 0:
        value = (value & 0xFF) * 0x0101010101010101ULL
    elif size == 1:
        value = (value & 0xFFFF) * 0x0001000100010001ULL
    elif size == 2:
        value = <uint32_t>value * 0x0000000100000001ULL
    words &= ~<uint64_t>1
    for i in range(words):
        (<uint64_t*>d)[i] = value


# --- Numbers ---------------------------------------------------------------------------------------------------------

cdef inline bint canonical_items(real* values, real nan, uint64_t count) noexcept nogil:
    cdef uint64_t i
    cdef int found = 0
    for i in range(count):
        found |= values[i] != values[i]
    if found:
        for i in range(count):
            values[i] = nan if values[i] != values[i] else values[i]
    return found


cdef bint make_canonical(Out values, uint64_t count, int size) noexcept nogil:
    if size == 2:
        return canonical_items[float](<float*>values, as_float(NAN32), whole_blocks(count, 2) & ~3ULL)
    return canonical_items[double](<double*>values, as_double(NAN64), whole_blocks(count, 3) & ~1ULL)


fill_lanes()
table.expand = expand
table.pack = pack
table.blend = blend
table.splat = splat
table.make_canonical = make_canonical
kernels = PyCapsule_New(&table, "vm_native.arithmetic.vector.loops.kernels", NULL)
