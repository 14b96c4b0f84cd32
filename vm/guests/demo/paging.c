/* Sv39 page tables with pages of all three sizes (RISC-V Privileged Architecture, "Sv39"). */

#include "demo.h"

enum { V = 1, R = 2, W = 4, X = 8, U = 16, A = 64, D = 128 };
#define ENTRIES 512
#define GIGAPAGE (1UL << 30)
#define SATP_SV39 (8UL << 60)

uint32_t alias_page[1024] __attribute__((aligned(4096)));
static char user_stack[4096] __attribute__((aligned(4096)));
static uint64_t root[ENTRIES] __attribute__((aligned(4096)));
static uint64_t middle[ENTRIES] __attribute__((aligned(4096)));
static uint64_t leaf[ENTRIES] __attribute__((aligned(4096)));

/* A and D are set from the start: the hart need not update them. A table has neither (and no R, W, X). */
static uint64_t map_page(const void *physical, int rights) {
    return (uint64_t)physical >> 12 << 10 | rights | V | A | D;
}

static uint64_t map_table(const uint64_t *table) {
    return (uint64_t)table >> 12 << 10 | V;
}

void paging_on(void) {
    root[0] = map_page((void *)0, R | W);                               /* devices, identical */
    root[2] = map_page((void *)(2 * GIGAPAGE), R | W | X);              /* RAM, identical */
    root[MEGAPAGE_ALIAS >> 30] = map_table(middle);
    middle[MEGAPAGE_ALIAS >> 21 & 511] = map_page((void *)(2 * GIGAPAGE), R);
    middle[PAGE_ALIAS >> 21 & 511] = map_table(leaf);
    leaf[PAGE_ALIAS >> 12 & 511] = map_page(alias_page, R | W);
    leaf[USER_CODE >> 12 & 511] = map_page(user_program, R | X | U);
    leaf[USER_STACK >> 12 & 511] = map_page(user_stack, R | W | U);
    csr_write(satp, SATP_SV39 | (uint64_t)root >> 12);
    __asm__ volatile("sfence.vma" ::: "memory");
}
