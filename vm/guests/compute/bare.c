/* Bare metal, in machine mode on hart 0 of the `virt` board: addresses are physical, and a wait is `wfi`.
 *
 * The PLIC (RISC-V Platform-Level Interrupt Controller specification) leads the device's interrupt to context 0, which
 * is hart 0's machine mode; it is taken from there by hand, so that no handler is needed and mstatus.MIE stays as it is.
 */

#include "ends.h"

#define PLIC 0x0C000000UL
#define PRIORITY(source) ((volatile uint32_t *)(PLIC + 4UL * (source)))
#define ENABLE ((volatile uint32_t *)(PLIC + 0x2000))
#define THRESHOLD ((volatile uint32_t *)(PLIC + 0x200000))
#define CLAIM ((volatile uint32_t *)(PLIC + 0x200004))
#define MACHINE_EXTERNAL (1UL << 11)    /* of mie */
#define INTERRUPT_STATUS (0x60 / 4)     /* of the device */
#define INTERRUPT_ACK (0x64 / 4)
#define SHARED_PAGES 0x200

static char shared[SHARED_PAGES * 4096] __attribute__((aligned(4096)));
static size_t taken;

volatile uint32_t *vmc_map_slot(unsigned slot) {
    return (volatile uint32_t *)(SLOT_BASE + slot * SLOT_SIZE);
}

void vmc_release_slot(volatile uint32_t *registers) {
    (void)registers;
}

int vmc_take_slot(unsigned slot) {
    *PRIORITY(slot + 1) = 1;
    *ENABLE |= 1u << (slot + 1);
    *THRESHOLD = 0;
    return 0;
}

void *vmc_shared_memory(size_t size) {
    size = (size + 4095) & ~(size_t)4095;
    if (size > sizeof shared - taken)
        return 0;
    char *start = shared + taken;
    taken += size;
    for (size_t word = 0; word < size / 8; word++)
        ((volatile uint64_t *)(void *)start)[word] = 0;
    return start;
}

void vmc_free_all(void) {
    taken = 0;
}

int vmc_pieces(const void *start, size_t size, struct segment *pieces, unsigned most) {
    if (most == 0)
        return VMC_TOO_LONG;
    *pieces = (struct segment){(uint64_t)start, size};
    return 1;
}

void vmc_pause(unsigned slot, volatile uint32_t *registers) {
    uint64_t enabled;
    __asm__ volatile("csrrs %0, mie, %1" : "=r"(enabled) : "r"(MACHINE_EXTERNAL));
    __asm__ volatile("wfi" ::: "memory");       /* ends though mstatus.MIE is off, when the interrupt is pending */
    if (!(enabled & MACHINE_EXTERNAL))
        __asm__ volatile("csrc mie, %0" ::"r"(MACHINE_EXTERNAL));
    uint32_t cause = registers[INTERRUPT_STATUS];
    if (cause) {
        uint32_t source = *CLAIM;
        registers[INTERRUPT_ACK] = cause;
        if (source)
            *CLAIM = source;
    }
    (void)slot;
}
