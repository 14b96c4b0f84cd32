/* How late a timer interrupt is: machine mode asks for one half a millisecond ahead, two hundred times, while supervisor
 * mode is busy, and notes by how much the time has passed it in the handler. Prints the median and the worst, in ns. */

#include "bench.h"

#if !__STDC_HOSTED__

#define COUNT 201
#define AHEAD (TIMEBASE_HZ / 2000)
#define NS_PER_TICK (1000000000UL / TIMEBASE_HZ)
#define MACHINE_TIMER_BIT (1UL << 7)            /* of mie */
#define CLINT_MTIMECMP ((volatile uint64_t *)0x2004000)
#define CLINT_MTIME ((volatile uint64_t *)0x200bff8)

static volatile uint64_t late[COUNT], count;

/* Comes by an environment call first, then by the timer. */
__attribute__((interrupt("machine"), aligned(4))) void machine_trap(void) {
    uint64_t now = *CLINT_MTIME;
    if (csr_read(mcause) >> 63)
        late[count++] = (now - *CLINT_MTIMECMP) * NS_PER_TICK;
    else
        csr_write(mepc, csr_read(mepc) + 4);
    *CLINT_MTIMECMP = count < COUNT ? *CLINT_MTIME + AHEAD : ~0UL;
    csr_set(mie, MACHINE_TIMER_BIT);
}

int main(void) {
    volatile uint64_t work = 0;
    __asm__ volatile("ecall" ::: "memory");
    while (count < COUNT)
        work = work * 5 + 1;
    for (int i = 1; i < COUNT; i++)             /* insertion sort */
        for (int j = i; j > 0 && late[j - 1] > late[j]; j--) {
            uint64_t swap = late[j];
            late[j] = late[j - 1];
            late[j - 1] = swap;
        }
    print("latency %u %u\n", late[COUNT / 2], late[COUNT - 1]);
    return 0;
}

#endif
