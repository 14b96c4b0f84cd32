/* What benchmarks/compute.py measures, in the host's time: the host's function "mark" is called before and after each. */

#include "vmcompute.h"
#include "platform.h"

#define ROUNDS 20000
#define SIDE 1024
#define PRODUCTS 24
#define ADDITIONS 8
#define ELEMENTS (43UL << 20)           /* three arrays of 344 MiB are more than 1 GB */
#define FREE ((char *)0x81000000)       /* behind this program */

static struct vmc device;

static void mark(void) {
    if (vmc_call(&device, "mark", 0, 0, 0) != VMC_OK)
        power_off(2);
}

int main(void) {
    if (vmc_open(&device, 0) != VMC_OK)
        return 1;
    mark();
    for (int i = 0; i < ROUNDS; i++)
        if (vmc_do(&device, VMC_EMPTY, 0, 0, 0) != VMC_OK)
            return 3;
    mark();

    uint64_t seed[4] = {1, 0, 0x3FF0000000000000};          /* at least 0.0, less than 1.0 */
    struct vmc_array matrices[3];
    for (int i = 0; i < 3; i++)
        matrices[i] = vmc_matrix(FREE + i * SIDE * SIDE * 8, VMC_F64, SIDE, SIDE);
    for (int i = 0; i < 2; i++)
        if (vmc_do(&device, VMC_RANDOM_UNIFORM, seed, 1, matrices + i) != VMC_OK)
            return 4;
    for (int i = 0; i < PRODUCTS; i++) {
        mark();
        if (vmc_do(&device, VMC_MATMUL, 0, 3, matrices) != VMC_OK)
            return 5;
        mark();
    }

    struct vmc_array large[3];
    for (int i = 0; i < 3; i++)
        large[i] = vmc_vector(FREE + i * ELEMENTS * 8, VMC_F64, ELEMENTS);
    for (int i = 0; i < ADDITIONS; i++) {
        mark();
        if (vmc_do(&device, VMC_ADD, 0, 3, large) != VMC_OK)
            return 6;
        mark();
    }
    return 0;
}
