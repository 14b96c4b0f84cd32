/* Floating point: planets, a matrix, Newton's square root, conversions, comparisons with NaN, in double and single. */
#include <stdint.h>

#define SIZE 10

static double a[SIZE][SIZE], b[SIZE][SIZE];
static float single[SIZE];

static double root(double x) {
    double guess = x > 1 ? x / 2 : 1;
    for (int i = 0; i < 12; i++)
        guess = 0.5 * (guess + x / guess);
    return guess;
}

static uint64_t bits(double x) {
    union { double d; uint64_t u; } word = {.d = x};
    return word.u;
}

uint64_t main(void) {
    double position[3][2] = {{1, 0}, {-0.5, 0.86}, {-0.5, -0.86}}, speed[3][2] = {{0, 1}, {-0.86, -0.5}, {0.86, -0.5}};
    uint64_t sum = 0;
    for (int step = 0; step < 25; step++) {
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                if (i == j)
                    continue;
                double x = position[j][0] - position[i][0], y = position[j][1] - position[i][1];
                double square = x * x + y * y + 0.01, force = 0.01 / (square * root(square));
                speed[i][0] += force * x;
                speed[i][1] += force * y;
            }
        for (int i = 0; i < 3; i++)
            for (int axis = 0; axis < 2; axis++)
                position[i][axis] += 0.01 * speed[i][axis];
        sum = sum * 31 + bits(position[step % 3][step & 1]);
    }
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            a[i][j] = (i * 7 + j * 3) % 11 / 3.0;
            b[i][j] = (double)(i - j) / (i + j + 1);
        }
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            double dot = 0;
            for (int k = 0; k < SIZE; k++)
                dot += a[i][k] * b[k][j];
            single[j] += (float)dot * 0.1f;
            sum ^= bits(dot) + (uint64_t)(int64_t)(dot * 1e3) + (uint32_t)(int32_t)dot;
        }
    volatile double zero = 0;
    double nan = zero / zero, infinity = 1 / zero, tiny = 5e-324;
    sum += (uint64_t)((nan < 1) + 2 * (nan == nan) + 4 * (infinity > 1e308) + 8 * (tiny / 2 == 0) + 16 * (-zero == 0));
    for (int i = 0; i < SIZE; i++) {
        sum = sum * 33 + (uint64_t)(int64_t)(single[i] * 65536.0f) + (single[i] < 0 ? 1 : 0);
        sum += bits((double)single[i] * (double)(uint64_t)(sum >> (i + 1)) + (double)(float)(int32_t)sum);
    }
    return sum;
}
