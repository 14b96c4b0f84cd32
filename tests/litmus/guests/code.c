/* Hart 0 writes functions anew while the others call them. Whoever has read that a function is new, and has fenced its
   fetches, gets what was written or what came later. */
#include "harts.h"

enum { SLOTS = 256, CALLS = 40, RANGE = 2048, STALE = 1, RETURN = 0x00008067 };

static struct { volatile u32 code[16]; } LINE slots[SLOTS];
static struct { volatile u64 number; } LINE versions[SLOTS];    /* which was written last */
static volatile u64 LINE newest;
static volatile u64 LINE ended;

static u32 load_immediate(u64 value) { return (u32)(value % RANGE) << 20 | 0x513; }     /* li a0, value */

static u64 call(u64 slot) {
    register u64 result asm("a0");
    asm volatile("jalr %1" : "=r"(result) : "r"(&slots[slot]) : "ra", "memory");
    return result;
}

static void rewrite(int hart) {
    u64 state = 77;
    for (u64 number = 1; number <= parameters.operations; number++) {
        u64 slot = random(&state) % SLOTS;
        if (IS_BROKEN) versions[slot].number = number;
        for (u64 wait = random(&state) % 512; wait; wait--) COMPILER();
        slots[slot].code[0] = load_immediate(number);
        FENCE(w, w);
        versions[slot].number = number;
        newest = number;
    }
    reports[hart].operations = parameters.operations;
    ended = 1;
}

/* What is in a slot: between two numbers of versions, as far as a function says it. */
static int is_between(u64 value, u64 first, u64 last) { return (value - first) % RANGE <= last - first; }

void work(int hart) {
    u64 state = 77 + hart, meetings = 0, calls = 0;
    if (hart == 0)
        for (int i = 0; i < SLOTS; i++) {
            slots[i].code[0] = load_immediate(0);
            slots[i].code[1] = RETURN;
        }
    meet(&meetings);
    asm volatile("fence.i" ::: "memory");
    if (hart == 0) rewrite(hart);
    while (hart && !ended) {
        u64 slot = random(&state) % SLOTS;
        for (int i = 0; i < CALLS; i++) {
            u64 first = versions[slot].number;
            FENCE(r, r);
            asm volatile("fence.i" ::: "memory");
            u64 value = call(slot);
            FENCE(r, r);
            u64 last = newest + 1;                      /* written, and not told yet */
            if (last - first < RANGE && !is_between(value, first, last)) fail(hart, STALE);
            calls++;
        }
    }
    reports[hart].seen[0] = calls;
    meet(&meetings);
}
