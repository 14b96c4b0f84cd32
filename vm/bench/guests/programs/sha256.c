/* SHA-256 (FIPS 180-4) of pseudo-random data: rotations and additions in long stretches without a branch. */

#include "bench.h"

#define SIZE (1 << 20)
#define ROUNDS 40
#define EXPECTED 0x2ef2a0a3ef5b79b3

static uint64_t data[SIZE / 8];
static uint32_t constants[64], state[8];

static uint32_t rotate(uint32_t word, int places) {
    return word >> places | word << (32 - places);
}

/* The first 32 bits of the fractional part of `prime`'s root of the given degree: the standard's constants. */
static uint32_t root_fraction(uint64_t prime, int degree) {
    uint64_t root = 0;                          /* of prime << 32 * degree, bit by bit */
    for (uint64_t bit = 1UL << 35; bit > 0; bit >>= 1) {
        unsigned __int128 power = root | bit;
        for (int i = 1; i < degree; i++)
            power *= root | bit;
        if (power <= (unsigned __int128)prime << 32 * degree)
            root |= bit;
    }
    return (uint32_t)root;
}

static void make_constants(void) {
    int count = 0;
    for (uint64_t candidate = 2; count < 64; candidate++) {
        bool prime = true;
        for (uint64_t divisor = 2; divisor * divisor <= candidate; divisor++)
            prime &= candidate % divisor != 0;
        if (!prime)
            continue;
        if (count < 8)
            state[count] = root_fraction(candidate, 2);
        constants[count++] = root_fraction(candidate, 3);
    }
}

static NOINLINE void hash_block(const uint8_t *block) {
    uint32_t words[64], a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
                   block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t early = words[i - 15], late = words[i - 2];
        words[i] = words[i - 16] + words[i - 7] + (rotate(early, 7) ^ rotate(early, 18) ^ early >> 3) +
                   (rotate(late, 17) ^ rotate(late, 19) ^ late >> 10);
    }
    for (int i = 0; i < 64; i++) {
        uint32_t one = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + words[i];
        uint32_t two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
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

int main(void) {
    uint8_t padding[64] = {0x80};
    uint64_t bits = 8UL * SIZE * ROUNDS;
    make_constants();
    for (uint64_t i = 0; i < SIZE / 8; i++)
        data[i] = random_at(i);
    for (int round = 0; round < ROUNDS; round++)
        for (uint64_t i = 0; i < SIZE; i += 64)
            hash_block((const uint8_t *)data + i);
    for (int i = 0; i < 8; i++)
        padding[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
    hash_block(padding);
    return verdict("sha256", (uint64_t)state[0] << 32 | state[1], EXPECTED);
}
