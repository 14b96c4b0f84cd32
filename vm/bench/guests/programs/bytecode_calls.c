/* A bytecode interpreter that calls a function through a pointer for every instruction. */

#include "bytecode.h"

static const uint8_t *next = code;
static uint64_t *top = stack;
static bool running = true;

static void halt(void) { running = false; }
static void push(void) { *++top = *next++; }
static void get(void) { *++top = locals[*next++]; }
static void set(void) { locals[*next++] = *top--; }
static void add(void) { top--; *top += top[1]; }
static void multiply(void) { top--; *top *= top[1]; }
static void halve(void) { *top >>= 1; }
static void odd(void) { *top &= 1; }
static void less(void) { top--; *top = *top < top[1]; }
static void jump(void) { next = code + *next; }
static void jump_if_zero(void) { next = *top-- ? next + 1 : code + *next; }

static void (*volatile handlers[OPCODES])(void) = {
    [HALT] = halt, [PUSH] = push, [GET] = get, [SET] = set, [ADD] = add, [MULTIPLY] = multiply, [HALVE] = halve,
    [ODD] = odd, [LESS] = less, [JUMP] = jump, [JUMP_IF_ZERO] = jump_if_zero,
};

static NOINLINE uint64_t run(void) {
    while (running)
        handlers[*next++]();
    return *top;
}

int main(void) {
    return benchmark("bytecode_calls");
}
