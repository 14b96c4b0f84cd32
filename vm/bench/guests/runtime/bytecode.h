/* A stack machine in bytecode, and a program for it: the longest Collatz sequence below a bound.
 *
 * A program that includes this defines run(), which executes `code` until HALT and returns what is on top. */
#ifndef BYTECODE_H
#define BYTECODE_H

#include "bench.h"

enum { HALT, PUSH, GET, SET, ADD, MULTIPLY, HALVE, ODD, LESS, JUMP, JUMP_IF_ZERO, OPCODES };

#define LOCALS 8
#define STACK 32
#define BOUND 20000
#define LONGEST 278             /* steps of 17,647, the longest below 20,000 */

static const uint8_t code[] = {
    /* locals: 0 start, 1 value, 2 length, 3 longest, 4 bound */
    PUSH, 1, SET, 0,
    /*  4 next start */ GET, 0, GET, 4, LESS, JUMP_IF_ZERO, 77,
    /* 11 */            GET, 0, SET, 1, PUSH, 0, SET, 2,
    /* 19 next value */ PUSH, 1, GET, 1, LESS, JUMP_IF_ZERO, 57, GET, 1, ODD, JUMP_IF_ZERO, 43,
    /* 31 odd */        GET, 1, PUSH, 3, MULTIPLY, PUSH, 1, ADD, SET, 1, JUMP, 48,
    /* 43 even */       GET, 1, HALVE, SET, 1,
    /* 48 count */      GET, 2, PUSH, 1, ADD, SET, 2, JUMP, 19,
    /* 57 at 1 */       GET, 3, GET, 2, LESS, JUMP_IF_ZERO, 68, GET, 2, SET, 3,
    /* 68 */            GET, 0, PUSH, 1, ADD, SET, 0, JUMP, 4,
    /* 77 done */       GET, 3, HALT,
};

static uint64_t stack[STACK], locals[LOCALS];

static uint64_t run(void);

static inline int benchmark(const char *name) {
    locals[4] = BOUND;
    return verdict(name, run(), LONGEST);
}

#endif
