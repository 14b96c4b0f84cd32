/* Matrices of N rows of N: C = A * B as dot products, and added by rows, which a vectorising compiler likes better.
   Whoever includes this has defined N and ELEMENT, the type. */

#ifndef MATRICES_H
#define MATRICES_H

#include "bench.h"

static ELEMENT a[N][N], b[N][N], c[N][N];

static NOINLINE void multiply_by_dot_products(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            ELEMENT sum = 0;
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

#endif
