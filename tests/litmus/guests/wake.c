/* Harts wait by wfi until another interrupts them: by software interrupts of the CLINT, and now and then by the timer.
   Tokens go around; one that does not arrive is a hart that was not woken. */
#include "harts.h"

enum { TOKENS = 2, LOST = 1, LATE = 2 };

#define MSIP(hart) (*(volatile u32*)(0x2000000UL + 4 * (hart)))
#define MTIMECMP(hart) (*(volatile u64*)(0x2004000UL + 8 * (hart)))
#define MTIME (*(volatile u64*)0x200BFF8UL)

static struct { volatile u64 tokens; } LINE mail[MAX_HARTS];
static volatile u64 LINE passed;
static volatile u64 LINE ended;

static void give(u64 hart) {
    add(&mail[hart].tokens, 1);
    FENCE(w, o);
    MSIP(hart) = 1;
}

static void sleep(int hart, u64 ticks) {
    u64 until = MTIME + ticks;
    MTIMECMP(hart) = until;
    asm volatile("csrs mie, %0" :: "r"(1 << 7));
    while (MTIME < until) asm volatile("wfi" ::: "memory");
    asm volatile("csrc mie, %0" :: "r"(1 << 7));
    MTIMECMP(hart) = ~0UL;
}

void work(int hart) {
    u64 state = 77 + hart, meetings = 0, got = 0, waited = 0;
    asm volatile("csrw mie, %0" :: "r"(1 << 3));        /* software interrupts end wfi; none is taken */
    meet(&meetings);
    if (hart == 0)
        for (int i = 0; i < TOKENS; i++) give(i % parameters.harts);
    while (!ended) {
        u64 here;
        while (!mail[hart].tokens && !ended) {
            asm volatile("wfi" ::: "memory");
            waited++;
            MSIP(hart) = 0;
            FENCE(o, rw);
        }
        for (here = exchange(&mail[hart].tokens, 0); here; here--) {
            got++;
            if (random(&state) % 16 == 0) sleep(hart, random(&state) % 16);
            if (add(&passed, 1) + 1 >= parameters.operations) {
                ended = 1;
                for (u64 i = 0; i < parameters.harts; i++) MSIP(i) = 1;
            }
            give((hart + 1 + random(&state) % (parameters.harts - 1)) % parameters.harts);
        }
    }
    asm volatile("csrw mie, zero");
    reports[hart].operations = got;
    reports[hart].seen[0] = waited;
    meet(&meetings);
    if (hart) return;
    u64 tokens = 0;
    for (u64 i = 0; i < parameters.harts; i++) {
        tokens += mail[i].tokens;
        got += i ? reports[i].operations : 0;
    }
    if (tokens != TOKENS || got != passed) fail(hart, LOST);
}
