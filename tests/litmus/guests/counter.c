/* Everybody counts, each in another way: by LR/SC, by AMO, by compare-and-swap, by LR/SC and AMO of one half. In the same
   line each hart has a word of its own, which it counts by plain loads and stores. No count is lost, and nobody waits
   for ever. */
#include "harts.h"

enum { MINE = 1, SUM = 2, HALVES = 3 };

static struct { volatile u64 together; volatile u32 low, high; volatile u32 own[MAX_HARTS]; } LINE line;

static void count(u64 how) {
    u64 old, more;
    switch (how & 3) {
    case 0:
        asm volatile("1: lr.d %0, %2\n addi %0, %0, 1\n sc.d %1, %0, %2\n bnez %1, 1b"
                     : "=&r"(old), "=&r"(more), "+A"(line.together) :: "memory");
        break;
    case 1:
        asm volatile("amoadd.d zero, %1, %0" : "+A"(line.together) : "r"(1) : "memory");
        break;
    case 2:
        asm volatile("1: ld %0, %2\n addi %1, %0, 1\n mv t0, %0\n amocas.d t0, %1, %2\n bne t0, %0, 1b"
                     : "=&r"(old), "=&r"(more), "+A"(line.together) :: "t0", "memory");
        break;
    case 3:
        asm volatile("1: lr.d.aqrl %0, %2\n addi %0, %0, 1\n sc.d.rl %1, %0, %2\n bnez %1, 1b"
                     : "=&r"(old), "=&r"(more), "+A"(line.together) :: "memory");
        break;
    }
}

static void count_half(u64 how) {
    u64 old, failed;
    if (how & 1)
        asm volatile("amoadd.w zero, %1, %0" : "+A"(line.high) : "r"(1) : "memory");
    else
        asm volatile("1: lr.w %0, %2\n addi %0, %0, 1\n sc.w %1, %0, %2\n bnez %1, 1b"
                     : "=&r"(old), "=&r"(failed), "+A"(line.low) :: "memory");
}

void work(int hart) {
    u64 meetings = 0;
    meet(&meetings);
    for (u64 done = 0; done < parameters.operations; done++) {
        count(parameters.choice + hart + done / 16);
        count_half(hart);
        line.own[IS_BROKEN ? 0 : hart]++;
    }
    reports[hart].operations = 3 * parameters.operations;
    meet(&meetings);
    if (line.own[hart] != (u32)parameters.operations) fail(hart, MINE);
    if (hart) return;
    u64 odd = parameters.harts / 2, even = parameters.harts - odd;
    if (line.together != parameters.harts * parameters.operations) fail(hart, SUM);
    if (line.low != (u32)(even * parameters.operations) || line.high != (u32)(odd * parameters.operations))
        fail(hart, HALVES);
}
