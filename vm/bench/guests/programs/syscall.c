/* System calls and context switches: two processes in user mode, each with its own address space (Sv39, ASIDs), ask the
 * supervisor for numbers, store sums in their pages, and give way to each other; each time they lose a page, which comes
 * back by a page fault. Entry and exit of the supervisor, and the code of a process, are in syscall.S.
 *
 * On the host one function does what a process does. */

#include "bench.h"

#define PROCESSES 2
#define CALLS 200000                    /* of each process */
#define USER_PAGES 8
#define EXPECTED 0x0d339639962aa3c1

static uint64_t numbers_given, sums[PROCESSES];
static uint64_t memory[PROCESSES][USER_PAGES][512] __attribute__((aligned(4096)));

static NOINLINE uint64_t next_number(uint64_t argument) {
    return random_at(numbers_given++) ^ argument;
}

#if !__STDC_HOSTED__

#define USER_CODE 0x40000000UL          /* virtual */
#define USER_DATA 0x40200000UL
#define POINTER 0x01                    /* V */
#define USER_TEXT 0x5b                  /* V R X U A */
#define USER_PAGE 0xd7                  /* V R W U A D */
#define SV39 (8UL << 60)
#define PREVIOUS_SUPERVISOR 0x100       /* sstatus.SPP */

enum { NUMBER, GIVE_WAY, LEAVE };       /* a7 of a call */
enum { USER_CALL = 8, STORE_PAGE_FAULT = 15 };
enum { S0 = 8, A0 = 10, A7 = 17 };

static struct process {
    uint64_t x[32], pc, satp;           /* as syscall.S has them */
    bool done;
} processes[PROCESSES];
static struct {
    uint64_t root[512], middle[512], text[512], data[512];
} tables[PROCESSES] __attribute__((aligned(4096)));

/* syscall.S */
extern const uint8_t user_program[];
void trap_entry(void);
void run_from(struct process *process); /* until on_trap() says that all is done */

static uint64_t entry(const void *address, uint64_t bits) {
    return (uint64_t)address >> 12 << 10 | bits;
}

static void create(uint64_t number) {
    struct process *process = &processes[number];
    uint64_t *root = tables[number].root;
    const uint64_t *own_root = (const uint64_t *)((csr_read(satp) & 0xfffffffffffUL) << 12);
    root[0] = own_root[0];              /* devices and RAM, for the supervisor */
    root[2] = own_root[2];
    root[USER_CODE >> 30] = entry(tables[number].middle, POINTER);
    tables[number].middle[0] = entry(tables[number].text, POINTER);
    tables[number].middle[1] = entry(tables[number].data, POINTER);
    tables[number].text[0] = entry(user_program, USER_TEXT);
    process->satp = SV39 | (number + 1) << 44 | (uint64_t)root >> 12;
    process->pc = USER_CODE;
    process->x[S0] = CALLS;
}

static struct process *give_way(uint64_t number) {
    for (uint64_t i = 1; i <= PROCESSES; i++) {
        struct process *next = &processes[(number + i) % PROCESSES];
        if (!next->done)
            return next;
    }
    return NULL;
}

/* What syscall.S calls with the process that trapped. Returns the one that goes on; NULL: none is left. */
struct process *on_trap(struct process *process) {
    uint64_t number = (uint64_t)(process - processes), cause = csr_read(scause);
    if (cause == STORE_PAGE_FAULT) {
        uint64_t page = (csr_read(stval) - USER_DATA) / 4096;
        if (page >= USER_PAGES)
            power_off(98);
        tables[number].data[page] = entry(memory[number][page], USER_PAGE);
        return process;
    }
    if (cause != USER_CALL)
        power_off(98);
    process->pc += 4;
    if (process->x[A7] == NUMBER) {
        process->x[A0] = next_number(process->x[A0]);
        return process;
    }
    if (process->x[A7] == LEAVE) {
        sums[number] = process->x[A0];
        process->done = true;
    } else {
        uint64_t page = process->x[A0] % USER_PAGES;
        tables[number].data[page] = 0;
        __asm__ volatile("sfence.vma %0, %1" ::"r"(USER_DATA + page * 4096), "r"(number + 1) : "memory");
    }
    return give_way(number);
}

static void run_processes(void) {
    for (uint64_t number = 0; number < PROCESSES; number++)
        create(number);
    csr_write(stvec, trap_entry);
    csr_clear(sstatus, PREVIOUS_SUPERVISOR);
    run_from(processes);
}

#else

static void run_processes(void) {
    uint64_t left[PROCESSES] = {CALLS, CALLS}, process = 0;
    while (left[process]) {
        uint64_t number = next_number(sums[process]);
        sums[process] = ((sums[process] >> 7) + (number << 3)) ^ number;
        memory[process][left[process] % USER_PAGES][0] = sums[process];
        if (left[process]-- % 16 == 0 || !left[process])
            process = (process + 1) % PROCESSES;
    }
}

#endif

int main(void) {
    uint64_t result = 0;
    run_processes();
    for (int process = 0; process < PROCESSES; process++) {
        result = mix(result, sums[process]);
        for (int page = 0; page < USER_PAGES; page++)
            result = mix(result, memory[process][page][0]);
    }
    return verdict("syscall", result, EXPECTED);
}
