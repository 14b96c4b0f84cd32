# The functions that the semantics of integer uops are written with.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define vm_high_signed(a, b) ((unsigned long long)(((__int128)(long long)(a) * (long long)(b)) >> 64))
    #define vm_high_unsigned(a, b) ((unsigned long long)(((unsigned __int128)(a) * (b)) >> 64))
    """
    uint64_t high_signed "vm_high_signed"(uint64_t a, uint64_t b) noexcept nogil
    uint64_t high_unsigned "vm_high_unsigned"(uint64_t a, uint64_t b) noexcept nogil
    int leading_zeros "__builtin_clzll"(uint64_t nonzero) noexcept nogil
    int trailing_zeros "__builtin_ctzll"(uint64_t nonzero) noexcept nogil
    uint64_t population64 "__builtin_popcountll"(uint64_t a) noexcept nogil
    uint64_t reversed_bytes "__builtin_bswap64"(uint64_t a) noexcept nogil
    bint likely(bint condition) noexcept nogil
    bint unlikely(bint condition) noexcept nogil

cdef inline int64_t signed64(uint64_t a) noexcept nogil:
    return <int64_t>a

cdef inline uint64_t sext32(uint64_t a) noexcept nogil:
    return <uint64_t><int64_t><int32_t>a

cdef inline uint64_t low32(uint64_t a) noexcept nogil:
    return <uint32_t>a

cdef inline uint64_t high_signed_unsigned(uint64_t a, uint64_t b) noexcept nogil:
    return high_unsigned(a, b) - (b if signed64(a) < 0 else 0)

# Division by zero gives all ones and leaves the dividend as remainder; the one overflow gives the dividend and 0.
cdef inline uint64_t divide64(uint64_t a, uint64_t b) noexcept nogil:
    if b == 0:
        return <uint64_t>-1
    if b == <uint64_t>-1:
        return 0 - a
    return <uint64_t>(<int64_t>a // <int64_t>b)

cdef inline uint64_t remainder64(uint64_t a, uint64_t b) noexcept nogil:
    if b == 0:
        return a
    if b == <uint64_t>-1:
        return 0
    return <uint64_t>(<int64_t>a % <int64_t>b)

cdef inline uint64_t divide_unsigned64(uint64_t a, uint64_t b) noexcept nogil:
    return a // b if b else <uint64_t>-1

cdef inline uint64_t remainder_unsigned64(uint64_t a, uint64_t b) noexcept nogil:
    return a % b if b else a

cdef inline uint64_t divide32(uint64_t a, uint64_t b) noexcept nogil:
    return sext32(divide64(sext32(a), sext32(b)))

cdef inline uint64_t remainder32(uint64_t a, uint64_t b) noexcept nogil:
    return sext32(remainder64(sext32(a), sext32(b)))

cdef inline uint64_t divide_unsigned32(uint64_t a, uint64_t b) noexcept nogil:
    return sext32(divide_unsigned64(low32(a), low32(b)))

cdef inline uint64_t remainder_unsigned32(uint64_t a, uint64_t b) noexcept nogil:
    return sext32(remainder_unsigned64(low32(a), low32(b)))

cdef inline uint64_t leading_zeros64(uint64_t a) noexcept nogil:
    return leading_zeros(a) if a else 64

cdef inline uint64_t trailing_zeros64(uint64_t a) noexcept nogil:
    return trailing_zeros(a) if a else 64

# Only the low bits of the count matter.
cdef inline uint64_t rotate_left64(uint64_t a, uint64_t count) noexcept nogil:
    return a << (count & 63) | a >> ((0 - count) & 63)

cdef inline uint64_t rotate_right64(uint64_t a, uint64_t count) noexcept nogil:
    return rotate_left64(a, 0 - count)

cdef inline uint32_t rotate_left32(uint64_t a, uint64_t count) noexcept nogil:
    return <uint32_t>a << (count & 31) | <uint32_t>a >> ((0 - count) & 31)

cdef inline uint32_t rotate_right32(uint64_t a, uint64_t count) noexcept nogil:
    return rotate_left32(a, 0 - count)

cdef inline uint64_t filled_bytes(uint64_t a) noexcept nogil:
    # 0xFF for every byte that is not zero: bit 7 of each tells whether, then spreads over the byte.
    cdef uint64_t tops = ((a & 0x7F7F7F7F7F7F7F7FULL) + 0x7F7F7F7F7F7F7F7FULL | a) & 0x8080808080808080ULL
    return (tops >> 7) * 255

cdef inline uint64_t reversed_bits_in_bytes(uint64_t a) noexcept nogil:
    a = a >> 1 & 0x5555555555555555ULL | (a & 0x5555555555555555ULL) << 1
    a = a >> 2 & 0x3333333333333333ULL | (a & 0x3333333333333333ULL) << 2
    return a >> 4 & 0x0F0F0F0F0F0F0F0FULL | (a & 0x0F0F0F0F0F0F0F0FULL) << 4

# The product of two polynomials over GF(2) has 127 bits.
cdef inline uint64_t carryless_low(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t product = 0
    while b:
        product ^= a << trailing_zeros(b)
        b &= b - 1
    return product

cdef inline uint64_t carryless_high(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t product = 0
    b &= ~<uint64_t>1
    while b:
        product ^= a >> (64 - trailing_zeros(b))
        b &= b - 1
    return product

# Each nibble, or byte, of the result is the one of `table` that `indices` names there; 0 beyond the end.
cdef inline uint64_t permuted_nibbles(uint64_t table, uint64_t indices) noexcept nogil:
    cdef uint64_t result = 0
    cdef int at
    for at in range(0, 64, 4):
        result |= (table >> ((indices >> at & 15) * 4) & 15) << at
    return result

cdef inline uint64_t permuted_bytes(uint64_t table, uint64_t indices) noexcept nogil:
    cdef uint64_t result = 0
    cdef int at
    for at in range(0, 64, 8):
        if indices >> at & 255 < 8:
            result |= (table >> ((indices >> at & 7) * 8) & 255) << at
    return result
