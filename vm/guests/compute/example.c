/* The same program for bare metal and for Linux: sums, products, a transform and a function of the host's, checked against
 * the guest's own arithmetic. Says what does not fit, and ends with how many things did not. */

#include "vmcompute.h"

#if __STDC_HOSTED__
#include <stdio.h>
#include <stdlib.h>
#define print printf
#define NUMBER "%lu"
static void *memory_for(struct vmc *device, size_t size) {
    void *memory = vmc_alloc(device, size);
    if (!memory) {
        print("compute: no memory\n");
        exit(1);
    }
    return memory;
}
#else
#include "platform.h"                   /* of ../common */
#define NUMBER "%u"                     /* its print has no other */
static void *memory_for(struct vmc *device, size_t size) {
    static char memory[1 << 20] __attribute__((aligned(64)));
    static size_t taken;
    (void)device;
    char *start = memory + taken;
    taken += (size + 63) & ~(size_t)63;
    return taken <= sizeof memory ? start : 0;
}
#endif

#define SIDE 64

static unsigned wrong;

static void expect(const char *what, int right) {
    print("compute: %s %s\n", what, right ? "ok" : "WRONG");
    wrong += !right;
}

static int near(double a, double b) {
    double difference = a - b;
    return difference < 1e-9 && difference > -1e-9;
}

static int run(void) {
    struct vmc device;
    int status = vmc_open(&device, 0);
    if (status != VMC_OK) {
        print("compute: no device (" NUMBER ")\n", (unsigned long)-status);
        return 1;
    }
    expect("an empty operation", vmc_do(&device, VMC_EMPTY, 0, 0, 0) == VMC_OK);

    double *a = memory_for(&device, SIDE * SIDE * sizeof *a), *b = memory_for(&device, SIDE * SIDE * sizeof *b);
    double *c = memory_for(&device, SIDE * SIDE * sizeof *c);
    for (int i = 0; i < SIDE * SIDE; i++) {
        a[i] = i % 7 - 3;
        b[i] = i % 5 * 0.5;
    }
    struct vmc_array left = vmc_matrix(a, VMC_F64, SIDE, SIDE), right = vmc_matrix(b, VMC_F64, SIDE, SIDE);
    struct vmc_array result = vmc_matrix(c, VMC_F64, SIDE, SIDE);
    status = vmc_do(&device, VMC_MATMUL, 0, 3, (struct vmc_array[]){left, right, result});
    int fits = status == VMC_OK;
    for (int row = 0; row < SIDE; row += 9)
        for (int column = 0; column < SIDE; column += 7) {
            double sum = 0;
            for (int i = 0; i < SIDE; i++)
                sum += a[row * SIDE + i] * b[i * SIDE + column];
            fits &= near(sum, c[row * SIDE + column]);
        }
    expect("a product of matrices", fits);

    struct vmc_array backwards = left;              /* rows from the last to the first, by a negative stride */
    backwards.data = a + (SIDE - 1) * SIDE;
    backwards.strides[0] = -backwards.strides[0];
    status = vmc_do(&device, VMC_ADD, 0, 3, (struct vmc_array[]){left, backwards, result});
    fits = status == VMC_OK;
    for (int i = 0; i < SIDE * SIDE; i++)
        fits &= near(c[i], a[i] + a[(SIDE - 1 - i / SIDE) * SIDE + i % SIDE]);
    expect("a sum with negative strides", fits);

    double total = 0, *mean = memory_for(&device, sizeof *mean);
    for (int i = 0; i < SIDE * SIDE; i++)
        total += b[i];
    uint64_t all_axes[4] = {VMC_ALL_AXES};
    status = vmc_do(&device, VMC_MEAN, all_axes, 2, (struct vmc_array[]){right, vmc_scalar(mean, VMC_F64)});
    expect("a mean", status == VMC_OK && near(*mean, total / (SIDE * SIDE)));

    struct vmc_array spectrum = vmc_vector(c, VMC_C128, SIDE), signal = vmc_vector(b, VMC_F64, SIDE);
    status = vmc_do(&device, VMC_FFT, 0, 2, (struct vmc_array[]){signal, spectrum});
    total = 0;
    for (int i = 0; i < SIDE; i++)
        total += b[i];
    expect("a transform", status == VMC_OK && near(c[0], total) && near(c[1], 0));

    status = vmc_do(&device, VMC_ADD, 0, 3, (struct vmc_array[]){left, signal, spectrum});
    expect("a refusal", status == VMC_SHAPE && device.array == 2);

    status = vmc_call(&device, "twice", 1, 2, (struct vmc_array[]){signal, vmc_vector(c, VMC_F64, SIDE)});
    if (status == VMC_NOT_FOUND) {
        print("compute: the host has no function twice\n");
    } else {
        expect("a function of the host", status == VMC_OK && near(c[9], 2 * b[9]));
    }

    int tickets[VMC_TICKETS];                       /* one after the other adds 1 */
    double *ones = memory_for(&device, sizeof *ones);
    *ones = 1;
    for (int i = 0; i < SIDE; i++)
        c[i] = 0;
    struct vmc_array counts = vmc_vector(c, VMC_F64, SIDE);
    fits = 1;
    for (int i = 0; i < VMC_TICKETS; i++)
        fits &= (tickets[i] = vmc_submit(&device, 0, VMC_ADD, 0, 0, 3,
                                         (struct vmc_array[]){counts, vmc_scalar(ones, VMC_F64), counts})) >= 0;
    fits &= vmc_submit(&device, 0, VMC_EMPTY, 0, 0, 0, 0) == VMC_BUSY;
    int cancelled = 0;
    for (int i = VMC_TICKETS - 1; i >= VMC_TICKETS - 2; i--)
        cancelled += vmc_cancel(&device, 0, tickets[i]) == VMC_OK;
    for (int i = 0; i < VMC_TICKETS; i++)
        fits &= vmc_wait(&device, 0, tickets[i]) == (i < VMC_TICKETS - cancelled ? VMC_OK : VMC_CANCELLED);
    expect("several at once", fits && near(c[SIDE - 1], VMC_TICKETS - cancelled));
    print("compute: " NUMBER " cancelled\n", (unsigned long)cancelled);
    vmc_close(&device);
    print("compute: " NUMBER " wrong\n", (unsigned long)wrong);
    return wrong != 0;
}

int main(void) {
    return run();
}
