/* `counts`: what Linux counts of a loop of known length, by perf_event_open(2): lines of a name and numbers.
 *
 * A count is the difference of a long run and an empty one, so that all around the loop is left out. Samples are read
 * from the ring buffer: how many there are, and how many of them are in the loop.
 */

#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURNS 1000000
#define PERIOD 100000
#define FIRMWARE (1ull << 63)

extern const char loop_begin[], loop_end[];

/* Four instructions a turn. */
static __attribute__((noinline)) void loop(long turns) {
    __asm__ volatile("beqz %0, 2f\n"
                     ".globl loop_begin, loop_end\n"
                     "loop_begin: 1: addi %0, %0, -1\n"
                     "xor t0, t0, %0\n"
                     "addi t0, t0, 5\n"
                     "bnez %0, 1b\n"
                     "loop_end: 2:" : "+r"(turns) : : "t0");
}

/* Of user mode alone, where the harts can tell. */
static int opened(uint32_t type, uint64_t config, uint64_t period) {
    struct perf_event_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.size = sizeof attr;
    attr.type = type;
    attr.config = config;
    attr.disabled = 1;
    attr.exclude_kernel = attr.exclude_hv = config < FIRMWARE;
    if (period) {
        attr.sample_period = period;
        attr.sample_type = PERF_SAMPLE_IP;
        attr.wakeup_events = 1;
    }
    int event = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    if (event < 0 && errno == EINVAL) {
        attr.exclude_kernel = attr.exclude_hv = 0;
        event = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    }
    return event;
}

static uint64_t counted(int event, long turns) {
    uint64_t value = 0;
    ioctl(event, PERF_EVENT_IOC_RESET, 0);
    ioctl(event, PERF_EVENT_IOC_ENABLE, 0);
    loop(turns);
    ioctl(event, PERF_EVENT_IOC_DISABLE, 0);
    if (read(event, &value, sizeof value) != sizeof value)
        perror("read");
    return value;
}

static void count(const char *name, uint32_t type, uint64_t config) {
    int event = opened(type, config, 0);
    if (event < 0) {
        perror(name);
        return;
    }
    loop(1);
    counted(event, 0);
    uint64_t empty = counted(event, 0), full = counted(event, TURNS);
    printf("%s %llu\n", name, (unsigned long long)(full - empty));
    close(event);
}

static void sample(const char *name, uint64_t config) {
    long page = sysconf(_SC_PAGESIZE), samples = 0, inside = 0;
    int event = opened(PERF_TYPE_HARDWARE, config, PERIOD);
    if (event < 0) {
        perror(name);
        return;
    }
    char *ring = mmap(0, 9 * page, PROT_READ | PROT_WRITE, MAP_SHARED, event, 0);
    if (ring == MAP_FAILED) {
        perror("mmap");
        return;
    }
    counted(event, TURNS);
    struct perf_event_mmap_page *head = (void *)ring;
    for (uint64_t place = head->data_tail; place < head->data_head;) {
        struct { struct perf_event_header header; uint64_t ip; } *record = (void *)(ring + page + place % (8 * page));
        if (record->header.type == PERF_RECORD_SAMPLE) {
            samples++;
            inside += record->ip >= (uint64_t)loop_begin && record->ip < (uint64_t)loop_end;
        }
        place += record->header.size;
    }
    printf("%s %ld %ld\n", name, samples, inside);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    count("instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS);
    count("cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES);
    count("reference-cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_REF_CPU_CYCLES);
    count("cache-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES);
    count("raw-instructions", PERF_TYPE_RAW, 2);
    sample("samples-of-instructions", PERF_COUNT_HW_INSTRUCTIONS);
    sample("samples-of-cycles", PERF_COUNT_HW_CPU_CYCLES);
    int calls = opened(PERF_TYPE_RAW, 0x101, 0), timers = opened(PERF_TYPE_RAW, FIRMWARE | 5, 0);
    uint64_t value = 0;
    ioctl(calls, PERF_EVENT_IOC_ENABLE, 0);
    ioctl(timers, PERF_EVENT_IOC_ENABLE, 0);
    for (int i = 0; i < 100; i++)
        syscall(SYS_getpid);
    ioctl(calls, PERF_EVENT_IOC_DISABLE, 0);
    if (read(calls, &value, sizeof value) == sizeof value)
        printf("exceptions %llu\n", (unsigned long long)value);
    loop(10 * TURNS);
    if (read(timers, &value, sizeof value) == sizeof value)
        printf("timers %llu\n", (unsigned long long)value);
    return 0;
}
