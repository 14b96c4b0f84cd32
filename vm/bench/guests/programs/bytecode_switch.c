/* A bytecode interpreter whose loop is a `switch`: one indirect jump that goes everywhere. */

#include "bytecode.h"

static NOINLINE uint64_t run(void) {
    const uint8_t *next = code;
    uint64_t *top = stack;
    for (;;)
        switch (*next++) {
        case HALT: return *top;
        case PUSH: *++top = *next++; break;
        case GET: *++top = locals[*next++]; break;
        case SET: locals[*next++] = *top--; break;
        case ADD: top--; *top += top[1]; break;
        case MULTIPLY: top--; *top *= top[1]; break;
        case HALVE: *top >>= 1; break;
        case ODD: *top &= 1; break;
        case LESS: top--; *top = *top < top[1]; break;
        case JUMP: next = code + *next; break;
        case JUMP_IF_ZERO: next = *top-- ? next + 1 : code + *next; break;
        }
}

int main(void) {
    return benchmark("bytecode_switch");
}
