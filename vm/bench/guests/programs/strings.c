/* String search in a text of four letters: the naive way and by Horspool's (1980), and word counting by comparison. */

#include "bench.h"

#define SIZE (1 << 18)
#define ROUNDS 48
#define EXPECTED 0x11f8667a4419d13b

static uint8_t text[SIZE + 1];

static NOINLINE uint64_t count_naive(const uint8_t *needle) {
    uint64_t found = 0;
    for (const uint8_t *start = text; *start; start++) {
        const uint8_t *here = start, *want = needle;
        while (*want && *here == *want)
            here++, want++;
        found += !*want;
    }
    return found;
}

static NOINLINE uint64_t count_horspool(const uint8_t *needle, uint64_t length) {
    uint64_t shift[256], found = 0;
    for (int i = 0; i < 256; i++)
        shift[i] = length;
    for (uint64_t i = 0; i + 1 < length; i++)
        shift[needle[i]] = length - 1 - i;
    for (uint64_t end = length - 1; end < SIZE; end += shift[text[end]]) {
        uint64_t back = 0;
        while (back < length && text[end - back] == needle[length - 1 - back])
            back++;
        found += back == length;
    }
    return found;
}

static NOINLINE int compare(const uint8_t *one, const uint8_t *other) {
    while (*one && *one == *other)
        one++, other++;
    return *one - *other;
}

static NOINLINE uint64_t count_rising(void) {
    uint64_t rising = 0;
    for (uint64_t i = 0; i + 64 < SIZE; i += 4)
        rising += compare(text + i, text + i + 37) < 0;
    return rising;
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t i = 0; i < SIZE; i++)
        text[i] = "acgt"[random_at(i) >> 62];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint8_t needle[13] = {0};
        for (uint64_t length = 2; length <= 12; length += 5) {
            memcpy(needle, text + random_at(SIZE + round) % (SIZE - 16), length);
            result = mix(result, count_naive(needle));
            result = mix(result, count_horspool(needle, length));
        }
        result = mix(result, count_rising());
        text[random_at(2 * SIZE + round) % SIZE] = 'n';
    }
    return verdict("strings", result, EXPECTED);
}
