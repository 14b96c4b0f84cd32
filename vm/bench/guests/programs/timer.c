/* A timer interrupt a thousand times a second over work on 4 KiB pages (Sv39, three levels), as an operating system
 * sees it: machine mode passes the timer on, and supervisor mode asks it for the next tick.
 *
 * The number of ticks differs from machine to machine, because guest time does; the work does not. */

#include "bench.h"

#define WORK_PAGES 2048                 /* 8 MiB: more pages than a look-aside buffer of 1,024 entries holds */
#define ROUNDS 400
#define EXPECTED 0x4861bd9ea987b0f8

static uint64_t pages[WORK_PAGES][512] __attribute__((aligned(4096)));

#if !__STDC_HOSTED__

#define MAPPED (16 << 20)               /* bytes of RAM */
#define RAM 0x80000000UL
#define POINTER 0x01                    /* V */
#define LEAF 0xcf                       /* V R W X A D */
#define DEVICES 0xc7                    /* V R W A D */
#define SV39 (8UL << 60)
#define TIMER_BIT (1UL << 5)            /* of sie, mip: the supervisor's timer interrupt */
#define MACHINE_TIMER_BIT (1UL << 7)    /* of mie */
#define MACHINE_TIMER (1UL << 63 | 7)   /* mcause */
#define CLINT_MTIMECMP ((volatile uint64_t *)0x2004000)
#define CLINT_MTIME ((volatile uint64_t *)0x200bff8)
#define TICK (TIMEBASE_HZ / 1000)

static uint64_t root[512] __attribute__((aligned(4096))), middle[512] __attribute__((aligned(4096)));
static uint64_t leaves[MAPPED / 4096] __attribute__((aligned(4096)));
static volatile uint64_t ticks;

static uint64_t entry(uint64_t address, uint64_t bits) {
    return address >> 12 << 10 | bits;
}

static void map_by_pages(void) {
    root[0] = entry(0, DEVICES);
    root[RAM >> 30] = entry((uint64_t)middle, POINTER);
    for (uint64_t i = 0; i < MAPPED >> 21; i++)
        middle[i] = entry((uint64_t)(leaves + i * 512), POINTER);
    for (uint64_t i = 0; i < MAPPED / 4096; i++)
        leaves[i] = entry(RAM + i * 4096, LEAF);
    csr_write(satp, SV39 | (uint64_t)root >> 12);
    __asm__ volatile("sfence.vma" ::: "memory");
}

/* In machine mode: the timer's interrupt becomes the supervisor's; a call asks for the next one. */
__attribute__((interrupt("machine"), aligned(4))) void machine_trap(void) {
    if (csr_read(mcause) == MACHINE_TIMER) {
        csr_clear(mie, MACHINE_TIMER_BIT);
        csr_set(mip, TIMER_BIT);
    } else {
        *CLINT_MTIMECMP = *CLINT_MTIME + TICK;
        csr_clear(mip, TIMER_BIT);
        csr_set(mie, MACHINE_TIMER_BIT);
        csr_write(mepc, csr_read(mepc) + 4);
    }
}

static inline void ask_for_tick(void) {
    __asm__ volatile("ecall" ::: "memory");
}

__attribute__((interrupt("supervisor"), aligned(4))) static void on_tick(void) {
    ticks++;
    ask_for_tick();
}

static void start_timer(void) {
    map_by_pages();
    csr_write(stvec, on_tick);
    csr_set(sie, TIMER_BIT);
    ask_for_tick();
    csr_set(sstatus, 2);
}

static bool ticked(void) {
    return ticks >= 50;
}

#else

static void start_timer(void) {}
static bool ticked(void) { return true; }

#endif

static NOINLINE uint64_t sweep(uint64_t round) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < WORK_PAGES; i++) {
        uint64_t *page = pages[(i * 769 + round) % WORK_PAGES];
        for (uint64_t word = 0; word < 512; word += 4)
            sum += (page[word] = page[word] * 5 + i);
    }
    return sum;
}

int main(void) {
    uint64_t result = 0;
    start_timer();
    for (uint64_t round = 0; round < ROUNDS; round++)
        result = mix(result, sweep(round));
    return verdict("timer", ticked() ? result : ~EXPECTED, EXPECTED);
}
