/* A sequence lock: readers take no lock, and read again if a writer was there meanwhile. All harts read, and write now
   and then; the words that are guarded follow from the number of the write. */
#include "harts.h"

enum { WORDS = 6, WRITE_OF = 8, TORN = 1, OLD = 2, WRONG = 3 };

static volatile u64 LINE sequence;
static volatile u64 LINE words[WORDS];

static void write(void) {
    u64 old, failed;
    for (;;) {
        asm volatile(
            "   li      %1, 1\n"
            "   lr.d.aq %0, %2\n"
            "   andi    %1, %0, 1\n"
            "   bnez    %1, 1f\n"
            "   addi    %1, %0, 1\n"
            "   sc.d    %1, %1, %2\n"
            "1:"
            : "=&r"(old), "=&r"(failed), "+A"(sequence) :: "memory");
        if (!failed) break;
        pause();
    }
    FENCE(w, w);
    for (u64 i = 0; i < WORDS; i++) words[i] = (old / 2 + 1) * (2 * i + 1);
    FENCE(w, w);
    sequence = old + 2;
}

void work(int hart) {
    u64 state = 77 + hart, meetings = 0, again = 0, writes = 0, newest = 0;
    meet(&meetings);
    for (u64 done = 0; done < parameters.operations; done++) {
        u64 copy[WORDS], before;
        if (random(&state) % WRITE_OF == 0) {
            write();
            writes++;
            continue;
        }
        for (;; again++) {
            before = sequence;
            if (before & 1) {
                pause();
                continue;
            }
            FENCE(r, r);
            for (u64 i = 0; i < WORDS; i++) copy[i] = words[i];
            FENCE(r, r);
            if (IS_BROKEN || sequence == before) break;
        }
        for (u64 i = 0; i < WORDS; i++)
            if (copy[i] != before / 2 * (2 * i + 1)) fail(hart, TORN);
        if (before < newest) fail(hart, OLD);
        newest = before;
    }
    reports[hart].operations = parameters.operations;
    reports[hart].seen[0] = again;
    reports[hart].seen[1] = writes;
    meet(&meetings);
    if (hart) return;
    u64 sum = 0;
    for (u64 i = 0; i < parameters.harts; i++) sum += reports[i].seen[1];
    if (sequence != 2 * sum) fail(hart, WRONG);
}
