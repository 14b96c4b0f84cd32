/* What a benchmark program may use. Compiled for the host, the same source is the reference and the native peer. */
#ifndef BENCH_H
#define BENCH_H

#if !__STDC_HOSTED__
#include "platform.h"
#else
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#endif

#define NOINLINE __attribute__((noinline))

void *memcpy(void *restrict to, const void *restrict from, size_t size);

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

/* A result into a running hash: FNV-1a on whole words. */
static inline uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x100000001b3UL;
    return hash ^ hash >> 29;
}

/* Floating point counts by its bits: IEEE 754 leaves no choice to the operations that the programs use. */
static inline uint64_t bits_of(double value) {
    uint64_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A pseudo-random number in [-1, 1), exact in double and (24 bits) single precision. */
static inline double fraction_at(uint64_t index) {
    return (double)(int64_t)(random_at(index) >> 40) * 0x1p-23 - 1.0;
}

/* Print one line; the result of main(). */
static inline int verdict(const char *name, uint64_t result, uint64_t expected) {
    const char *judgement = result == expected ? "ok" : "WRONG";
#if !__STDC_HOSTED__
    print("%s %016x %s\n", name, result, judgement);
#else
    printf("%s %016" PRIx64 " %s\n", name, result, judgement);
#endif
    return result == expected ? 0 : 1;
}

#endif
