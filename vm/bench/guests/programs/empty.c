/* Nothing but start and power-off: what a machine costs before the first useful instruction. */

#include "bench.h"

int main(void) {
    return verdict("empty", 0, 0);
}
