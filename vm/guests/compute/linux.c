/* Linux, as root, with no driver in the kernel: the registers through /dev/mem, memory in huge pages, whose physical
 * addresses /proc/self/pagemap tells (Documentation/admin-guide/mm/pagemap.rst), and waits that poll.
 *
 * A kernel that is built to keep /dev/mem from what its drivers have (CONFIG_IO_STRICT_DEVMEM) lets go of a slot when its
 * virtio-mmio driver is unbound, which vmc_take_slot does. Huge pages stay where they are while they are mapped.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ends.h"

#define HUGE (2UL << 20)
#define PAGE 4096UL
#define ARENAS 64                       /* pieces of memory that vmc_alloc has had from the kernel */
#define FRAME ((1UL << 55) - 1)         /* of an entry of pagemap */
#define PRESENT (1UL << 63)
#define LEAST_NS 1000                   /* of a wait, which doubles */
#define MOST_NS 1000000

struct arena {
    char *start;
    size_t size, taken;
    uint64_t *physical;                 /* of each huge page */
};

static struct arena arenas[ARENAS];
static unsigned arena_count;

static volatile uint32_t *map_registers(unsigned slot) {
    int file = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    if (file < 0)
        return 0;
    void *registers = mmap(0, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)(SLOT_BASE + slot * SLOT_SIZE));
    close(file);
    return registers == MAP_FAILED ? 0 : registers;
}

/* A number in a file, or -1. */
static long number_in(const char *path) {
    long number = -1;
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%ld", &number) != 1)
            number = -1;
        fclose(file);
    }
    return number;
}

static int write_to(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    if (!file)
        return -1;
    int failed = fputs(text, file) < 0;
    failed |= fclose(file) != 0;
    return failed ? -1 : 0;
}

static void unbind(unsigned slot) {
    char name[32];
    snprintf(name, sizeof name, "%lx.virtio_mmio", SLOT_BASE + slot * SLOT_SIZE);
    write_to("/sys/bus/platform/drivers/virtio-mmio/unbind", name);    /* fails where no driver has it: as it should be */
}

/* Whether the slot holds a compute device, as the kernel's driver has read it: that of others is left alone. */
static int is_another_device(unsigned slot) {
    char path[128];
    for (unsigned bus = 0; bus < 64; bus++) {
        snprintf(path, sizeof path, "/sys/devices/platform/soc/%lx.virtio_mmio/virtio%u/device",
                 SLOT_BASE + slot * SLOT_SIZE, bus);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        unsigned id = 0;
        int read = fscanf(file, "%x", &id);
        fclose(file);
        return read != 1 || id != VMC_DEVICE_ID;
    }
    return 0;
}

volatile uint32_t *vmc_map_slot(unsigned slot) {
    if (is_another_device(slot))
        return 0;
    unbind(slot);
    return map_registers(slot);
}

void vmc_release_slot(volatile uint32_t *registers) {
    munmap((void *)registers, SLOT_SIZE);
}

int vmc_take_slot(unsigned slot) {
    (void)slot;
    return 0;
}

/* See that the kernel has so many huge pages free. */
static int reserve(size_t pages) {
    long total = number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    long left = number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    if (total < 0 || left < 0)
        return -1;
    if ((size_t)left >= pages)
        return 0;
    char text[32];
    snprintf(text, sizeof text, "%ld", total + (long)pages - left);
    return write_to("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", text);
}

static int find_physical(struct arena *arena) {
    int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    int failed = 0;
    for (size_t page = 0; page < arena->size / HUGE; page++) {
        uint64_t entry = 0;
        off_t at = (off_t)(((uintptr_t)arena->start + page * HUGE) / PAGE * sizeof entry);
        failed |= pread(file, &entry, sizeof entry, at) != sizeof entry || !(entry & PRESENT) || !(entry & FRAME);
        arena->physical[page] = (entry & FRAME) * PAGE;
    }
    close(file);
    return failed ? -1 : 0;
}

static struct arena *new_arena(size_t size) {
    size = (size + HUGE - 1) & ~(HUGE - 1);
    if (arena_count == ARENAS || reserve(size / HUGE) < 0)
        return 0;
    struct arena *arena = &arenas[arena_count];
    arena->start = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE | MAP_LOCKED,
                        -1, 0);
    if (arena->start == MAP_FAILED)
        return 0;
    arena->size = size;
    arena->taken = 0;
    arena->physical = calloc(size / HUGE, sizeof *arena->physical);
    memset(arena->start, 0, size);              /* there from now on */
    if (!arena->physical || find_physical(arena) < 0) {
        munmap(arena->start, size);
        free(arena->physical);
        return 0;
    }
    arena_count++;
    return arena;
}

static void *take(size_t size, size_t alignment) {
    struct arena *arena = arena_count ? &arenas[arena_count - 1] : 0;
    size_t at = arena ? (arena->taken + alignment - 1) & ~(alignment - 1) : 0;
    if (!arena || at > arena->size || size > arena->size - at) {
        arena = new_arena(size);
        at = 0;
        if (!arena)
            return 0;
    }
    arena->taken = at + size;
    return arena->start + at;
}

void *vmc_alloc(struct vmc *device, size_t size) {
    (void)device;
    return take(size ? size : 1, 64);
}

void *vmc_shared_memory(size_t size) {
    return size <= HUGE ? take(size, HUGE) : 0;         /* within one huge page */
}

void vmc_free_all(void) {
    while (arena_count) {
        struct arena *arena = &arenas[--arena_count];
        munmap(arena->start, arena->size);
        free(arena->physical);
    }
}

int vmc_pieces(const void *start, size_t size, struct segment *pieces, unsigned most) {
    const char *at = start;
    struct arena *arena = 0;
    for (unsigned number = 0; number < arena_count; number++)
        if (at >= arenas[number].start && size <= arenas[number].size &&
            (size_t)(at - arenas[number].start) <= arenas[number].size - size)
            arena = &arenas[number];
    if (!arena)
        return VMC_NOT_SHARED;
    unsigned count = 0;
    size_t offset = (size_t)(at - arena->start);
    while (size) {
        uint64_t address = arena->physical[offset / HUGE] + offset % HUGE;
        size_t length = HUGE - offset % HUGE;
        if (length > size)
            length = size;
        if (count && pieces[count - 1].address + pieces[count - 1].length == address) {
            pieces[count - 1].length += length;
        } else {
            if (count == most)
                return VMC_TOO_LONG;
            pieces[count++] = (struct segment){address, length};
        }
        offset += length;
        size -= length;
    }
    return (int)count;
}

void vmc_pause(unsigned slot, volatile uint32_t *registers) {
    static long wait = LEAST_NS;
    struct timespec time = {0, wait};
    nanosleep(&time, 0);
    uint32_t cause = registers[0x60 / 4];
    if (cause) {
        registers[0x64 / 4] = cause;            /* acknowledged, though nobody took it */
        wait = LEAST_NS;
    } else if (wait < MOST_NS) {
        wait *= 2;
    }
    (void)slot;
}
