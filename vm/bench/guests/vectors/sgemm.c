/* A product of matrices in single precision, multiplied and added with one rounding, in the order of k. */

#include "vectors.h"

#define SIZE 192
#define ROUNDS 10
#define EXPECTED 0xae9f2266b13415e6

static float a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

/* Four rows of c at a time, as long as the registers are. */
static NOINLINE void multiply(void) {
    for (size_t i = 0; i < SIZE; i += 4) {
#ifdef __riscv_vector
        for (size_t j = 0, vl; j < SIZE; j += vl) {
            vl = __riscv_vsetvl_e32m4(SIZE - j);
            vfloat32m4_t sum0 = __riscv_vle32_v_f32m4(&c[i][j], vl), sum1 = __riscv_vle32_v_f32m4(&c[i + 1][j], vl);
            vfloat32m4_t sum2 = __riscv_vle32_v_f32m4(&c[i + 2][j], vl), sum3 = __riscv_vle32_v_f32m4(&c[i + 3][j], vl);
            for (size_t k = 0; k < SIZE; k++) {
                vfloat32m4_t row = __riscv_vle32_v_f32m4(&b[k][j], vl);
                sum0 = __riscv_vfmacc_vf_f32m4(sum0, a[i][k], row, vl);
                sum1 = __riscv_vfmacc_vf_f32m4(sum1, a[i + 1][k], row, vl);
                sum2 = __riscv_vfmacc_vf_f32m4(sum2, a[i + 2][k], row, vl);
                sum3 = __riscv_vfmacc_vf_f32m4(sum3, a[i + 3][k], row, vl);
            }
            __riscv_vse32_v_f32m4(&c[i][j], sum0, vl);
            __riscv_vse32_v_f32m4(&c[i + 1][j], sum1, vl);
            __riscv_vse32_v_f32m4(&c[i + 2][j], sum2, vl);
            __riscv_vse32_v_f32m4(&c[i + 3][j], sum3, vl);
        }
#else
        for (size_t k = 0; k < SIZE; k++)
            for (size_t j = 0; j < SIZE; j++) {
                c[i][j] = __builtin_fmaf(a[i][k], b[k][j], c[i][j]);
                c[i + 1][j] = __builtin_fmaf(a[i + 1][k], b[k][j], c[i + 1][j]);
                c[i + 2][j] = __builtin_fmaf(a[i + 2][k], b[k][j], c[i + 2][j]);
                c[i + 3][j] = __builtin_fmaf(a[i + 3][k], b[k][j], c[i + 3][j]);
            }
#endif
    }
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t i = 0; i < SIZE * SIZE; i++) {
        (&a[0][0])[i] = (float)fraction_at(i);
        (&b[0][0])[i] = (float)fraction_at(SIZE * SIZE + i);
    }
    for (uint64_t round = 0; round < ROUNDS; round++)
        multiply();
    for (uint64_t i = 0; i < SIZE * SIZE; i++)
        result = mix(result, bits_of((&c[0][0])[i]));
    return verdict("sgemm", result, EXPECTED);
}
