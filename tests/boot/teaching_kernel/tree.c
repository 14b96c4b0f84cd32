/* As much of the device tree (Devicetree Specification 0.4, chapter 5) as it takes to count the harts. */

#include "kernel.h"

enum { BEGIN_NODE = 1, END_NODE, PROPERTY, NOP, END = 9 };

static uint32_t big_endian(const uint32_t *word) {
    return __builtin_bswap32(*word);
}

uint64_t count_harts(const void *tree) {
    const uint32_t *header = tree;
    if (big_endian(&header[0]) != 0xd00dfeed)
        return 0;
    const uint32_t *token = header + big_endian(&header[2]) / 4;
    for (uint64_t count = 0;;) {
        switch (big_endian(token++)) {
        case BEGIN_NODE: {
            const char *name = (const char *)token;
            if (name[0] == 'c' && name[1] == 'p' && name[2] == 'u' && name[3] == '@')
                count++;
            size_t length = 0;
            while (name[length])
                length++;
            token += length / 4 + 1;
            break;
        }
        case PROPERTY: token += 2 + (big_endian(token) + 3) / 4; break;
        case END: return count;
        default: break;
        }
    }
}
