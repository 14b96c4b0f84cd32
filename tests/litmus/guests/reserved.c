/* A store-conditional fails after another hart's store to what was reserved, also of the same value, and however it was
   stored. Hart 0 reserves, waits and stores; hart 1 stores what is there already, and says before and after each store
   which it is. So hart 0 knows of stores that came after its LR and before its SC: then the SC must have failed.
   Other harts disturb the line beside it, by which an SC may fail, but not for ever. */
#include "harts.h"

enum { HIT = 1, STUCK = 2, CHANGED = 3, PATIENCE = 10000000 };
enum { BYTE, HALF, WORD, UPPER_WORD, DOUBLE, FLOAT, MISALIGNED, BEFORE, AMO, AMO_BYTE, THERE_AND_BACK, CAS, CONDITIONAL,
       VECTOR, ZERO };

/* The word begins a line: what is stored from before it begins in another. */
static struct { volatile u64 others[7], before, word, beside, far; } LINE line;
static volatile u64 LINE started;
static volatile u64 LINE finished;
static volatile u64 LINE ended;

/* Hart 1's store; the line holds nothing but zeros. */
static void store(u64 how) {
    volatile u64* word = &line.word;
    u64 old, failed;
    switch (how) {
    case BYTE:       *(volatile u8*)word = 0; break;
    case HALF:       *(volatile u16*)word = 0; break;
    case WORD:       *(volatile u32*)word = 0; break;
    case UPPER_WORD: ((volatile u32*)word)[1] = 0; break;
    case DOUBLE:     *word = 0; break;
    case FLOAT:      asm volatile("fmv.d.x ft0, zero\n fsd ft0, 0(%0)" :: "r"(word) : "ft0", "memory"); break;
    case MISALIGNED: asm volatile("sd zero, 4(%0)" :: "r"(word) : "memory"); break;
    case BEFORE:     asm volatile("sd zero, -5(%0)" :: "r"(word) : "memory"); break;
    case AMO:        asm volatile("amoor.d zero, zero, (%0)" :: "r"(word) : "memory"); break;
    case AMO_BYTE:   asm volatile("amoor.b zero, zero, (%0)" :: "r"(word) : "memory"); break;
    case THERE_AND_BACK:
        add(word, 1);
        add(word, -1);
        break;
    case CAS:        asm volatile("amocas.d zero, zero, (%0)" :: "r"(word) : "memory"); break;
    case CONDITIONAL:
        do asm volatile("lr.d %0, (%2)\n sc.d %1, %0, (%2)" : "=&r"(old), "=&r"(failed) : "r"(word) : "memory");
        while (failed);
        break;
    case VECTOR:
        asm volatile(".option push\n .option arch, +v\n vsetivli zero, 4, e64, m2, ta, ma\n vmv.v.i v8, 0\n"
                     "vse64.v v8, (%0)\n .option pop" :: "r"(&line.before) : "memory");
        break;
    case ZERO:       asm volatile("cbo.zero (%0)" :: "r"(word) : "memory"); break;
    }
}

static void reserve(int hart) {
    u64 state = 77, tries = 0, kept = 0, passed = 0, row = 0, narrow = parameters.choice >> 32;
    while (kept < 10 * parameters.operations || passed < parameters.operations) {
        u64 old, before, after, failed, delay = random(&state);
        delay = (delay & 0x1FF) >> (delay >> 16) % 10;
        if (IS_BROKEN)                  /* compare-and-swap never notices */
            asm volatile(
                "   ld      %0, (%5)\n fence r, r\n ld %1, (%6)\n"
                "1: addi    %3, %3, -1\n bgez %3, 1b\n"
                "   ld      %2, (%7)\n fence rw, rw\n mv %4, %0\n amocas.d %4, %0, (%5)\n"
                "   sub     %4, %4, %0\n snez %4, %4"
                : "=&r"(old), "=&r"(before), "=&r"(after), "+r"(delay), "=&r"(failed)
                : "r"(&line.word), "r"(&started), "r"(&finished) : "memory");
        else if (narrow)
            asm volatile(
                "   lr.w    %0, (%5)\n fence r, r\n ld %1, (%6)\n"
                "1: addi    %3, %3, -1\n bgez %3, 1b\n"
                "   ld      %2, (%7)\n fence rw, rw\n sc.w %4, %0, (%5)"
                : "=&r"(old), "=&r"(before), "=&r"(after), "+r"(delay), "=&r"(failed)
                : "r"(&line.word), "r"(&started), "r"(&finished) : "memory");
        else
            asm volatile(
                "   lr.d    %0, (%5)\n fence r, r\n ld %1, (%6)\n"
                "1: addi    %3, %3, -1\n bgez %3, 1b\n"
                "   ld      %2, (%7)\n fence rw, rw\n sc.d %4, %0, (%5)"
                : "=&r"(old), "=&r"(before), "=&r"(after), "+r"(delay), "=&r"(failed)
                : "r"(&line.word), "r"(&started), "r"(&finished) : "memory");
        tries++;
        if (after > before) {           /* store before + 1 began after the LR, and was done before the SC */
            passed++;
            if (!failed) fail(hart, HIT);
        }
        row = failed ? row + 1 : 0;
        kept += !failed;
        if (row == PATIENCE) {
            fail(hart, STUCK);
            break;
        }
    }
    reports[hart].operations = tries;
    reports[hart].seen[0] = kept;
    reports[hart].seen[1] = passed;
    ended = 1;
}

void work(int hart) {
    u64 meetings = 0, done = 0, how = parameters.choice & 0xFFFFFFFF;
    meet(&meetings);
    if (hart == 0) reserve(hart);
    while (!ended) {
        if (hart == 1) {
            started = ++done;
            FENCE(w, w);
            store(how);
            FENCE(w, w);
            finished = done;
        } else {
            line.beside = 0;
            add(&line.far, 0);
            for (int i = 0; i < 64; i++) COMPILER();
        }
    }
    meet(&meetings);
    if (hart == 0 && (line.word || line.before || line.beside || line.far)) fail(hart, CHANGED);
}
