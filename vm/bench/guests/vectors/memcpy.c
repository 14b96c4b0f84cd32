/* Copies of 16 bytes to 64 KiB, aligned alike and not. Without vectors, by the memcpy() that is linked. */

#include "vectors.h"

#define SIZE (1 << 16)
#define ROUNDS 150
#define BYTES_PER_SIZE (1 << 18)
#define EXPECTED 0xc8572c29069b5937

static uint8_t from[SIZE + 64], to[SIZE + 64];

static NOINLINE void copy(uint8_t *out, const uint8_t *in, size_t size) {
#ifdef __riscv_vector
    for (size_t vl; size > 0; size -= vl, in += vl, out += vl) {
        vl = __riscv_vsetvl_e8m8(size);
        __riscv_vse8_v_u8m8(out, __riscv_vle8_v_u8m8(in, vl), vl);
    }
#else
    memcpy(out, in, size);
#endif
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)random_at(i);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t size = 16; size <= SIZE; size *= 8)
            for (uint64_t i = 0; i < BYTES_PER_SIZE / size; i++) {
                uint64_t offset = i * size % SIZE;
                copy(to + offset, from + (SIZE - size - offset) % SIZE, size);
            }
        copy(to + round % 13, from + round % 64, 5000);
        result = mix(result, checksum((const uint32_t *)to, 512));
    }
    return verdict("memcpy", result, EXPECTED);
}
