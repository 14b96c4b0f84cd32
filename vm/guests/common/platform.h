/* The QEMU `virt` board as a bare-metal program sees it, and access to CSRs.
 *
 * UART: National Semiconductor PC16550D. Power: device-tree binding "sifive,test1".
 * CSRs: RISC-V Privileged Architecture, chapter "Control and Status Registers".
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMEBASE_HZ 10000000UL

#define csr_read(name) ({ uint64_t value_; __asm__ volatile("csrr %0, " #name : "=r"(value_)); value_; })
#define csr_write(name, value) __asm__ volatile("csrw " #name ", %0" ::"r"((uint64_t)(value)) : "memory")
#define csr_set(name, bits) __asm__ volatile("csrs " #name ", %0" ::"r"((uint64_t)(bits)) : "memory")
#define csr_clear(name, bits) __asm__ volatile("csrc " #name ", %0" ::"r"((uint64_t)(bits)) : "memory")

/* console.c */
void console_init(void);
void console_put(char character);
/* %c %s %u (unsigned long) %x (unsigned long) %%; a width, with a leading 0 for zeros, a leading - to align left. */
void print(const char *format, ...);
_Noreturn void power_off(unsigned exit_code);   /* 0 is success */

#endif
