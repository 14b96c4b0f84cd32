/* Matrices of floats: C = A * B as dot products, then by rows, which a vectorising compiler likes better. */

#include "bench.h"

#define N 200
#define ROUNDS 2
#define EXPECTED 0xb9680183a55d3845

static float a[N][N], b[N][N], c[N][N];

static NOINLINE void multiply_by_dot_products(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            float sum = 0;
            for (int k = 0; k < N; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
}

static NOINLINE void add_product_by_rows(void) {
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            for (int j = 0; j < N; j++)
                c[i][j] += a[i][k] * b[k][j];
}

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
