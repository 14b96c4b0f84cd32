/* y = a * x + y in double precision, multiplied and added with one rounding. */

#include "vectors.h"

#define COUNT 4096
#define ROUNDS 6000
#define EXPECTED 0x2058a3bc8824d647

static double x[COUNT], y[COUNT];

static NOINLINE void axpy(size_t count, double a, const double *in, double *out) {
#ifdef __riscv_vector
    for (size_t vl; count > 0; count -= vl, in += vl, out += vl) {
        vl = __riscv_vsetvl_e64m8(count);
        vfloat64m8_t sum = __riscv_vle64_v_f64m8(out, vl);
        __riscv_vse64_v_f64m8(out, __riscv_vfmacc_vf_f64m8(sum, a, __riscv_vle64_v_f64m8(in, vl), vl), vl);
    }
#else
    for (size_t i = 0; i < count; i++)
        out[i] = __builtin_fma(a, in[i], out[i]);
#endif
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        x[i] = fraction_at(i);
        y[i] = fraction_at(COUNT + i);
    }
    for (uint64_t round = 0; round < ROUNDS; round++)
        axpy(COUNT - round % 16, fraction_at(round), x, y);
    for (uint64_t i = 0; i < COUNT; i++)
        result = mix(result, bits_of(y[i]));
    return verdict("axpy", result, EXPECTED);
}
