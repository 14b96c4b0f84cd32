/* SHA-256 (FIPS 180-4) by the instructions that there are for it: Zvknha with vectors, without them those of Zknh. */

#include "vectors.h"

#ifdef __riscv_zknh
#include <riscv_crypto.h>
#endif

#define SIZE (1 << 16)
#define ROUNDS 150
#define EXPECTED 0x9e3b0f244b49a290

static uint32_t data[SIZE / 4];

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#ifdef __riscv_zvknha
/* f, e, b, a and h, g, d, c, from the first element on: how the instructions want them. */
static uint32_t state[8] = {0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667,
                            0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372};
#define WORD_A state[3]
#define WORD_B state[2]

static NOINLINE void hash(const uint32_t *block, size_t blocks) {
    size_t vl = __riscv_vsetvl_e32m1(4);
    vbool32_t first = __riscv_vmseq_vx_u32m1_b32(__riscv_vid_v_u32m1(vl), 0, vl);
    vuint32m1_t feba = __riscv_vle32_v_u32m1(state, vl), hgdc = __riscv_vle32_v_u32m1(state + 4, vl);
    for (; blocks > 0; blocks--, block += 16) {
        vuint32m1_t feba_before = feba, hgdc_before = hgdc;
        vuint32m1_t words0 = __riscv_vrev8_v_u32m1(__riscv_vle32_v_u32m1(block, vl), vl);
        vuint32m1_t words1 = __riscv_vrev8_v_u32m1(__riscv_vle32_v_u32m1(block + 4, vl), vl);
        vuint32m1_t words2 = __riscv_vrev8_v_u32m1(__riscv_vle32_v_u32m1(block + 8, vl), vl);
        vuint32m1_t words3 = __riscv_vrev8_v_u32m1(__riscv_vle32_v_u32m1(block + 12, vl), vl);
        for (int i = 0; i < 64; i += 4) {
            vuint32m1_t sums = __riscv_vadd_vv_u32m1(words0, __riscv_vle32_v_u32m1(constants + i, vl), vl);
            hgdc = __riscv_vsha2cl_vv_u32m1(hgdc, feba, sums, vl);
            feba = __riscv_vsha2ch_vv_u32m1(feba, hgdc, sums, vl);
            vuint32m1_t next = __riscv_vmerge_vvm_u32m1(words2, words1, first, vl);
            next = __riscv_vsha2ms_vv_u32m1(words0, next, words3, vl);
            words0 = words1;
            words1 = words2;
            words2 = words3;
            words3 = next;
        }
        feba = __riscv_vadd_vv_u32m1(feba, feba_before, vl);
        hgdc = __riscv_vadd_vv_u32m1(hgdc, hgdc_before, vl);
    }
    __riscv_vse32_v_u32m1(state, feba, vl);
    __riscv_vse32_v_u32m1(state + 4, hgdc, vl);
}
#else
static uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                            0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
#define WORD_A state[0]
#define WORD_B state[1]

#ifdef __riscv_zknh
#define SMALL_0 __riscv_sha256sig0
#define SMALL_1 __riscv_sha256sig1
#define LARGE_0 __riscv_sha256sum0
#define LARGE_1 __riscv_sha256sum1
#else
static inline uint32_t rotate(uint32_t word, int places) {
    return word >> places | word << (32 - places);
}
#define SMALL_0(word) (rotate(word, 7) ^ rotate(word, 18) ^ word >> 3)
#define SMALL_1(word) (rotate(word, 17) ^ rotate(word, 19) ^ word >> 10)
#define LARGE_0(word) (rotate(word, 2) ^ rotate(word, 13) ^ rotate(word, 22))
#define LARGE_1(word) (rotate(word, 6) ^ rotate(word, 11) ^ rotate(word, 25))
#endif

static NOINLINE void hash(const uint32_t *block, size_t blocks) {
    for (; blocks > 0; blocks--, block += 16) {
        uint32_t words[64], a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 16; i++)
            words[i] = __builtin_bswap32(block[i]);
        for (int i = 16; i < 64; i++)
            words[i] = words[i - 16] + words[i - 7] + SMALL_0(words[i - 15]) + SMALL_1(words[i - 2]);
        for (int i = 0; i < 64; i++) {
            uint32_t one = h + LARGE_1(e) + ((e & f) ^ (~e & g)) + constants[i] + words[i];
            uint32_t two = LARGE_0(a) + ((a & b) ^ (a & c) ^ (b & c));
            h = g;
            g = f;
            f = e;
            e = d + one;
            d = c;
            c = b;
            b = a;
            a = one + two;
        }
        const uint32_t results[8] = {a, b, c, d, e, f, g, h};
        for (int i = 0; i < 8; i++)
            state[i] += results[i];
    }
}
#endif

int main(void) {
    uint32_t padding[16] = {0x80};
    for (uint64_t i = 0; i < SIZE / 4; i++)
        data[i] = (uint32_t)random_at(i);
    for (int round = 0; round < ROUNDS; round++)
        hash(data, SIZE / 64);
    padding[15] = __builtin_bswap32(8U * SIZE * ROUNDS);
    hash(padding, 1);
    return verdict("sha256", (uint64_t)WORD_A << 32 | WORD_B, EXPECTED);
}
