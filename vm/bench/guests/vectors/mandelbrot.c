/* The Mandelbrot set in single precision, with vectors a row of points at a time. */

#include "vectors.h"

#define WIDTH 256
#define HEIGHT 400
#define LIMIT 400
#define EXPECTED 0xe74c4d0865aca081

#ifdef __AVX2__
#define LANES 16                /* points that a compiler can move at once */
#else
#define LANES 1
#endif

static uint32_t counts[WIDTH];

/* How often each point of a row is moved before it is further than 2 from the origin. */
static NOINLINE void iterate_row(float left, float step, float imaginary) {
#ifdef __riscv_vector
    for (size_t done = 0, vl; done < WIDTH; done += vl) {
        vl = __riscv_vsetvl_e32m4(WIDTH - done);
        vuint32m4_t places = __riscv_vadd_vx_u32m4(__riscv_vid_v_u32m4(vl), (uint32_t)done, vl);
        vfloat32m4_t real = __riscv_vfmul_vf_f32m4(__riscv_vfcvt_f_xu_v_f32m4(places, vl), step, vl);
        real = __riscv_vfadd_vf_f32m4(real, left, vl);
        vfloat32m4_t x = __riscv_vfmv_v_f_f32m4(0, vl), y = x;
        vuint32m4_t count = __riscv_vmv_v_x_u32m4(0, vl);
        for (uint32_t turn = 0; turn < LIMIT; turn++) {
            vfloat32m4_t x_square = __riscv_vfmul_vv_f32m4(x, x, vl), y_square = __riscv_vfmul_vv_f32m4(y, y, vl);
            vbool8_t inside = __riscv_vmfle_vf_f32m4_b8(__riscv_vfadd_vv_f32m4(x_square, y_square, vl), 4, vl);
            if (__riscv_vfirst_m_b8(inside, vl) < 0)
                break;
            count = __riscv_vadd_vx_u32m4_mu(inside, count, count, 1, vl);
            vfloat32m4_t product = __riscv_vfmul_vv_f32m4(__riscv_vfadd_vv_f32m4(x, x, vl), y, vl);
            y = __riscv_vfadd_vf_f32m4_mu(inside, y, product, imaginary, vl);
            x = __riscv_vfadd_vv_f32m4_mu(inside, x, __riscv_vfsub_vv_f32m4(x_square, y_square, vl), real, vl);
        }
        __riscv_vse32_v_u32m4(counts + done, count, vl);
    }
#else
    for (size_t done = 0; done < WIDTH; done += LANES) {
        float real[LANES], x[LANES] = {0}, y[LANES] = {0};
        uint32_t count[LANES] = {0}, inside = 1;
        for (size_t i = 0; i < LANES; i++)
            real[i] = (float)(done + i) * step + left;
        for (uint32_t turn = 0; turn < LIMIT && inside; turn++) {
            inside = 0;
            for (size_t i = 0; i < LANES; i++) {
                float x_square = x[i] * x[i], y_square = y[i] * y[i];
                bool is_inside = x_square + y_square <= 4.0f;
                float product = (x[i] + x[i]) * y[i];
                count[i] += is_inside;
                y[i] = is_inside ? product + imaginary : y[i];
                x[i] = is_inside ? x_square - y_square + real[i] : x[i];
                inside |= is_inside;
            }
        }
        for (size_t i = 0; i < LANES; i++)
            counts[done + i] = count[i];
    }
#endif
}

int main(void) {
    uint64_t result = 0;
    for (int row = 0; row < HEIGHT; row++) {
        iterate_row(-2.25f, 3.0f / WIDTH, (float)row * (2.5f / HEIGHT) - 1.25f);
        result = mix(result, checksum(counts, WIDTH));
    }
    return verdict("mandelbrot", result, EXPECTED);
}
