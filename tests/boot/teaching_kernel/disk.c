/* A virtio disk, found by its ids, with as little negotiation as works: version 1 and 2 of the registers (virtio 1.2,
 * section 4.2), no feature of the upper half. One request at a time, waited for by interrupt.
 */

#include "kernel.h"

#define SLOT(number) ((volatile uint32_t *)(0x10001000 + 0x1000 * (uint64_t)(number)))
enum {                                  /* words */
    MAGIC = 0x00 / 4, VERSION = 0x04 / 4, DEVICE_ID = 0x08 / 4, VENDOR = 0x0c / 4, DEVICE_FEATURES = 0x10 / 4,
    DRIVER_FEATURES = 0x20 / 4, PAGE_SIZE = 0x28 / 4, QUEUE_SELECT = 0x30 / 4, QUEUE_MAXIMUM = 0x34 / 4,
    QUEUE_SIZE = 0x38 / 4, QUEUE_PAGE = 0x40 / 4, QUEUE_READY = 0x44 / 4,
    QUEUE_NOTIFY = 0x50 / 4, INTERRUPT_STATUS = 0x60 / 4, INTERRUPT_ACK = 0x64 / 4, STATUS = 0x70 / 4,
    QUEUE_DESCRIPTORS = 0x80 / 4, QUEUE_DRIVER = 0x90 / 4, QUEUE_DEVICE = 0xa0 / 4, CAPACITY = 0x100 / 4,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
enum { NEXT = 1, WRITE = 2 };
enum { READ_SECTOR = 0, WRITE_SECTOR = 1 };
#define UNWANTED (1u << 5 | 1u << 7 | 1u << 11 | 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29)
#define SIZE 8
#define ALIGNMENT 4096

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

/* As the older layout wants it: the used ring on a page of its own. */
static struct {
    struct descriptor descriptors[SIZE];
    struct {
        uint16_t flags;
        volatile uint16_t index;
        uint16_t ring[SIZE];
    } available;
    struct {
        _Alignas(ALIGNMENT) uint16_t flags;
        volatile uint16_t index;
        struct {
            uint32_t id, length;
        } ring[SIZE];
    } used;
} queue __attribute__((aligned(ALIGNMENT)));

static struct {
    uint32_t type, reserved;
    uint64_t sector;
} header;
static volatile uint8_t result;
static volatile uint32_t busy;
static uint16_t seen;
static uint32_t slot;

static void fail(const char *why) {
    print("disk: %s\n", why);
    flush();
    *FINISHER = 1 << 16 | 0x3333;
}

static void place(unsigned word, const volatile void *where) {
    SLOT(slot)[word] = (uint32_t)(uintptr_t)where;
    SLOT(slot)[word + 1] = (uint32_t)((uintptr_t)where >> 32);
}

static void find(void) {
    uint32_t found = VIRTIO_SLOTS;
    print("virtio:");
    for (slot = 0; slot < VIRTIO_SLOTS; slot++) {
        volatile uint32_t *device = SLOT(slot);
        if (device[MAGIC] != 0x74726976 || device[VENDOR] != 0x554d4551 || device[VERSION] - 1 > 1)
            fail("not a virtio slot");
        print(" %u", (uint64_t)device[DEVICE_ID]);
        if (device[DEVICE_ID] == 2 && found == VIRTIO_SLOTS)
            found = slot;
    }
    put('\n');
    if (found == VIRTIO_SLOTS)
        fail("there is none");
    slot = found;
}

void disk_init(void) {
    find();
    volatile uint32_t *device = SLOT(slot);
    device[STATUS] = 0;
    uint32_t status = ACKNOWLEDGE;
    device[STATUS] = status;
    device[STATUS] = status |= DRIVER;
    device[DRIVER_FEATURES] = device[DEVICE_FEATURES] & ~UNWANTED;
    device[STATUS] = status |= FEATURES_OK;
    if (!(device[STATUS] & FEATURES_OK))
        fail("features refused");
    device[QUEUE_SELECT] = 0;
    if (device[QUEUE_MAXIMUM] < SIZE)
        fail("queue too short");
    if (device[VERSION] == 1) {
        device[PAGE_SIZE] = ALIGNMENT;
        device[QUEUE_SIZE] = SIZE;
        device[QUEUE_PAGE] = (uint32_t)((uintptr_t)&queue / ALIGNMENT);
    } else {
        if (device[QUEUE_READY])
            fail("queue in use");
        device[QUEUE_SIZE] = SIZE;
        place(QUEUE_DESCRIPTORS, queue.descriptors);
        place(QUEUE_DRIVER, &queue.available);
        place(QUEUE_DEVICE, &queue.used);
        device[QUEUE_READY] = 1;
    }
    device[STATUS] = status |= DRIVER_OK;
    print("disk: %u sectors\n", (uint64_t)device[CAPACITY]);
}

void disk_transfer(uint64_t sector, void *data, bool write) {
    header.type = write ? WRITE_SECTOR : READ_SECTOR;
    header.sector = sector;
    result = 0xff;
    queue.descriptors[0] = (struct descriptor){(uintptr_t)&header, sizeof header, NEXT, 1};
    queue.descriptors[1] = (struct descriptor){(uintptr_t)data, 512, write ? NEXT : NEXT | WRITE, 2};
    queue.descriptors[2] = (struct descriptor){(uintptr_t)&result, 1, WRITE, 0};
    queue.available.ring[queue.available.index % SIZE] = 0;
    busy = 1;
    __sync_synchronize();
    queue.available.index++;
    __sync_synchronize();
    SLOT(slot)[QUEUE_NOTIFY] = 0;
    wait_while(&busy, 1);
    if (result != 0)
        fail("request failed");
}

void disk_interrupt(uint32_t source) {
    if (source != VIRTIO_SOURCE + slot)
        return;
    SLOT(slot)[INTERRUPT_ACK] = SLOT(slot)[INTERRUPT_STATUS] & 3;
    __sync_synchronize();
    while (seen != queue.used.index) {
        seen++;
        busy = 0;
    }
}
