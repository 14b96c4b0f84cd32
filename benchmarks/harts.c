/* A hart's share of work that it does alone: a hash of 16 KiB of its own, over and over. ROUNDS and HARTS are defined. */

typedef unsigned int u32;
typedef unsigned long u64;

enum { WORDS = 2048 };

static struct { u64 words[WORDS]; } areas[HARTS];
volatile u64 results[HARTS];

asm(".globl _start\n"
    "_start: csrr a0, mhartid\n"
    "        la   t0, trap\n"
    "        csrw mtvec, t0\n"
    "        la   sp, stacks\n"
    "        addi t0, a0, 1\n"
    "        slli t0, t0, 10\n"
    "        add  sp, sp, t0\n"
    "        call work\n"
    "        .balign 4\n"
    "trap:   wfi\n"
    "        j    trap\n"
    "        .bss\n"
    "        .balign 16\n"
    "stacks: .zero 8 * 1024\n"
    "        .text\n");

void work(u64 hart) {
    u64* words = areas[hart].words;
    u64 hash = 0x9E3779B97F4A7C15;
    for (u32 round = 0; round < ROUNDS; round++)
        for (u32 i = 0; i < WORDS; i++) {
            hash ^= words[i] + i;
            hash = (hash << 13 | hash >> 51) * 0x2545F4914F6CDD1D;
            words[i] = hash;
        }
    results[hart] = hash;
}
