/* Division, square roots and conversions: vectors normalised in both precisions, roots by Newton's method, and
 * coordinates rounded to a grid. */

#include "bench.h"

#define VECTORS 4096
#define ROUNDS 500
#define EXPECTED 0xb151eb90e932d54f

static double vectors[VECTORS][3];
static uint32_t grid[64];

static NOINLINE void normalise(double *vector) {
    double length = __builtin_sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]);
    for (int axis = 0; axis < 3; axis++)
        vector[axis] = length > 0x1p-40 ? vector[axis] / length : 0.5;
}

static NOINLINE float normalise_single(float x, float y) {
    return x / __builtin_sqrtf(x * x + y * y + 1.0f);
}

static NOINLINE double newton_root(double value) {
    double guess = value > 1.0 ? value : 1.0;
    for (int step = 0; step < 6; step++)
        guess = 0.5 * (guess + value / guess);
    return guess;
}

static NOINLINE void count(const double *vector) {
    int x = (int)(vector[0] * 3.5 + 4.0), y = (int)(vector[1] * 3.5 + 4.0);
    grid[(unsigned)(x * 8 + y) % 64] += 1;
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t i = 0; i < VECTORS * 3; i++)
        vectors[i / 3][i % 3] = fraction_at(i);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < VECTORS; i++) {
            double *vector = vectors[i];
            normalise(vector);
            count(vector);
            double turned = (double)normalise_single((float)vector[0], (float)vector[1]);
            vector[0] = vector[1] + 0.25 * turned;
            vector[1] = vector[2] - (double)(round % 7) / (double)(i % 11 + 1);
            vector[2] = newton_root(vector[0] * vector[0] + 0.125);
            result = mix(result, bits_of(vector[0]) ^ bits_of(vector[2]));
        }
    return verdict("divsqrt", mix(result, checksum(grid, 64)), EXPECTED);
}
