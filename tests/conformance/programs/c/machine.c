/* A byte code with a jump table, packed structures, strings, counting bits, and the atomics of the compiler. */
#include <stddef.h>
#include <stdint.h>

enum { PUSH, ADD, MUL, SUB, DUP, SWAP, LESS, JUMP_IF, XOR, SHIFT, POPCOUNT, ROTATE, HALT };

static const int8_t code[] = {
    PUSH, 0, PUSH, 60,                                          /* accumulator, counter */
    SWAP, PUSH, 7, ADD, DUP, PUSH, 3, SHIFT, XOR, PUSH, 13, ROTATE, DUP, POPCOUNT, ADD, PUSH, 5, MUL,
    SWAP, PUSH, 1, SUB, DUP, PUSH, 0, SWAP, LESS, JUMP_IF, 4, HALT,
};

struct __attribute__((packed)) packed { uint8_t tag; uint32_t word; uint64_t value; uint16_t half; };

static struct packed records[24];
static char text[160];
static uint64_t shared64;
static uint32_t shared32;

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    for (size_t i = 0; i < count; i++)
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memset(void *to, int value, size_t count) {
    for (size_t i = 0; i < count; i++)
        ((volatile char *)to)[i] = (char)value;
    return to;
}

static uint64_t execute(void) {
    uint64_t stack[16], *top = stack;
    for (const int8_t *next = code;;) {
        switch (*next++) {
        case PUSH: *top++ = (uint64_t)(int64_t)*next++; break;
        case ADD: top--; top[-1] += top[0]; break;
        case MUL: top--; top[-1] *= top[0]; break;
        case SUB: top--; top[-1] -= top[0]; break;
        case XOR: top--; top[-1] ^= top[0]; break;
        case SHIFT: top--; top[-1] >>= top[0] & 63; break;
        case ROTATE: top--; top[-1] = top[-1] << (top[0] & 63) | top[-1] >> (-top[0] & 63); break;
        case LESS: top--; top[-1] = top[-1] < top[0]; break;
        case POPCOUNT: top[-1] = (uint64_t)__builtin_popcountll(top[-1]); break;
        case DUP: *top = top[-1]; top++; break;
        case SWAP: { uint64_t other = top[-1]; top[-1] = top[-2]; top[-2] = other; break; }
        case JUMP_IF: if (*--top) next = code + *next; else next++; break;
        default: return stack[0];
        }
    }
}

static char *decimal(char *out, uint64_t value) {
    char digits[20];
    int count = 0;
    do digits[count++] = (char)('0' + value % 10); while (value /= 10);
    while (count)
        *out++ = digits[--count];
    *out++ = ' ';
    return out;
}

uint64_t main(void) {
    uint64_t sum = execute();
    for (unsigned i = 0; i < 24; i++) {
        records[i] = (struct packed){(uint8_t)i, (uint32_t)sum, sum * i, (uint16_t)(sum >> i)};
        sum = sum * 31 + records[i / 2].value + records[i / 3].word + records[i].half;
        sum ^= (uint64_t)__builtin_clzll(sum | 1) << 8 | (uint64_t)__builtin_ctzll(sum | 1ull << 60);
        sum += __builtin_bswap64(sum) + __builtin_bswap32((uint32_t)sum);
        __atomic_fetch_add(&shared64, sum, __ATOMIC_SEQ_CST);
        __atomic_fetch_xor(&shared32, (uint32_t)sum, __ATOMIC_ACQ_REL);
        __atomic_fetch_and(&shared64, ~(sum >> 40), __ATOMIC_RELAXED);
        uint32_t expected = shared32;
        __atomic_compare_exchange_n(&shared32, &expected, expected * 3, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
        sum ^= __atomic_exchange_n(&shared64, sum, __ATOMIC_SEQ_CST) + shared32;
    }
    char *end = text;
    for (int i = 0; i < 7; i++)
        end = decimal(end, sum >> (8 * i));
    for (const char *c = text; c < end; c++)
        sum = (sum ^ (uint8_t)*c) * 0x100000001B3u;
    return sum;
}
