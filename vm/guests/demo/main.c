/* A tour of a RISC-V machine: what it is, then paging, faults, the timer, user mode and some work, each checked. */

#include "demo.h"

#define CLINT_MTIME ((volatile uint64_t *)0x200bff8)
#define WAIT_BEATS 3

static unsigned checks;

static void check(bool good, const char *what) {
    checks++;
    print("  [%s] %s\n", good ? " ok " : "FAIL", what);
    if (!good)
        power_off(checks);
}

static void show_machine(uint64_t hart, uint64_t misa, bool sstc) {
    print("\n  ======================================================================\n"
          "   A bare-metal guest of ours: M-mode, S-mode, U-mode; no firmware, no OS\n"
          "  ======================================================================\n\n"
          "  hart      %u\n  misa      RV64", hart);
    for (int letter = 0; letter < 26; letter++)
        if (misa >> letter & 1)
            console_put((char)('A' + letter));
    print("\n  timebase  %u MHz, rdtime now %u\n", TIMEBASE_HZ / 1000000, csr_read(time));
    print("  timer     %s\n", sstc ? "Sstc (stimecmp)" : "CLINT, passed down by M-mode");
    print("  paging    Sv39\n\n");
}

static void test_paging(void) {
    paging_on();
    check(csr_read(satp) >> 60 == 8, "Sv39 is on, RAM and devices in 1 GiB pages");
    check(*(volatile uint32_t *)MEGAPAGE_ALIAS == *(volatile uint32_t *)0x80000000, "a 2 MiB page shows RAM again");
    ((volatile uint32_t *)PAGE_ALIAS)[5] = 0x5eed;
    check(*(volatile uint32_t *)&alias_page[5] == 0x5eed, "a store through a 4 KiB alias arrives");
}

/* The handler skips four bytes, so the access must not be compressed. */
static void test_faults(void) {
    fault.expected = true;
    __asm__ volatile(".option push; .option norvc; lw t0, 0(%0); .option pop" ::"r"(UNMAPPED + 8) : "t0", "memory");
    check(fault.count == 1 && fault.cause == LOAD_PAGE_FAULT && fault.address == UNMAPPED + 8,
          "a load from nowhere is a page fault, caught");
    __asm__ volatile(".option push; .option norvc; sw zero, 0(%0); .option pop" ::"r"(MEGAPAGE_ALIAS) : "memory");
    check(fault.count == 2 && fault.cause == STORE_PAGE_FAULT && fault.address == MEGAPAGE_ALIAS,
          "a store to a read-only page is a page fault, caught");
    fault.expected = false;
}

static void test_timer(bool sstc) {
    uint64_t before = csr_read(time), mtime = *CLINT_MTIME, after = csr_read(time);
    check(before <= mtime && mtime <= after, "rdtime follows the CLINT's mtime");
    timer_start(sstc);
    uint64_t start = csr_read(time);
    print("  heartbeat");
    for (uint64_t seen = 0; seen < WAIT_BEATS; seen = heartbeats) {
        while (heartbeats == seen)
            __asm__ volatile("wfi");
        print(" %u", heartbeats);
    }
    uint64_t ticks = csr_read(time) - start;
    print(" after %u us\n", ticks * 1000000 / TIMEBASE_HZ);
    /* The first interval began just before `start`, by the few instructions between the two. */
    check(ticks >= WAIT_BEATS * HEARTBEAT_TICKS - HEARTBEAT_TICKS, "timer interrupts end wfi, none comes early");
}

static void test_user(void) {
    fault.expected = true;
    fault.count = 0;
    print("  ");
    uint64_t sum = run_user(USER_CODE, USER_STACK + 4096);
    fault.expected = false;
    check(sum == 5050, "U-mode ran a program on its own pages and gave back its result");
    check(fault.count == 1 && fault.address == 0x80000000, "U-mode could not read S-mode's memory");
}

struct job {
    const char *name, *claim;
    uint64_t (*run)(void);
    uint64_t expected, instructions, ticks, beats;
};

static struct job jobs[] = {
    {"mandelbrot", "the escape times add up", mandelbrot, MANDELBROT_ITERATIONS, 0, 0, 0},
    {"primes", "148933 primes below 2000000", primes, PRIMES_BELOW_2000000, 0, 0, 0},
    {"pi", "the digits of pi have the right CRC-32", pi, PI_CRC32, 0, 0, 0},
};
#define JOBS (sizeof jobs / sizeof *jobs)

static void work(struct job *job) {
    uint64_t ticks = csr_read(time), instructions = csr_read(instret), beats = heartbeats;
    print("\n");
    uint64_t result = job->run();
    job->instructions = csr_read(instret) - instructions;
    job->ticks = csr_read(time) - ticks;
    job->beats = heartbeats - beats;
    check(result == job->expected, job->claim);
}

static void report(void) {
    print("\n  %-12s %14s %12s %8s %11s\n", "work", "instructions", "guest us", "MIPS", "heartbeats");
    for (unsigned i = 0; i < JOBS; i++) {
        uint64_t microseconds = jobs[i].ticks / (TIMEBASE_HZ / 1000000);
        print("  %-12s %14u %12u %8u %11u\n", jobs[i].name, jobs[i].instructions, microseconds,
              microseconds ? jobs[i].instructions / microseconds : 0, jobs[i].beats);
    }
}

_Noreturn void main(uint64_t hart, uint64_t misa, uint64_t sstc) {
    csr_write(sscratch, 0);
    csr_write(stvec, supervisor_trap);
    console_init();
    show_machine(hart, misa, sstc);
    test_paging();
    test_faults();
    test_timer(sstc);
    test_user();
    for (unsigned i = 0; i < JOBS; i++)
        work(&jobs[i]);
    report();
    print("\n  %u checks passed, %u heartbeats, %u instructions retired. Powering off.\n", (uint64_t)checks, heartbeats,
          csr_read(instret));
    power_off(0);
}
