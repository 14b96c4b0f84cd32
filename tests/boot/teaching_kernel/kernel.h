/* A kernel of the kind that operating-system courses teach, for QEMU's `virt`, with the habits that they have:
 *
 * - page-table entries never have A and D set, and hardware sets them;
 * - the UART's IIR is never read, so a transmitter that is empty stays an interrupt;
 * - the disk is negotiated without VIRTIO_F_VERSION_1, on either layout of the virtio registers;
 * - all harts enable all sources of the PLIC and claim against each other.
 *
 * What it prints does not depend on time.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_HARTS 8
#define FINISHER ((volatile uint32_t *)0x100000)
#define RTC ((volatile uint32_t *)0x101000)
#define CLINT_MTIMECMP(hart) ((volatile uint64_t *)0x2004000 + (hart))
#define CLINT_MTIME ((volatile uint64_t *)0x200bff8)
#define UART_SOURCE 10
#define VIRTIO_SOURCE 1                 /* of the first slot */
#define VIRTIO_SLOTS 8

#define csr_read(name) ({ uint64_t value_; __asm__ volatile("csrr %0, " #name : "=r"(value_)); value_; })
#define csr_write(name, value) __asm__ volatile("csrw " #name ", %0" ::"r"((uint64_t)(value)) : "memory")
#define csr_set(name, bits) __asm__ volatile("csrs " #name ", %0" ::"r"((uint64_t)(bits)) : "memory")
#define csr_clear(name, bits) __asm__ volatile("csrc " #name ", %0" ::"r"((uint64_t)(bits)) : "memory")
#define SSTATUS_SIE 2

static inline uint64_t this_hart(void) {
    uint64_t hart;
    __asm__ volatile("mv %0, tp" : "=r"(hart));
    return hart;
}

/* A spin lock, held with interrupts off; `enabled` is what they were before. */
struct lock {
    uint32_t held;
    bool enabled;
};

void acquire(struct lock *lock);
void release(struct lock *lock);
void wait_while(volatile uint32_t *word, uint32_t value);   /* for an interrupt handler to change it */

/* uart.c */
void uart_init(void);
void uart_interrupt(void);
void put(char character);
void print(const char *format, ...);    /* %s %u %x */
void flush(void);
size_t read_line(char *line, size_t size);

/* disk.c */
void disk_init(void);
void disk_interrupt(uint32_t source);
void disk_transfer(uint64_t sector, void *data, bool write);

/* tree.c */
uint64_t count_harts(const void *tree);

#endif
