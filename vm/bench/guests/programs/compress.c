/* Compression by references to earlier text (Lempel and Ziv 1977, found through a hash of four bytes, tokens in the
 * manner of LZ4), then decompression and comparison. The text is words drawn from a small vocabulary. */

#include "bench.h"

#define SIZE (1 << 20)
#define HASH_BITS 13
#define SHORTEST 4
#define ROUNDS 24
#define EXPECTED 0x4992a1b3df0080e6

static uint8_t text[SIZE], packed[SIZE + SIZE / 64 + 64], unpacked[SIZE];
static uint32_t table[1 << HASH_BITS];

static void write_text(uint64_t seed) {
    for (uint64_t i = 0, word = seed; i < SIZE; word++) {
        uint64_t pick = random_at(word), letters = random_at(pick % 512);
        for (uint64_t length = 2 + pick % 512 % 9; length > 0 && i < SIZE; length--, letters /= 26)
            text[i++] = (uint8_t)('a' + letters % 26);
        if (i < SIZE)
            text[i++] = pick >> 60 ? ' ' : '\n';
    }
}

static uint32_t four_bytes(const uint8_t *from) {
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static uint8_t *put_length(uint8_t *out, uint64_t length) {
    for (; length >= 255; length -= 255)
        *out++ = 255;
    *out++ = (uint8_t)length;
    return out;
}

/* Literals, then a match: both lengths, the literals, the distance. A distance of zero ends the stream. */
static uint8_t *put_sequence(uint8_t *out, const uint8_t *literals, uint64_t count, uint64_t match, uint64_t distance) {
    out = put_length(out, count);
    out = put_length(out, match);
    memcpy(out, literals, count);
    out += count;
    *out++ = (uint8_t)distance;
    *out++ = (uint8_t)(distance >> 8);
    return out;
}

static NOINLINE uint64_t compress(void) {
    uint8_t *out = packed;
    uint64_t literals = 0, here = 0;
    for (uint64_t i = 0; i < 1 << HASH_BITS; i++)
        table[i] = 0;
    while (here + SHORTEST < SIZE) {
        uint32_t bytes = four_bytes(text + here), slot = bytes * 2654435761u >> (32 - HASH_BITS);
        uint64_t candidate = table[slot];
        table[slot] = (uint32_t)here;
        if (candidate >= here || here - candidate > 0xffff || four_bytes(text + candidate) != bytes) {
            here++;
            continue;
        }
        uint64_t length = SHORTEST;
        while (here + length < SIZE && text[candidate + length] == text[here + length])
            length++;
        out = put_sequence(out, text + literals, here - literals, length, here - candidate);
        here += length;
        literals = here;
    }
    return (uint64_t)(put_sequence(out, text + literals, SIZE - literals, 0, 0) - packed);
}

static const uint8_t *get_length(const uint8_t *in, uint64_t *length) {
    for (*length = 0; *in == 255; in++)
        *length += 255;
    *length += *in++;
    return in;
}

static NOINLINE uint64_t decompress(void) {
    const uint8_t *in = packed;
    uint8_t *out = unpacked;
    for (;;) {
        uint64_t literals, match;
        in = get_length(in, &literals);
        in = get_length(in, &match);
        memcpy(out, in, literals);
        in += literals;
        out += literals;
        uint64_t distance = in[0] | (uint64_t)in[1] << 8;
        in += 2;
        if (distance == 0)
            return (uint64_t)(out - unpacked);
        for (; match > 0; match--, out++)
            *out = *(out - distance);
    }
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        write_text(round << 32);
        result = mix(result, compress());
        result = mix(result, decompress());
        for (uint64_t i = 0; i < SIZE; i++)
            if (text[i] != unpacked[i])
                return verdict("compress", i, EXPECTED);
    }
    return verdict("compress", result, EXPECTED);
}
