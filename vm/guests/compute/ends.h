/* What differs between bare metal and Linux: vmcompute.c is on top of it, bare.c and linux.c are below. */
#ifndef VMCOMPUTE_PLATFORM_H
#define VMCOMPUTE_PLATFORM_H

#include "vmcompute.h"

#define SLOTS 8                         /* of virtio devices on the board, and where */
#define SLOT_BASE 0x10001000UL
#define SLOT_SIZE 0x1000UL

struct segment {
    uint64_t address, length;
};

/* The registers of a slot, or 0 where they cannot be reached; vmc_release_slot lets go of them. */
volatile uint32_t *vmc_map_slot(unsigned slot);
void vmc_release_slot(volatile uint32_t *registers);
/* The slot is this driver's: nobody else's driver has it from now on. 0, or VMC_NO_MEMORY. */
int vmc_take_slot(unsigned slot);
/* `size` bytes in one piece of physical memory, zeroed, aligned to 4096; 0 if there are none. */
void *vmc_shared_memory(size_t size);
/* All that vmc_shared_memory and vmc_alloc gave is taken back. */
void vmc_free_all(void);
/* The physical pieces of [start, start + size), touching ones as one: how many, or an error below 0. */
int vmc_pieces(const void *start, size_t size, struct segment *pieces, unsigned most);
/* Wait a while, at most until the device of a slot interrupts. */
void vmc_pause(unsigned slot, volatile uint32_t *registers);

#endif
