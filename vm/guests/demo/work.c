/* Something worth looking at: the Mandelbrot set, prime numbers, and digits of pi. Integers only. */

#include "demo.h"

#define COLUMNS 76
#define ROWS 26
#define DEPTH 4096
#define FRACTION 28                     /* bits behind the point */
#define FIXED(value) ((int64_t)((value) * (1L << FRACTION)))

static unsigned escape_time(int64_t cx, int64_t cy) {
    int64_t x = 0, y = 0;
    for (unsigned n = 0; n < DEPTH; n++) {
        int64_t xx = x * x >> FRACTION, yy = y * y >> FRACTION;
        if (xx + yy > FIXED(4))
            return n;
        y = (x * y >> (FRACTION - 1)) + cy;
        x = xx - yy + cx;
    }
    return DEPTH;
}

/* Returns the sum of all escape times. A point's colour goes with the logarithm of its own. */
uint64_t mandelbrot(void) {
    static const unsigned char colours[] = {17, 18, 19, 20, 27, 33, 39, 45, 51, 87, 123, 159};
    static const char marks[] = "..:-=+*oO%#@";
    uint64_t sum = 0;
    for (int row = 0; row < ROWS; row++) {
        unsigned colour = 0;
        print("  ");
        for (int column = 0; column < COLUMNS; column++) {
            unsigned time = escape_time(FIXED(-2.1) + column * FIXED(0.0375), FIXED(-1.125) + row * FIXED(0.09));
            unsigned level = 0;
            sum += time;
            while (time >> level > 1)
                level++;
            if (time < DEPTH && colours[level] != colour)
                print("\033[38;5;%um", (uint64_t)(colour = colours[level]));
            console_put(time < DEPTH ? marks[level] : ' ');
        }
        print("\033[0m\n");
    }
    return sum;
}

/* The sieve of Eratosthenes. Returns how many primes there are below LIMIT. */
uint64_t primes(void) {
    enum { LIMIT = 2000000, SHOWN = 20 };
    static bool composite[LIMIT];
    uint64_t count = 0, last = 0;
    print("  primes: ");
    for (uint64_t n = 2; n < LIMIT; n++) {
        if (composite[n])
            continue;
        if (count++ < SHOWN)
            print("%u ", n);
        last = n;
        for (uint64_t multiple = n * n; multiple < LIMIT; multiple += n)
            composite[multiple] = true;
    }
    print("... %u\n", last);
    return count;
}

static uint32_t crc32(const char *bytes, unsigned size) {
    uint32_t crc = ~0u;
    for (unsigned i = 0; i < size; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* Digits of pi, four at a time (the spigot of Rabinowitz and Wagon). Returns the CRC-32 of the decimal digits. */
uint64_t pi(void) {
    enum { DIGITS = 2000, TERMS = DIGITS / 4 * 14, SHOWN = 60 };
    static uint32_t remainder[TERMS + 1];
    static char digits[DIGITS];
    uint64_t carry = 0;
    for (unsigned i = 0; i <= TERMS; i++)
        remainder[i] = 2000;
    for (unsigned done = 0, terms = TERMS; done < DIGITS; done += 4, terms -= 14) {
        uint64_t sum = 0;
        for (uint64_t i = terms; i > 0; i--) {
            sum = sum * i + remainder[i] * 10000UL;
            remainder[i] = (uint32_t)(sum % (2 * i - 1));
            sum /= 2 * i - 1;
        }
        uint64_t group = carry + sum / 10000;
        carry = sum % 10000;
        for (unsigned i = 4; i-- > 0; group /= 10)
            digits[done + i] = (char)('0' + group % 10);
    }
    print("  pi = %c.", digits[0]);
    for (unsigned i = 1; i < SHOWN; i++)
        console_put(digits[i]);
    print("... (%u digits)\n", (uint64_t)DIGITS);
    return crc32(digits, DIGITS);
}
