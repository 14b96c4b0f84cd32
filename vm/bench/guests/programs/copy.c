/* Copies of 8 bytes to 256 KiB, by the memcpy() that is linked, aligned alike and not. */

#include "bench.h"

#define SIZE (1 << 18)
#define ROUNDS 48
#define BYTES_PER_SIZE (1 << 21)
#define EXPECTED 0x4350e28abb70dce9

static uint64_t from[SIZE / 8 + 8], to[SIZE / 8 + 8];

/* Neither the pointers nor the size are known to the compiler. */
static NOINLINE void copy(void *out, const void *in, size_t size) {
    memcpy(out, in, size);
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t i = 0; i < SIZE / 8 + 8; i++)
        from[i] = random_at(i);
    for (uint64_t round = 0; round < ROUNDS; round++)
        for (uint64_t size = 8; size <= SIZE; size *= 4) {
            for (uint64_t i = 0; i < BYTES_PER_SIZE / size; i++) {
                uint64_t offset = i * size % SIZE;
                copy((uint8_t *)to + offset, (uint8_t *)from + (SIZE - size - offset) % SIZE, size);
            }
            copy((uint8_t *)to + 3, (uint8_t *)from + size % 8 + 1, size < 4096 ? size : 4096);
            result = mix(result, checksum((uint32_t *)to, SIZE / 256));
            from[random_at(round) % (SIZE / 8)] ^= result;
        }
    return verdict("copy", result ^ checksum((uint32_t *)to, SIZE / 4), EXPECTED);
}
