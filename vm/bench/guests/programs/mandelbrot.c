/* The Mandelbrot set on a grid: a loop of multiplications and additions that ends on a floating-point comparison. */

#include "bench.h"

#define WIDTH 400
#define HEIGHT 300
#define LIMIT 800
#define EXPECTED 0x84c0ca5fbddd62dc

static NOINLINE uint32_t iterations(double real, double imaginary) {
    double x = 0, y = 0;
    uint32_t count = 0;
    for (; count < LIMIT; count++) {
        double x_square = x * x, y_square = y * y;
        if (x_square + y_square > 4.0)
            break;
        y = 2.0 * x * y + imaginary;
        x = x_square - y_square + real;
    }
    return count;
}

int main(void) {
    uint64_t result = 0;
    for (int row = 0; row < HEIGHT; row++)
        for (int column = 0; column < WIDTH; column++)
            result = mix(result, iterations(column * 3.0 / WIDTH - 2.25, row * 2.5 / HEIGHT - 1.25));
    return verdict("mandelbrot", result, EXPECTED);
}
