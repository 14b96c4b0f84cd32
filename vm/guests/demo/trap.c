/* Traps in S-mode: the timer's heartbeat, page faults that are expected, system calls from U-mode. */

#include "demo.h"

#define INTERRUPT (1UL << 63)
#define TIMER_INTERRUPT (INTERRUPT | 5)
#define ECALL_FROM_U 8
#define STATUS_SPIE (1UL << 5)
#define STATUS_SPP (1UL << 8)
#define STATUS_SUM (1UL << 18)

volatile struct fault fault;
volatile uint64_t heartbeats;
static bool has_sstc;

static void timer_set(uint64_t deadline) {
    if (has_sstc) {
        csr_write(0x14d, deadline);                     /* stimecmp, by number: the compiler target lacks Sstc */
    } else {
        register uint64_t a0 __asm__("a0") = deadline;  /* M-mode sets the CLINT, see entry.S */
        __asm__ volatile("ecall" ::"r"(a0) : "memory");
    }
}

void timer_start(bool sstc) {
    has_sstc = sstc;
    timer_set(csr_read(time) + HEARTBEAT_TICKS);
    csr_set(sie, 1 << 5);
    csr_set(sstatus, 1 << 1);
}

_Noreturn void fatal_trap(uint64_t cause, uint64_t pc, uint64_t value) {
    print("\n[FAIL] unexpected trap: cause %x, pc %x, tval %x\n", cause, pc, value);
    power_off(99);
}

static void system_call(struct trap_frame *frame) {
    if (frame->x[A7] == USER_PRINT) {
        csr_set(sstatus, STATUS_SUM);                   /* S-mode may touch U-mode's pages only with SUM */
        for (uint64_t i = 0; i < frame->x[A1]; i++)
            console_put(((const char *)frame->x[A0])[i]);
        csr_clear(sstatus, STATUS_SUM);
        frame->x[0] += 4;
    } else {
        frame->x[0] = (uint64_t)user_return;            /* leave for S-mode, on the stack of run_user */
        frame->x[SP] = (uint64_t)(frame + 1);
        frame->sstatus |= STATUS_SPP | STATUS_SPIE;
    }
}

void trap(struct trap_frame *frame) {
    uint64_t cause = csr_read(scause);
    if (cause == TIMER_INTERRUPT) {
        heartbeats++;
        timer_set(csr_read(time) + HEARTBEAT_TICKS);
    } else if (cause == ECALL_FROM_U) {
        system_call(frame);
    } else if (fault.expected && (cause == LOAD_PAGE_FAULT || cause == STORE_PAGE_FAULT)) {
        fault.count++;
        fault.cause = cause;
        fault.address = csr_read(stval);
        frame->x[0] += 4;
    } else {
        fatal_trap(cause, frame->x[0], csr_read(stval));
    }
}
