/* Matrices of floats: C = A * B as dot products, then by rows, which a vectorising compiler likes better. */

#define ELEMENT float
#define N 200
#define ROUNDS 2
#define EXPECTED 0xb9680183a55d3845

#include "matrices.h"

int main(void) {
    uint64_t result = 0;
    for (int i = 0; i < N * N; i++) {
        a[i / N][i % N] = (float)fraction_at((uint64_t)i);
        b[i / N][i % N] = (float)fraction_at((uint64_t)(N * N + i));
    }
    for (int round = 0; round < ROUNDS; round++) {
        multiply_by_dot_products();
        add_product_by_rows();
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                result = mix(result, bits_of(c[i][j]));
                a[i][j] = c[i][j] / N;
            }
    }
    return verdict("matmul_single", result, EXPECTED);
}
