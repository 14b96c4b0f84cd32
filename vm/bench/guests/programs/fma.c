/* Fused multiply-add: a filter of 32 taps over a signal, and polynomials by Horner's rule, in both precisions. */

#include "bench.h"

#define SAMPLES 4096
#define TAPS 32
#define DEGREE 15
#define ROUNDS 300
#define EXPECTED 0x8fc192662ad231d0

static double signal[SAMPLES + TAPS], filtered[SAMPLES], taps[TAPS];
static float coefficients[DEGREE + 1];

static NOINLINE void filter(void) {
    for (int i = 0; i < SAMPLES; i++) {
        double sum = 0;
        for (int tap = 0; tap < TAPS; tap++)
            sum = __builtin_fma(signal[i + tap], taps[tap], sum);
        filtered[i] = sum;
    }
}

static NOINLINE float horner(float x) {
    float sum = coefficients[DEGREE];
    for (int power = DEGREE; power-- > 0;)
        sum = __builtin_fmaf(sum, x, coefficients[power]);
    return sum;
}

int main(void) {
    uint64_t result = 0;
    for (uint64_t i = 0; i < SAMPLES + TAPS; i++)
        signal[i] = fraction_at(i);
    for (uint64_t i = 0; i < TAPS; i++)
        taps[i] = fraction_at(10000 + i) / 8;
    for (uint64_t i = 0; i <= DEGREE; i++)
        coefficients[i] = (float)fraction_at(20000 + i);
    for (int round = 0; round < ROUNDS; round++) {
        filter();
        for (int i = 0; i < SAMPLES; i++) {
            signal[i] = filtered[i] + horner((float)signal[i]) / 16;
            result = mix(result, bits_of(signal[i]));
        }
    }
    return verdict("fma", result, EXPECTED);
}
