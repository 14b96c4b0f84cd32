/* The driver: virtio on MMIO (virtio 1.2, 4.2), split queues (2.7), and requests as docs/devices/compute.md has them. */

#include "vmcompute.h"
#include "ends.h"

/* Registers, in words */
enum { MAGIC = 0x00 / 4, VERSION = 0x04 / 4, DEVICE_ID = 0x08 / 4, FEATURES = 0x10 / 4, FEATURES_SELECT = 0x14 / 4,
       DRIVER_FEATURES = 0x20 / 4, DRIVER_FEATURES_SELECT = 0x24 / 4, QUEUE_SELECT = 0x30 / 4, QUEUE_SIZE = 0x38 / 4,
       QUEUE_READY = 0x44 / 4, QUEUE_NOTIFY = 0x50 / 4, INTERRUPT_STATUS = 0x60 / 4, INTERRUPT_ACK = 0x64 / 4,
       STATUS = 0x70 / 4, DESCRIPTORS = 0x80 / 4, DRIVER_AREA = 0x90 / 4, DEVICE_AREA = 0xA0 / 4, CONFIG = 0x100 / 4 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { NEXT = 1, WRITE = 2 };                   /* descriptor flags */
enum { NO_INTERRUPT = 1 };                      /* available ring */

#define F_CANCEL (1u << 0)
#define F_CALL (1u << 1)
#define F_VERSION_1_HIGH (1u << 0)
#define MAGIC_VALUE 0x74726976
#define QUEUE_ENTRIES (2 * VMC_TICKETS)         /* a request is two descriptors */
#define LARGEST_REQUEST 0x7000
#define QUEUES 4                                /* of requests that this driver uses; behind them is that of control */
#define PENDING 0xFFFFFFFFu                     /* a status that the device has not written yet */

struct header {
    uint64_t tag;
    uint16_t operation;
    uint8_t arrays, reserved;
    uint32_t name_size;
    uint64_t parameters[4];
};

struct description {
    uint8_t type, rank;
    uint16_t reserved;
    uint32_t segments;
    uint64_t offset;
};

struct reply {
    uint32_t status, array;
    uint64_t written;
};

struct vmc_memory {
    struct { uint64_t address; uint32_t length; uint16_t flags, next; } descriptors[QUEUE_ENTRIES];
    struct { uint16_t flags, index, ring[QUEUE_ENTRIES], event; } available;
    struct { uint16_t flags, index; struct { uint32_t id, length; } ring[QUEUE_ENTRIES]; uint16_t event; } used
        __attribute__((aligned(4)));
    uint16_t seen;                              /* of the used ring */
    uint8_t busy[VMC_TICKETS];                  /* 1: under way, 2: the device is done with it */
    struct reply replies[VMC_TICKETS];
    uint64_t tags[VMC_TICKETS];
    uint8_t requests[VMC_TICKETS][LARGEST_REQUEST] __attribute__((aligned(4096)));
};

static const uint8_t item_sizes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 8, 16};

/* The device's accesses to memory and this driver's are in order; the compiler's must be as well. */
#define barrier() __asm__ volatile("fence" ::: "memory")

size_t vmc_item_size(unsigned type) {
    return type < sizeof item_sizes ? item_sizes[type] : 0;
}

struct vmc_array vmc_dense(void *data, unsigned type, unsigned rank, const uint64_t *shape) {
    struct vmc_array array = {.data = data, .type = (uint8_t)type, .rank = (uint8_t)rank};
    int64_t stride = (int64_t)vmc_item_size(type);
    for (unsigned axis = rank; axis--;) {
        array.shape[axis] = shape[axis];
        array.strides[axis] = stride;
        stride *= (int64_t)shape[axis];
    }
    return array;
}

struct vmc_array vmc_vector(void *data, unsigned type, uint64_t count) {
    return vmc_dense(data, type, 1, &count);
}

struct vmc_array vmc_matrix(void *data, unsigned type, uint64_t rows, uint64_t columns) {
    uint64_t shape[] = {rows, columns};
    return vmc_dense(data, type, 2, shape);
}

struct vmc_array vmc_scalar(void *data, unsigned type) {
    return vmc_dense(data, type, 0, 0);
}

/* --- Opening --------------------------------------------------------------------------------------------------------- */

static int physical(const void *start, size_t size, uint64_t *address) {
    struct segment piece;
    int count = vmc_pieces(start, size, &piece, 1);
    *address = piece.address;
    return count == 1 ? 0 : VMC_NO_MEMORY;
}

static void set_address(volatile uint32_t *registers, unsigned low, uint64_t address) {
    registers[low] = (uint32_t)address;
    registers[low + 1] = (uint32_t)(address >> 32);
}

static int set_up_queue(volatile uint32_t *registers, unsigned index, struct vmc_memory *memory) {
    uint64_t base;
    if (physical(memory, sizeof *memory, &base) < 0)
        return VMC_NO_MEMORY;
    for (unsigned ticket = 0; ticket < VMC_TICKETS; ticket++) {
        memory->descriptors[2 * ticket].address = base + (uint64_t)((char *)memory->requests[ticket] - (char *)memory);
        memory->descriptors[2 * ticket].flags = NEXT;
        memory->descriptors[2 * ticket].next = (uint16_t)(2 * ticket + 1);
        memory->descriptors[2 * ticket + 1].address =
            base + (uint64_t)((char *)&memory->replies[ticket] - (char *)memory);
        memory->descriptors[2 * ticket + 1].length = sizeof(struct reply);
        memory->descriptors[2 * ticket + 1].flags = WRITE;
    }
    memory->available.flags = NO_INTERRUPT;
    registers[QUEUE_SELECT] = index;
    registers[QUEUE_SIZE] = QUEUE_ENTRIES;
    set_address(registers, DESCRIPTORS, base + offsetof(struct vmc_memory, descriptors));
    set_address(registers, DRIVER_AREA, base + offsetof(struct vmc_memory, available));
    set_address(registers, DEVICE_AREA, base + offsetof(struct vmc_memory, used));
    registers[QUEUE_READY] = 1;
    return 0;
}

static int start(struct vmc *device, unsigned slot, volatile uint32_t *registers) {
    int error = vmc_take_slot(slot);
    if (error < 0)
        return error;
    device->registers = registers;
    device->slot = slot;
    device->tag = 0;
    registers[STATUS] = 0;
    registers[STATUS] = ACKNOWLEDGE;
    registers[STATUS] = ACKNOWLEDGE | DRIVER;
    volatile uint32_t *config = registers + CONFIG;
    for (unsigned word = 0; word < sizeof device->config / 4; word++)
        ((uint32_t *)&device->config)[word] = config[word];
    registers[DRIVER_FEATURES_SELECT] = 0;
    registers[DRIVER_FEATURES] = F_CANCEL | F_CALL;
    registers[DRIVER_FEATURES_SELECT] = 1;
    registers[DRIVER_FEATURES] = F_VERSION_1_HIGH;
    registers[STATUS] = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    if (device->config.version != VMC_VERSION || !(registers[STATUS] & FEATURES_OK))
        return VMC_REFUSED;
    device->queues = device->config.queues < QUEUES ? device->config.queues : QUEUES;
    device->memory = vmc_shared_memory((device->queues + 1) * sizeof(struct vmc_memory));
    if (!device->memory)
        return VMC_NO_MEMORY;
    for (unsigned index = 0; index <= device->queues && !error; index++)
        error = set_up_queue(registers, index < device->queues ? index : device->config.queues,
                             device->memory + index);
    if (error)
        return error;
    registers[STATUS] = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
    return registers[STATUS] & NEEDS_RESET ? VMC_REFUSED : VMC_OK;
}

int vmc_open(struct vmc *device, unsigned number) {
    int reached = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        volatile uint32_t *registers = vmc_map_slot(slot);
        if (!registers)
            continue;
        reached = 1;
        if (registers[MAGIC] == MAGIC_VALUE && registers[VERSION] == 2 && registers[DEVICE_ID] == VMC_DEVICE_ID &&
            number-- == 0)
            return start(device, slot, registers);
        vmc_release_slot(registers);
    }
    return reached ? VMC_NO_DEVICE : VMC_NO_MEMORY;
}

void vmc_close(struct vmc *device) {
    device->registers[STATUS] = 0;
    vmc_release_slot(device->registers);
    vmc_free_all();
}

/* --- Requests -------------------------------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, const void *data, size_t size) {
    const uint8_t *from = data;
    while (size--)
        *at++ = *from++;
    return at;
}

/* Describe an array at `at`; returns how many bytes that took, or an error below 0. */
static int describe(const struct vmc_array *array, uint8_t *at, const uint8_t *end) {
    if (array->rank > VMC_MAX_RANK)
        return VMC_MALFORMED;
    size_t size = sizeof(struct description) + 16u * array->rank;
    if ((size_t)(end - at) < size)
        return VMC_TOO_LONG;
    const char *data = array->data, *low = data, *high = data + vmc_item_size(array->type);
    for (unsigned axis = 0; axis < array->rank; axis++) {
        if (array->shape[axis] == 0) {
            high = low = data;                  /* no elements: no memory */
            break;
        }
        int64_t reach = (int64_t)(array->shape[axis] - 1) * array->strides[axis];
        if (reach < 0)
            low += reach;
        else
            high += reach;
    }
    unsigned room = (unsigned)((size_t)(end - at) - size) / sizeof(struct segment);
    int count = high == low ? 0 : vmc_pieces(low, (size_t)(high - low), (struct segment *)(void *)(at + size), room);
    if (count < 0)
        return count;
    struct description *head = (struct description *)(void *)at;
    *head = (struct description){array->type, array->rank, 0, (uint32_t)count, (uint64_t)(data - low)};
    uint64_t *words = (uint64_t *)(head + 1);
    for (unsigned axis = 0; axis < array->rank; axis++) {
        words[axis] = array->shape[axis];
        words[array->rank + axis] = (uint64_t)array->strides[axis];
    }
    return (int)(size + sizeof(struct segment) * (unsigned)count);
}

/* Fill the request of a ticket; returns its length, or an error below 0. */
static int fill(struct vmc_memory *memory, unsigned ticket, uint64_t tag, unsigned operation, const uint64_t *parameters,
                const char *name, unsigned count, const struct vmc_array *arrays) {
    uint8_t *request = memory->requests[ticket], *at = request + sizeof(struct header), *end = request + LARGEST_REQUEST;
    struct header *header = (struct header *)(void *)request;
    size_t name_size = 0;
    while (name && name[name_size])
        name_size++;
    if (count > VMC_MAX_ARRAYS || name_size > 255)
        return VMC_MALFORMED;
    header->tag = tag;
    header->operation = (uint16_t)operation;
    header->arrays = (uint8_t)count;
    header->name_size = (uint32_t)name_size;
    for (unsigned number = 0; number < 4; number++)
        header->parameters[number] = parameters ? parameters[number] : 0;
    for (unsigned number = 0; number < count; number++) {
        int size = describe(arrays + number, at, end);
        if (size < 0)
            return size;
        at += size;
    }
    if ((size_t)(end - at) < name_size)
        return VMC_TOO_LONG;
    at = put(at, name, name_size);
    return (int)(at - request);
}

/* Look at what the device has given back. */
static void collect(struct vmc_memory *memory) {
    barrier();
    while (memory->seen != *(volatile uint16_t *)&memory->used.index) {
        barrier();
        memory->busy[memory->used.ring[memory->seen % QUEUE_ENTRIES].id / 2 % VMC_TICKETS] = 2;
        memory->seen++;
    }
}

static int offer(struct vmc *device, unsigned index, unsigned queue, uint64_t tag, unsigned operation,
                 const uint64_t *parameters, const char *name, unsigned count, const struct vmc_array *arrays) {
    struct vmc_memory *memory = device->memory + index;
    unsigned ticket = 0;
    while (ticket < VMC_TICKETS && memory->busy[ticket])
        ticket++;
    if (ticket == VMC_TICKETS)
        return VMC_BUSY;
    int length = fill(memory, ticket, tag, operation, parameters, name, count, arrays);
    if (length < 0)
        return length;
    memory->busy[ticket] = 1;
    memory->tags[ticket] = tag;
    memory->replies[ticket].status = PENDING;
    memory->descriptors[2 * ticket].length = (uint32_t)length;
    memory->available.ring[memory->available.index % QUEUE_ENTRIES] = (uint16_t)(2 * ticket);
    barrier();
    memory->available.index++;
    barrier();
    device->registers[QUEUE_NOTIFY] = queue;
    return (int)ticket;
}

static int finish(struct vmc *device, struct vmc_memory *memory, int ticket) {
    if (ticket < 0 || ticket >= VMC_TICKETS || !memory->busy[ticket])
        return VMC_MALFORMED;
    for (collect(memory); memory->busy[ticket] != 2; collect(memory)) {
        if (device->registers[STATUS] & NEEDS_RESET)
            return VMC_BROKEN;
        memory->available.flags = 0;            /* from now on it is to interrupt, unless it is done meanwhile */
        collect(memory);
        if (memory->busy[ticket] != 2)
            vmc_pause(device->slot, device->registers);
        memory->available.flags = NO_INTERRUPT;
    }
    memory->busy[ticket] = 0;
    device->array = memory->replies[ticket].array;
    device->written = memory->replies[ticket].written;
    return (int)memory->replies[ticket].status;
}

int vmc_submit(struct vmc *device, unsigned queue, unsigned operation, const uint64_t *parameters, const char *name,
               unsigned count, const struct vmc_array *arrays) {
    if (queue >= device->queues)
        return VMC_MALFORMED;
    return offer(device, queue, queue, ++device->tag, operation, parameters, name, count, arrays);
}

int vmc_done(struct vmc *device, unsigned queue, int ticket) {
    if (queue >= device->queues || ticket < 0 || ticket >= VMC_TICKETS)
        return 0;
    collect(device->memory + queue);
    return device->memory[queue].busy[ticket] == 2;
}

int vmc_wait(struct vmc *device, unsigned queue, int ticket) {
    return queue < device->queues ? finish(device, device->memory + queue, ticket) : VMC_MALFORMED;
}

int vmc_cancel(struct vmc *device, unsigned queue, int ticket) {
    if (queue >= device->queues || ticket < 0 || ticket >= VMC_TICKETS || !device->memory[queue].busy[ticket])
        return VMC_NOT_FOUND;
    uint64_t parameters[4] = {queue};
    int asked = offer(device, device->queues, device->config.queues, device->memory[queue].tags[ticket], VMC_CANCEL,
                      parameters, 0, 0, 0);
    return asked < 0 ? asked : finish(device, device->memory + device->queues, asked);
}

int vmc_do(struct vmc *device, unsigned operation, const uint64_t *parameters, unsigned count,
           const struct vmc_array *arrays) {
    int ticket = vmc_submit(device, 0, operation, parameters, 0, count, arrays);
    return ticket < 0 ? ticket : vmc_wait(device, 0, ticket);
}

int vmc_call(struct vmc *device, const char *name, int output, unsigned count, const struct vmc_array *arrays) {
    uint64_t parameters[4] = {output != 0};
    int ticket = vmc_submit(device, 0, VMC_CALL, parameters, name, count, arrays);
    return ticket < 0 ? ticket : vmc_wait(device, 0, ticket);
}
