/* Hart 0 maps pages to other frames, and clears accessed and dirty bits, while the others use them. When all have fenced
   their translations, nobody uses the old frame; and what hardware writes into page tables never undoes what hart 0 has
   written there meanwhile. Virtual addresses are those of loads and stores in M-mode, by MPRV. */
#include "harts.h"

enum { PAGES = 8, FRAMES = 2 * PAGES, UNDONE = 1, USED = 2, FOREIGN = 3 };
enum { VALID = 1, READ = 2, WRITE = 4, ACCESSED = 64, DIRTY = 128 };

typedef u64 table[512] __attribute__((aligned(4096)));
static volatile table root, middle, leaf;
static volatile table frames[FRAMES];           /* [0]: its number; of each hart: what it stored last */
static volatile u64 LINE asked;
static struct { volatile u64 number; } LINE fenced[MAX_HARTS];
static volatile u64 LINE ended;

static u64 entry(volatile u64* frame, u64 flags) { return (u64)frame >> 12 << 10 | flags; }
static volatile u64* page(u64 number) { return (volatile u64*)(0x40000000UL + 4096 * number); }
static void fence(void) { asm volatile("sfence.vma" ::: "memory"); }

static void translate(void) {
    asm volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" :: "r"(-1UL), "r"(0x1F));
    asm volatile("csrs menvcfg, %0" :: "r"(1UL << 61));         /* hardware sets accessed and dirty bits */
    asm volatile("csrw satp, %0" :: "r"(8UL << 60 | (u64)root >> 12));
    fence();
    asm volatile("csrc mstatus, %0\n csrs mstatus, %1" :: "r"(3 << 11), "r"(1 << 17 | 1 << 11) : "memory");
}

static void wait_for_fences(void) {
    asked = asked + 1;
    FENCE(rw, rw);
    for (u64 i = 1; !IS_BROKEN && i < parameters.harts; i++)
        while (fenced[i].number != asked) pause();
    fence();
    FENCE(r, rw);
}

static void remap(int hart) {
    u64 state = 77, used[PAGES];
    for (u64 i = 0; i < PAGES; i++) used[i] = i;
    for (u64 done = 0; done < parameters.operations; done++) {
        u64 number = random(&state) % PAGES, old = used[number], now = (old + PAGES) % FRAMES, before[MAX_HARTS];
        if (done % 4) {         /* only look again who uses the page */
            u64 bits = ACCESSED | DIRTY;
            asm volatile("amoand.d zero, %1, %0" : "+A"(leaf[number]) : "r"(~bits) : "memory");
            wait_for_fences();
            if (leaf[number] >> 10 != (u64)frames[old] >> 12) fail(hart, UNDONE);
            continue;
        }
        leaf[number] = entry(frames[now], VALID | READ | WRITE);
        wait_for_fences();
        if (leaf[number] >> 10 != (u64)frames[now] >> 12) fail(hart, UNDONE);
        for (u64 i = 1; i < parameters.harts; i++) before[i] = frames[old][8 * i];
        for (u64 wait = random(&state) % 256; wait; wait--) COMPILER();
        for (u64 i = 1; i < parameters.harts; i++)
            if (frames[old][8 * i] != before[i]) fail(hart, USED);
        used[number] = now;
    }
    reports[hart].operations = parameters.operations;
    ended = 1;
}

void work(int hart) {
    u64 state = 77 + hart, meetings = 0, stores = 0;
    if (hart == 0) {
        for (u64 i = 0; i < FRAMES; i++) frames[i][0] = i;
        root[1] = entry(middle, VALID);
        root[2] = entry((volatile u64*)0x80000000UL, VALID | READ | WRITE | ACCESSED | DIRTY);
        root[0] = entry(0, VALID | READ | WRITE | ACCESSED | DIRTY);
        middle[0] = entry(leaf, VALID);
        for (u64 i = 0; i < PAGES; i++) leaf[i] = entry(frames[i], VALID | READ | WRITE);
    }
    meet(&meetings);
    translate();
    if (hart == 0) remap(hart);
    while (hart && !ended) {
        u64 wanted = asked;
        if (fenced[hart].number != wanted) {
            FENCE(r, rw);
            fence();
            FENCE(rw, w);
            fenced[hart].number = wanted;
        }
        for (u64 i = 0; i < 8; i++) {
            u64 number = random(&state) % PAGES;
            if (page(number)[0] % PAGES != number) fail(hart, FOREIGN);
            page(number)[8 * hart] = ++stores;
        }
    }
    reports[hart].seen[0] = stores;
    meet(&meetings);
}
