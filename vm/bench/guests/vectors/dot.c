/* Inner products of signed bytes, summed in 32 bits, as quantised networks ask for. */

#include "vectors.h"

#define COUNT 4096
#define ROUNDS 20000
#define EXPECTED 0x45c740f06a0e975f

static int8_t x[COUNT + 64], y[COUNT];

static NOINLINE int32_t dot(size_t count, const int8_t *one, const int8_t *other) {
#ifdef __riscv_vector
    vint32m8_t sums = __riscv_vmv_v_x_i32m8(0, __riscv_vsetvlmax_e32m8());
    for (size_t vl; count > 0; count -= vl, one += vl, other += vl) {
        vl = __riscv_vsetvl_e8m2(count);
        vint16m4_t products = __riscv_vwmul_vv_i16m4(__riscv_vle8_v_i8m2(one, vl), __riscv_vle8_v_i8m2(other, vl), vl);
        sums = __riscv_vwadd_wv_i32m8_tu(sums, sums, products, vl);
    }
    vint32m1_t zero = __riscv_vmv_s_x_i32m1(0, 1);
    return __riscv_vmv_x_s_i32m1_i32(__riscv_vredsum_vs_i32m8_i32m1(sums, zero, __riscv_vsetvlmax_e32m8()));
#else
    int32_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += one[i] * other[i];
    return sum;
#endif
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t i = 0; i < COUNT + 64; i++)
        x[i] = (int8_t)random_at(i);
    for (uint64_t i = 0; i < COUNT; i++)
        y[i] = (int8_t)random_at(2 * COUNT + i);
    for (uint64_t round = 0; round < ROUNDS; round++)
        result = mix(result, (uint64_t)dot(COUNT - round % 5, x + round % 64, y));
    return verdict("dot", result, EXPECTED);
}
