/* Calls: Fibonacci, Ackermann and Takeuchi functions by their definitions, and the queens on a board. */

#include "bench.h"

#define EXPECTED 0x843969b99fe9d468

static NOINLINE uint64_t fibonacci(uint64_t n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static NOINLINE uint64_t ackermann(uint64_t m, uint64_t n) {
    if (m == 0)
        return n + 1;
    if (n == 0)
        return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

static NOINLINE int takeuchi(int x, int y, int z) {
    if (y >= x)
        return z;
    return takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y));
}

static NOINLINE uint64_t queens(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
    if (columns == all)
        return 1;
    uint64_t solutions = 0;
    for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
        uint32_t place = free & -free;
        solutions += queens(all, columns | place, (left | place) << 1, (right | place) >> 1);
    }
    return solutions;
}

int main(void) {
    uint64_t result = fibonacci(36);
    result = mix(result, ackermann(2, 500));
    result = mix(result, (uint64_t)takeuchi(18, 12, 6));
    result = mix(result, queens((1 << 10) - 1, 0, 0, 0));
    return verdict("recursion", result, EXPECTED);
}
