/* Integer matrices: C = A * B for 32-bit elements, the plain three loops, then with the inner two exchanged. */

#define ELEMENT uint32_t
#define N 400                           /* 160 pages a matrix */
#define ROUNDS 3                        /* odd: equal results cancel in pairs */
#define EXPECTED 0x003fb0b24ec6b85a

#include "matrices.h"

int main(void) {
    for (int i = 0; i < N * N; i++) {
        a[i / N][i % N] = (uint32_t)random_at((uint64_t)i);
        b[i / N][i % N] = (uint32_t)random_at((uint64_t)(N * N + i));
    }
    uint64_t result = 0;
    for (int round = 0; round < ROUNDS; round++) {
        multiply_by_dot_products();
        result ^= checksum(&c[0][0], N * N);
        add_product_by_rows();
        result ^= checksum(&c[0][0], N * N);
    }
    return verdict("matmul", result, EXPECTED);
}
