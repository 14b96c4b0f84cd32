# The functions that the semantics of integer uops are written with.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define vm_high_signed(a, b) ((unsigned long long)(((__int128)(long long)(a) * (long long)(b)) >> 64))
    #define vm_high_unsigned(a, b) ((unsigned long long)(((unsigned __int128)(a) * (b)) >> 64))
    """
    uint64_t high_signed "vm_high_signed"(uint64_t a, uint64_t b) noexcept nogil
    uint64_t high_unsigned "vm_high_unsigned"(uint64_t a, uint64_t b) noexcept nogil
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
