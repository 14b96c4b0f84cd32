/* What a benchmark program may use: print() and power_off() from the common sources, and the helpers below. */
#ifndef BENCH_H
#define BENCH_H

#include "platform.h"

/* The `index`th value of the splitmix64 generator from seed 0 (Steele, Lea and Flood 2014). Counting, not chained:
 * the tests compute the same data in one NumPy expression. */
static inline uint64_t random_at(uint64_t index) {
    uint64_t z = (index + 1) * 0x9e3779b97f4a7c15UL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
    return z ^ z >> 31;
}

/* Position-dependent sum, so that a wrong order shows. */
static inline uint64_t checksum(const uint32_t *words, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += (i + 1) * words[i];
    return sum;
}

/* Print one line; the result of main(). */
static inline int verdict(const char *name, uint64_t result, uint64_t expected) {
    print("%s %016x %s\n", name, result, result == expected ? "ok" : "WRONG");
    return result == expected ? 0 : 1;
}

#endif
