# The kernels of the memcpy family, written once over a vector of WIDTH bytes. `avx512.pyx`, `avx2.pyx`, `sse2.pyx` and
# `neon.pyx` include this file; the flags that setup.py compiles each with decide what a vector is.
#
# Sizes up to 8 vectors are loaded whole before the first store, by pairs that overlap in the middle, so a size costs a
# few compares and no loop. Above that the target is aligned: its first vector and its last four are loaded up front,
# stored at the end, and a loop of four vectors a turn does what lies between.
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uintptr_t

cdef enum:
    PREFETCH_AHEAD = 512

cdef extern from *:
    """
    #if defined(__AVX512BW__)
    #include <immintrin.h>
    #define WIDTH 64
    #elif defined(__AVX2__)
    #include <immintrin.h>
    #define WIDTH 32
    #elif defined(__SSE2__)
    #include <emmintrin.h>
    #define WIDTH 16
    #elif defined(__ARM_NEON)
    #define WIDTH 16
    #else
    #error "compiled without the flags of any known instruction set"
    #endif

    /* Any address will do for these, and they may lie over data of any type. */
    #define ANYWHERE aligned(1), may_alias
    typedef unsigned char vector __attribute__((vector_size(WIDTH), ANYWHERE));
    typedef unsigned char item32 __attribute__((vector_size(32), ANYWHERE));
    typedef unsigned char item16 __attribute__((vector_size(16), ANYWHERE));
    typedef unsigned long long item8 __attribute__((ANYWHERE));
    typedef unsigned int item4 __attribute__((ANYWHERE));
    typedef unsigned short item2 __attribute__((ANYWHERE));

    static inline vector splat(int value) { return (vector){0} + (unsigned char)value; }

    static inline int differ(vector a, vector b) {
    #if WIDTH == 64
        return _mm512_cmpneq_epi8_mask((__m512i)a, (__m512i)b) != 0;
    #elif WIDTH == 32
        return _mm256_movemask_epi8((__m256i)(a == b)) != -1;
    #elif defined(__SSE2__)
        return _mm_movemask_epi8((__m128i)(a == b)) != 0xFFFF;
    #else
        typedef unsigned long long halves __attribute__((vector_size(16)));
        halves difference = (halves)(a ^ b);
        return (difference[0] | difference[1]) != 0;
    #endif
    }

    /* Two vectors to an address that is a multiple of WIDTH, leaving the caches alone. */
    static inline void stream_pair(char *to, vector a, vector b) {
    #if WIDTH == 64
        _mm512_stream_si512((__m512i *)to, (__m512i)a);
        _mm512_stream_si512((__m512i *)(to + WIDTH), (__m512i)b);
    #elif WIDTH == 32
        _mm256_stream_si256((__m256i *)to, (__m256i)a);
        _mm256_stream_si256((__m256i *)(to + WIDTH), (__m256i)b);
    #elif defined(__SSE2__)
        _mm_stream_si128((__m128i *)to, (__m128i)a);
        _mm_stream_si128((__m128i *)(to + WIDTH), (__m128i)b);
    #else
        __asm__ volatile("stnp %q0, %q1, [%2]" : : "w"(a), "w"(b), "r"(to) : "memory");
    #endif
    }

    /* Streaming stores are ordered with nothing until this. */
    static inline void end_stream(void) {
    #if defined(__SSE2__)
        _mm_sfence();
    #endif
    }
    """
    enum:
        WIDTH
    ctypedef struct vector:
        pass
    ctypedef struct item32:
        pass
    ctypedef struct item16:
        pass
    ctypedef uint64_t item8
    ctypedef uint32_t item4
    ctypedef uint16_t item2
    ctypedef fused item:
        vector
        item32
        item16
        item8
        item4
        item2
    vector splat(int value) noexcept nogil
    bint differ(vector a, vector b) noexcept nogil
    void stream_pair(char* to, vector a, vector b) noexcept nogil
    void end_stream() noexcept nogil
    void prefetch "__builtin_prefetch"(const char* address) noexcept nogil
    int lowest_bit "__builtin_ctzll"(uint64_t value) noexcept nogil
    bint likely(bint condition) noexcept nogil


cdef inline vector load(const char* address) noexcept nogil:
    return (<vector*>address)[0]


cdef inline void store(char* address, vector value) noexcept nogil:
    (<vector*>address)[0] = value


# --- Copying ----------------------------------------------------------------------------------------------------------

cdef inline void copy_ends(item* target, item* source, size_t size) noexcept nogil:
    # The first and the last item of so many bytes; no more than two items.
    cdef item first = source[0]
    cdef item last = (<item*>(<char*>source + size - sizeof(item)))[0]
    target[0] = first
    (<item*>(<char*>target + size - sizeof(item)))[0] = last


cdef inline void copy_bytes_2_or_3(char* target, const char* source, size_t size) noexcept nogil:
    cdef char first = source[0]
    cdef item2 last = (<item2*>(source + size - 2))[0]
    target[0] = first
    (<item2*>(target + size - 2))[0] = last


cdef inline void copy_short(char* target, const char* source, size_t size) noexcept nogil:
    # Less than a vector.
    if WIDTH > 32 and size >= 32:
        copy_ends(<item32*>target, <item32*>source, size)
    elif WIDTH > 16 and size >= 16:
        copy_ends(<item16*>target, <item16*>source, size)
    elif size >= 8:
        copy_ends(<item8*>target, <item8*>source, size)
    elif size >= 4:
        copy_ends(<item4*>target, <item4*>source, size)
    elif size >= 2:
        copy_bytes_2_or_3(target, source, size)
    elif size:
        target[0] = source[0]


cdef inline void copy_quad(char* target, const char* source) noexcept nogil:
    cdef vector a = load(source), b = load(source + WIDTH)
    cdef vector c = load(source + 2 * WIDTH), d = load(source + 3 * WIDTH)
    store(target, a)
    store(target + WIDTH, b)
    store(target + 2 * WIDTH, c)
    store(target + 3 * WIDTH, d)


cdef inline bint copy_few(char* target, const char* source, size_t size) noexcept nogil:
    # Up to eight vectors; false for more. The order makes the jumps of each size few: they are half of its time.
    cdef vector a, b, c, d, e, f, g, h
    cdef const char* source_end = source + size
    cdef char* end = target + size
    if not likely(size >= WIDTH):
        copy_short(target, source, size)
    elif likely(size <= 2 * WIDTH):
        copy_ends(<vector*>target, <vector*>source, size)
    elif not likely(size <= 8 * WIDTH):
        return False
    elif likely(size > 4 * WIDTH):
        a, b = load(source), load(source + WIDTH)
        c, d = load(source + 2 * WIDTH), load(source + 3 * WIDTH)
        e, f = load(source_end - 4 * WIDTH), load(source_end - 3 * WIDTH)
        g, h = load(source_end - 2 * WIDTH), load(source_end - WIDTH)
        store(target, a)
        store(target + WIDTH, b)
        store(target + 2 * WIDTH, c)
        store(target + 3 * WIDTH, d)
        store(end - 4 * WIDTH, e)
        store(end - 3 * WIDTH, f)
        store(end - 2 * WIDTH, g)
        store(end - WIDTH, h)
    else:
        a, b = load(source), load(source + WIDTH)
        g, h = load(source_end - 2 * WIDTH), load(source_end - WIDTH)
        store(target, a)
        store(target + WIDTH, b)
        store(end - 2 * WIDTH, g)
        store(end - WIDTH, h)
    return True


cdef void copy_down(char* target, const char* source, size_t size) noexcept nogil:
    # From the first byte to the last: also right for overlapping bytes that move down. More than eight vectors.
    cdef char* end = target + size - 4 * WIDTH
    cdef const char* last = source + size - 4 * WIDTH
    cdef vector head = load(source)
    cdef vector a = load(last), b = load(last + WIDTH), c = load(last + 2 * WIDTH), d = load(last + 3 * WIDTH)
    cdef size_t done = WIDTH - (<uintptr_t>target & (WIDTH - 1))
    cdef char* to = target + done
    source += done
    while to < end:
        copy_quad(to, source)
        to += 4 * WIDTH
        source += 4 * WIDTH
    store(end, a)
    store(end + WIDTH, b)
    store(end + 2 * WIDTH, c)
    store(end + 3 * WIDTH, d)
    store(target, head)


cdef void copy_up(char* target, const char* source, size_t size) noexcept nogil:
    # From the last byte to the first: for overlapping bytes that move up. More than eight vectors.
    cdef vector tail = load(source + size - WIDTH)
    cdef vector a = load(source), b = load(source + WIDTH)
    cdef vector c = load(source + 2 * WIDTH), d = load(source + 3 * WIDTH)
    cdef char* end = target + size
    cdef size_t left = size - ((<uintptr_t>end - 1 & (WIDTH - 1)) + 1)
    while left > 4 * WIDTH:
        left -= 4 * WIDTH
        copy_quad(target + left, source + left)
    store(target, a)
    store(target + WIDTH, b)
    store(target + 2 * WIDTH, c)
    store(target + 3 * WIDTH, d)
    store(end - WIDTH, tail)


cdef void copy_bytes(char* target, const char* source, size_t size) noexcept nogil:
    if not copy_few(target, source, size):
        copy_down(target, source, size)


cdef void move_bytes(char* target, const char* source, size_t size) noexcept nogil:
    if copy_few(target, source, size):
        return
    if <size_t>(target - source) < size:
        copy_up(target, source, size)
    else:
        copy_down(target, source, size)


cdef void stream_bytes(char* target, const char* source, size_t size) noexcept nogil:
    cdef int line
    if copy_few(target, source, size):
        return
    cdef size_t done = WIDTH - (<uintptr_t>target & (WIDTH - 1))
    cdef vector head = load(source)
    store(target, head)
    while size - done >= 4 * WIDTH:
        for line in range(0, 4 * WIDTH, 64):           # cache lines
            prefetch(source + done + PREFETCH_AHEAD + line)
        stream_pair(target + done, load(source + done), load(source + done + WIDTH))
        stream_pair(target + done + 2 * WIDTH, load(source + done + 2 * WIDTH), load(source + done + 3 * WIDTH))
        done += 4 * WIDTH
    end_stream()
    copy_few(target + done, source + done, size - done)


# --- Filling ----------------------------------------------------------------------------------------------------------

cdef inline void fill_ends(item* target, vector* pattern, size_t size) noexcept nogil:
    target[0] = (<item*>pattern)[0]
    (<item*>(<char*>target + size - sizeof(item)))[0] = (<item*>pattern)[0]


cdef inline void fill_short(char* target, vector pattern, size_t size) noexcept nogil:
    # At most two vectors.
    if size >= WIDTH:
        fill_ends(<vector*>target, &pattern, size)
    elif WIDTH > 32 and size >= 32:
        fill_ends(<item32*>target, &pattern, size)
    elif WIDTH > 16 and size >= 16:
        fill_ends(<item16*>target, &pattern, size)
    elif size >= 8:
        fill_ends(<item8*>target, &pattern, size)
    elif size >= 4:
        fill_ends(<item4*>target, &pattern, size)
    elif size >= 2:
        fill_ends(<item2*>target, &pattern, size)
    elif size:
        target[0] = (<char*>&pattern)[0]


cdef void fill_bytes(char* target, int value, size_t size) noexcept nogil:
    cdef vector pattern = splat(value)
    if likely(size <= 2 * WIDTH):
        fill_short(target, pattern, size)
        return
    cdef char* end = target + size - 2 * WIDTH
    store(target, pattern)
    target += WIDTH - (<uintptr_t>target & (WIDTH - 1))
    while target < end:
        store(target, pattern)
        store(target + WIDTH, pattern)
        target += 2 * WIDTH
    store(end, pattern)
    store(end + WIDTH, pattern)


cdef void stream_fill_bytes(char* target, int value, size_t size) noexcept nogil:
    cdef vector pattern = splat(value)
    if size <= 2 * WIDTH:
        fill_short(target, pattern, size)
        return
    cdef char* end = target + size - 2 * WIDTH
    store(target, pattern)
    target += WIDTH - (<uintptr_t>target & (WIDTH - 1))
    while target < end:
        stream_pair(target, pattern, pattern)
        target += 2 * WIDTH
    end_stream()
    store(end, pattern)
    store(end + WIDTH, pattern)


# --- Comparing --------------------------------------------------------------------------------------------------------

cdef inline size_t compare_words(const char* a, const char* b, size_t start, size_t size) noexcept nogil:
    cdef size_t at = start
    cdef uint64_t difference
    while size - at >= 8:
        difference = (<item8*>(a + at))[0] ^ (<item8*>(b + at))[0]
        if difference:
            return at + (lowest_bit(difference) >> 3)      # little-endian, as every host here
        at += 8
    while at < size and a[at] == b[at]:
        at += 1
    return at


cdef size_t compare_bytes(const char* a, const char* b, size_t size) noexcept nogil:
    # The offset of the first byte that differs; size if none does.
    cdef size_t at = 0
    while size - at >= WIDTH:
        if differ(load(a + at), load(b + at)):
            break
        at += WIDTH
    return compare_words(a, b, at, size)
