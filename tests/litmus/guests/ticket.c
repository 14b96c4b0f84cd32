/* A ticket lock: who comes takes the next number by an AMO, and waits until it is called by a plain store. What it guards
   are plain counters, each in a line of its own. */
#include "harts.h"

enum { COUNTERS = 4, TORN = 1, WRONG = 2 };

static volatile u64 LINE next;
static volatile u64 LINE serving;
static struct { volatile u64 value; } LINE counters[COUNTERS];

void work(int hart) {
    u64 meetings = 0, waited = 0;
    meet(&meetings);
    for (u64 done = 0; done < parameters.operations; done++) {
        u64 ticket;
        asm volatile("amoadd.d %0, %2, %1" : "=r"(ticket), "+A"(next) : "r"(1) : "memory");
        while (!IS_BROKEN && serving != ticket) {
            waited++;
            pause();
        }
        FENCE(r, rw);
        u64 value = counters[0].value;
        if (value != ticket) fail(hart, WRONG);
        for (int i = 0; i < COUNTERS; i++) {
            if (counters[i].value != value) fail(hart, TORN);
            counters[i].value = value + 1;
        }
        FENCE(rw, w);
        serving = ticket + 1;
    }
    reports[hart].operations = parameters.operations;
    reports[hart].seen[0] = waited;
    meet(&meetings);
    if (hart == 0 && counters[0].value != parameters.harts * parameters.operations) fail(hart, WRONG);
}
