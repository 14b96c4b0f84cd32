/* The kernel: from M-mode to S-mode, paging, harts, and a console that obeys. */

#include "kernel.h"

#define TICK 100000                     /* of mtime, 10 MHz: 10 ms, which a busy QEMU can keep up with */
#define ROUNDS 1000
#define PLIC 0xc000000
#define PLIC_PRIORITY(source) ((volatile uint32_t *)(PLIC + 4 * (uint64_t)(source)))
#define PLIC_ENABLE(hart) ((volatile uint32_t *)(PLIC + 0x2080 + 0x100 * (hart)))
#define PLIC_THRESHOLD(hart) ((volatile uint32_t *)(PLIC + 0x201000 + 0x2000 * (hart)))
#define PLIC_CLAIM(hart) ((volatile uint32_t *)(PLIC + 0x201004 + 0x2000 * (hart)))

#define INTERRUPT (1ul << 63)
#define SOFTWARE 1
#define EXTERNAL 9
#define MTIE (1 << 7)
#define MSTATUS_MPP_MASK (3 << 11)
#define MSTATUS_MPP_S (1 << 11)
#define MSTATUS_MIE (1 << 3)

#define PTE_POINTER 1                   /* V, and none of R, W, X */
#define PTE_RW 7
#define PTE_RWX 15
#define PTE(physical, flags) ((uint64_t)(physical) >> 12 << 10 | (flags))
#define GIGABYTE 0x40000000ul
#define SV39 (8ul << 60)

struct timer {
    uint64_t saved[3];
    volatile uint64_t *mtimecmp;
    uint64_t interval;
};

struct probed {
    uint64_t value, cause;
};

extern char machine_vector[], supervisor_vector[], probe_failed[];
struct probed probe_load(uint64_t address);

char stacks[MAX_HARTS][8192] __attribute__((aligned(16)));
struct timer timers[MAX_HARTS];

static const void *tree;
static uint64_t vendor_id;
static volatile uint32_t turn;          /* the hart that may begin, or has its turn */
static volatile uint32_t ticks[MAX_HARTS];
static volatile uint32_t external_interrupts;
static struct lock count_lock;
static volatile uint64_t count;
static volatile uint32_t finished;

static uint64_t root[512] __attribute__((aligned(4096)));
static uint64_t middle[512] __attribute__((aligned(4096)));
static volatile uint64_t leaves[512] __attribute__((aligned(4096)));
static uint64_t page[512] __attribute__((aligned(4096)));
static char sector[512];

/* --- Waiting ----------------------------------------------------------------------------------------------------- */

void acquire(struct lock *lock) {
    bool enabled = csr_read(sstatus) & SSTATUS_SIE;
    csr_clear(sstatus, SSTATUS_SIE);
    while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE)) {
    }
    lock->enabled = enabled;
}

void release(struct lock *lock) {
    bool enabled = lock->enabled;
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
    if (enabled)
        csr_set(sstatus, SSTATUS_SIE);
}

/* Every hart has a timer, so no interrupt can be missed for long. */
void wait_while(volatile uint32_t *word, uint32_t value) {
    while (*word == value)
        __asm__ volatile("wfi");
}

/* --- Start ------------------------------------------------------------------------------------------------------- */

static void hart_main(void);

void machine_start(uint64_t hart, const void *device_tree) {
    if (hart == 0) {
        tree = device_tree;
        vendor_id = csr_read(mvendorid);
    }
    csr_write(pmpaddr0, ~0ul >> 10);
    csr_write(pmpcfg0, 0xf);
    csr_write(medeleg, 0xffff);
    csr_write(mideleg, 0xffff);
    csr_write(mcounteren, 7);
    csr_write(satp, 0);
    timers[hart].mtimecmp = CLINT_MTIMECMP(hart);
    timers[hart].interval = TICK;
    *CLINT_MTIMECMP(hart) = *CLINT_MTIME + TICK;
    csr_write(mscratch, &timers[hart]);
    csr_write(mtvec, machine_vector);
    csr_set(mie, MTIE);
    csr_clear(mstatus, MSTATUS_MPP_MASK);
    csr_set(mstatus, MSTATUS_MPP_S | MSTATUS_MIE);
    csr_write(mepc, hart_main);
    __asm__ volatile("mret");
}

static void enable_paging(void) {
    csr_write(satp, SV39 | (uint64_t)root >> 12);
    __asm__ volatile("sfence.vma" ::: "memory");
}

static void enable_interrupts(void) {
    uint64_t hart = this_hart();
    uint32_t sources = 1u << UART_SOURCE;
    for (int slot = 0; slot < VIRTIO_SLOTS; slot++)
        sources |= 1u << (VIRTIO_SOURCE + slot);
    *PLIC_ENABLE(hart) = sources;
    *PLIC_THRESHOLD(hart) = 0;
    csr_write(stvec, supervisor_vector);
    csr_set(sie, 1ul << SOFTWARE | 1ul << EXTERNAL);
    csr_set(sstatus, SSTATUS_SIE);
}

void trap(void) {
    uint64_t cause = csr_read(scause), hart = this_hart();
    if (cause == (INTERRUPT | SOFTWARE)) {
        csr_clear(sip, 1ul << SOFTWARE);
        ticks[hart]++;
    } else if (cause == (INTERRUPT | EXTERNAL)) {
        uint32_t source = *PLIC_CLAIM(hart);
        if (source == 0)
            return;                     /* another hart has it */
        external_interrupts++;
        if (source == UART_SOURCE)
            uart_interrupt();
        else
            disk_interrupt(source);
        *PLIC_CLAIM(hart) = source;
    } else if (csr_read(sepc) == (uint64_t)probe_load) {
        csr_write(sepc, probe_failed);
    } else {
        *FINISHER = (uint32_t)cause << 16 | 0x3333;
    }
}

/* --- What it shows ----------------------------------------------------------------------------------------------- */

static void show_paging(void) {
    volatile uint64_t *virtual = (volatile uint64_t *)GIGABYTE;
    print("paging: %x", leaves[0] & 0xff);
    uint64_t value = *virtual;
    print(", read %u %x", value, leaves[0] & 0xff);
    *virtual = 43;
    print(", written %u %x\n", page[0], leaves[0] & 0xff);
}

static void show_time(void) {
    uint32_t start = ticks[0];
    wait_while(&ticks[0], start);
    wait_while(&ticks[0], start + 1);
    uint64_t before = *CLINT_MTIME, now = csr_read(time), after = *CLINT_MTIME;
    print("time: timer ticks, time is mtime: %s\n", before <= now && now <= after ? "yes" : "no");
    uint64_t low = RTC[0], high = RTC[1];
    print("rtc: after 2020: %s\n", (high << 32 | low) > 1577836800ul * 1000000000 ? "yes" : "no");
}

/* Addresses where nothing is, also between devices. */
static void show_faults(void) {
    static const uint64_t nowhere[] = {0x102000, 0x2010000, 0x10009000};
    print("faults:");
    for (unsigned i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        csr_clear(sstatus, SSTATUS_SIE);
        struct probed probed = probe_load(nowhere[i]);
        csr_set(sstatus, SSTATUS_SIE);
        print(" %u", probed.cause);
    }
    put('\n');
}

static void show_disk(void) {
    disk_init();
    disk_transfer(1, sector, false);
    print("disk: sector 1 holds: %s\n", sector);
    for (char *letter = sector; *letter; letter++)
        if (*letter >= 'a' && *letter <= 'z')
            *letter -= 'a' - 'A';
    disk_transfer(1, sector, true);
    for (unsigned i = 0; i < sizeof sector; i++)
        sector[i] = 0;
    disk_transfer(1, sector, false);
    print("disk: sector 1 holds: %s\n", sector);
}

/* With the transmitter empty and nothing typed, nothing interrupts but the timer. */
static void show_quiet(void) {
    flush();
    uint32_t start = ticks[0];
    for (uint32_t tick = 0; tick < 3; tick++)
        wait_while(&ticks[0], start + tick);
    uint32_t before = external_interrupts;
    for (uint32_t tick = 3; tick < 8; tick++)
        wait_while(&ticks[0], start + tick);
    print("quiet: %u interrupts\n", (uint64_t)(external_interrupts - before));
}

static void work(void) {
    for (int round = 0; round < ROUNDS; round++) {
        acquire(&count_lock);
        count = count + 1;
        release(&count_lock);
    }
    __atomic_fetch_add(&finished, 1, __ATOMIC_RELEASE);
}

static bool equal(const char *one, const char *other) {
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

static void finish(uint32_t how) {
    flush();
    *FINISHER = how;
}

static void obey(void) {
    char line[64];
    for (;;) {
        print("> ");
        size_t length = read_line(line, sizeof line);
        if (equal(line, "poweroff"))
            finish(0x5555);
        else if (equal(line, "fail"))
            finish(3 << 16 | 0x3333);
        else if (equal(line, "reboot"))
            finish(0x7777);
        else
            print("%u characters: %s\n", length, line);
    }
}

static void boot_hart_main(void) {
    root[0] = PTE(0, PTE_RW);
    root[1] = PTE(middle, PTE_POINTER);
    root[2] = PTE(2 * GIGABYTE, PTE_RWX);
    middle[0] = PTE(leaves, PTE_POINTER);
    leaves[0] = PTE(page, PTE_RW);
    page[0] = 42;
    enable_paging();
    uart_init();
    *PLIC_PRIORITY(UART_SOURCE) = 1;
    for (int slot = 0; slot < VIRTIO_SLOTS; slot++)
        *PLIC_PRIORITY(VIRTIO_SOURCE + slot) = 1;
    enable_interrupts();

    uint64_t harts = count_harts(tree);
    print("kernel: %u harts, vendor %x\n", harts, vendor_id);
    show_paging();
    show_time();
    show_faults();
    show_disk();
    for (uint32_t hart = 1; hart < harts; hart++) {
        turn = hart;
        wait_while(&turn, hart);
    }
    turn = MAX_HARTS;
    work();
    while (finished != harts)
        __asm__ volatile("wfi");
    print("harts: counted to %u\n", count);
    show_quiet();
    obey();
}

static void hart_main(void) {
    uint32_t hart = (uint32_t)this_hart();
    if (hart == 0)
        boot_hart_main();
    while (turn != hart) {
    }
    enable_paging();
    enable_interrupts();
    uint32_t start = ticks[hart];
    wait_while(&ticks[hart], start);
    print("hart %u: here, its timer ticks\n", (uint64_t)hart);
    turn = 0;
    while (turn != MAX_HARTS) {
    }
    work();
    for (;;)
        __asm__ volatile("wfi");
}
