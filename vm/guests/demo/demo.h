/* What the parts of the demo know of each other. */
#ifndef DEMO_H
#define DEMO_H

#include "platform.h"

/* entry.S */
struct trap_frame {
    uint64_t x[32];             /* the registers; x[0] holds the pc */
    uint64_t sstatus;
    uint64_t unused;            /* keeps the stack aligned to 16 bytes */
};
enum { SP = 2, A0 = 10, A1 = 11, A7 = 17 };
enum { USER_PRINT = 1, USER_EXIT = 2 };         /* our two system calls */
extern char user_program[];
uint64_t run_user(uint64_t pc, uint64_t sp);    /* returns what the program gives to USER_EXIT */
void user_return(void);
void supervisor_trap(void);

/* trap.c */
#define HEARTBEAT_TICKS (TIMEBASE_HZ / 100)
enum { LOAD_PAGE_FAULT = 13, STORE_PAGE_FAULT = 15 };
struct fault { bool expected; uint64_t count, cause, address; };
extern volatile struct fault fault;             /* set `expected`: faults are counted, their instruction is skipped */
extern volatile uint64_t heartbeats;
void timer_start(bool sstc);

/* paging.c */
#define MEGAPAGE_ALIAS 0x40000000UL             /* 2 MiB, read-only: the start of RAM once more */
#define PAGE_ALIAS     0x40200000UL             /* 4 KiB: alias_page once more */
#define USER_CODE      0x40201000UL
#define USER_STACK     0x40202000UL
#define UNMAPPED       0x60000000UL
extern uint32_t alias_page[1024];
void paging_on(void);

/* work.c: each returns a number that is known */
uint64_t mandelbrot(void);
uint64_t primes(void);
uint64_t pi(void);
#define MANDELBROT_ITERATIONS 1843073UL
#define PRIMES_BELOW_2000000 148933UL
#define PI_CRC32 0x49ebcc49UL

#endif
