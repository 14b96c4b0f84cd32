/* What a C compiler may call of its own accord, even in a freestanding program (GCC and clang manuals). */

#include <stddef.h>
#include <stdint.h>

void *memset(void *to, int value, size_t size) {
    unsigned char *byte = to, *end = byte + size;
    uint64_t pattern = 0x0101010101010101UL * (unsigned char)value;
    while (byte < end && (uintptr_t)byte % 8)
        *byte++ = (unsigned char)value;
    for (; byte + 8 <= end; byte += 8)
        *(uint64_t *)byte = pattern;
    while (byte < end)
        *byte++ = (unsigned char)value;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    unsigned char *out = to, *end = out + size;
    const unsigned char *in = from;
    if ((uintptr_t)out % 8 == (uintptr_t)in % 8) {
        while (out < end && (uintptr_t)out % 8)
            *out++ = *in++;
        for (; out + 8 <= end; out += 8, in += 8)
            *(uint64_t *)out = *(const uint64_t *)in;
    }
    while (out < end)
        *out++ = *in++;
    return to;
}
