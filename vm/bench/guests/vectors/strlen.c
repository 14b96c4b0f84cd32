/* Lengths of strings of 8 bytes to 4 KiB. Without vectors, by words of eight bytes. */

#include "vectors.h"

#define SIZE (1 << 18)
#define ROUNDS 400
#define EXPECTED 0xf50b889ad4cd93cb

static char text[SIZE] __attribute__((aligned(8)));

static NOINLINE size_t length(const char *string) {
#ifdef __riscv_vector
    const uint8_t *at = (const uint8_t *)string;
    for (;;) {
        size_t vl = __riscv_vsetvlmax_e8m8();
        vuint8m8_t bytes = __riscv_vle8ff_v_u8m8(at, &vl, vl);
        long first = __riscv_vfirst_m_b1(__riscv_vmseq_vx_u8m8_b1(bytes, 0, vl), vl);
        if (first >= 0)
            return (size_t)(at - (const uint8_t *)string) + (size_t)first;
        at += vl;
    }
#else
    const char *at = string;
    for (; (uintptr_t)at % 8; at++)
        if (*at == 0)
            return (size_t)(at - string);
    for (;; at += 8) {
        uint64_t word = *(const uint64_t *)at;
        if ((word - 0x0101010101010101) & ~word & 0x8080808080808080)
            break;
    }
    while (*at)
        at++;
    return (size_t)(at - string);
#endif
}

int main(void) {
    uint64_t result = 0, place = 0;
    for (uint64_t i = 0; i < SIZE; i++)
        text[i] = (char)(random_at(i) % 255 + 1);
    for (uint64_t i = 0; (place += 8 + ((random_at(i) & 0xfff) >> random_at(i) % 9)) < SIZE; i++)
        text[place] = 0;
    text[SIZE - 1] = 0;
    for (uint64_t round = 0; round < ROUNDS; round++)
        for (place = round % 64; place < SIZE; place++) {
            size_t found = length(text + place);
            result = mix(result, found);
            place += found;
        }
    return verdict("strlen", result, EXPECTED);
}
