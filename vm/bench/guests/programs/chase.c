/* Pointer chase: one cycle through nodes of a cache line in random order (Sattolo's shuffle), for working sets that fit
 * the first-level cache, the second, and neither. */

#include "bench.h"

#define LARGEST (1 << 18)               /* nodes: 16 MiB */
#define HOPS 4000000
#define EXPECTED 0x381581326818959f

static struct node {
    struct node *next;
    uint64_t value[7];
} nodes[LARGEST];
static uint32_t order[LARGEST];

static NOINLINE void make_cycle(uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t other = (uint32_t)(random_at(i) % i), swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
    for (uint32_t i = 0; i < count; i++) {
        nodes[i].next = &nodes[order[i]];
        nodes[i].value[0] = random_at(i);
    }
}

static NOINLINE uint64_t chase(uint64_t hops) {
    uint64_t sum = 0;
    for (struct node *here = nodes; hops > 0; hops--, here = here->next)
        sum = (sum << 1 | sum >> 63) ^ here->value[0];
    return sum;
}

int main(void) {
    static const struct { uint32_t nodes, hops; } stages[] = {
        {1 << 9, 4 * HOPS}, {1 << 14, 2 * HOPS}, {LARGEST, HOPS},
    };
    uint64_t result = 0;
    for (int i = 0; i < 3; i++) {
        make_cycle(stages[i].nodes);
        result = mix(result, chase(stages[i].hops));
    }
    return verdict("chase", result, EXPECTED);
}
