/* Array work on the host, from a guest: the driver of the compute device (docs/devices/compute.md).
 *
 * Bare metal: link libvmcompute.a, in machine mode on the `virt` board; arrays lie anywhere in RAM. Linux: compile
 * vmcompute.c and linux.c with the program, or link libvmcompute.so; needs root, and arrays lie in what vmc_alloc gives.
 * One thread of one program uses a device at a time.
 *
 *     struct vmc device;
 *     if (vmc_open(&device, 0) != VMC_OK) ...
 *     double a[64][64], b[64][64], c[64][64];
 *     int status = vmc_do(&device, VMC_MATMUL, 0, 3, (struct vmc_array[]){
 *         vmc_matrix(a, VMC_F64, 64, 64), vmc_matrix(b, VMC_F64, 64, 64), vmc_matrix(c, VMC_F64, 64, 64)});
 */
#ifndef VMCOMPUTE_H
#define VMCOMPUTE_H

#include <stddef.h>
#include <stdint.h>

#define VMC_DEVICE_ID 0xB0
#define VMC_VERSION 1
#define VMC_MAX_RANK 8
#define VMC_MAX_ARRAYS 8
#define VMC_ALL_AXES (~(uint64_t)0)
#define VMC_TICKETS 8                   /* requests that are under way at once, in a queue */

/* What a request ends with; below 0: it did not come to one. */
enum {
    VMC_OK, VMC_UNSUPPORTED, VMC_MALFORMED, VMC_TYPE, VMC_SHAPE, VMC_LAYOUT, VMC_ADDRESS, VMC_LIMIT, VMC_VALUE,
    VMC_CANCELLED, VMC_NOT_FOUND, VMC_FAILED, VMC_BACKEND,
    VMC_NO_DEVICE = -1,                 /* vmc_open: there is none with that number */
    VMC_REFUSED = -2,                   /* vmc_open: it does not take the driver, or is of another version */
    VMC_NO_MEMORY = -3,                 /* vmc_open on Linux: no huge pages, or /dev/mem cannot be opened */
    VMC_TOO_LONG = -4,                  /* arrays in more pieces than a request of this driver has room for */
    VMC_BUSY = -5,                      /* as many requests are under way as can be */
    VMC_NOT_SHARED = -6,                /* on Linux: an array is not in memory of vmc_alloc */
    VMC_BROKEN = -7                     /* the device needs a reset: vmc_open again */
};

enum { VMC_BOOL, VMC_I8, VMC_I16, VMC_I32, VMC_I64, VMC_U8, VMC_U16, VMC_U32, VMC_U64, VMC_F16, VMC_F32, VMC_F64, VMC_C64,
       VMC_C128 };

/* Operations, as the specification numbers them. */
enum {
    VMC_EMPTY = 0x00, VMC_COPY = 0x01,
    VMC_NEGATIVE = 0x10, VMC_ABSOLUTE, VMC_SIGN, VMC_SQUARE, VMC_RECIPROCAL, VMC_CONJUGATE, VMC_INVERT, VMC_LOGICAL_NOT,
    VMC_FLOOR, VMC_CEIL, VMC_TRUNC, VMC_RINT, VMC_ISNAN, VMC_ISINF, VMC_ISFINITE,
    VMC_SQRT = 0x20, VMC_CBRT, VMC_EXP, VMC_EXP2, VMC_EXPM1, VMC_LOG, VMC_LOG2, VMC_LOG10, VMC_LOG1P, VMC_SIN, VMC_COS,
    VMC_TAN, VMC_ARCSIN, VMC_ARCCOS, VMC_ARCTAN, VMC_SINH, VMC_COSH, VMC_TANH, VMC_ARCSINH, VMC_ARCCOSH, VMC_ARCTANH,
    VMC_ADD = 0x40, VMC_SUBTRACT, VMC_MULTIPLY, VMC_DIVIDE, VMC_FLOOR_DIVIDE, VMC_REMAINDER, VMC_MINIMUM, VMC_MAXIMUM,
    VMC_FMIN, VMC_FMAX, VMC_COPYSIGN, VMC_BITWISE_AND, VMC_BITWISE_OR, VMC_BITWISE_XOR, VMC_LEFT_SHIFT, VMC_RIGHT_SHIFT,
    VMC_EQUAL, VMC_NOT_EQUAL, VMC_LESS, VMC_LESS_EQUAL, VMC_GREATER, VMC_GREATER_EQUAL, VMC_LOGICAL_AND, VMC_LOGICAL_OR,
    VMC_LOGICAL_XOR,
    VMC_POWER = 0x60, VMC_ARCTAN2, VMC_HYPOT, VMC_WHERE = 0x68,
    VMC_SUM = 0x70, VMC_PROD, VMC_MIN, VMC_MAX, VMC_ANY, VMC_ALL, VMC_MEAN, VMC_VAR, VMC_STD, VMC_ARGMIN, VMC_ARGMAX,
    VMC_CUMSUM = 0x80, VMC_CUMPROD, VMC_SORT = 0x88, VMC_ARGSORT, VMC_MATMUL = 0x90,
    VMC_FFT = 0x98, VMC_IFFT, VMC_RFFT, VMC_IRFFT, VMC_CONVOLVE = 0xA0,
    VMC_TAKE = 0xA8, VMC_SCATTER, VMC_SCATTER_ADD,
    VMC_RANDOM_UNIFORM = 0xB0, VMC_RANDOM_NORMAL, VMC_RANDOM_INTEGERS,
    VMC_CALL = 0xF0, VMC_CANCEL = 0xFF
};

enum { VMC_FULL, VMC_SAME, VMC_VALID };         /* convolutions */

/* An array in the guest's own addresses. `data` is where element [0, 0, ...] lies; strides are in bytes. */
struct vmc_array {
    void *data;
    uint8_t type, rank;
    uint64_t shape[VMC_MAX_RANK];
    int64_t strides[VMC_MAX_RANK];
};

struct vmc_config {                             /* at offset 0x100 of the device */
    uint32_t version, queues;
    uint64_t max_bytes, max_work;
    uint32_t max_rank, max_arrays, max_segments, max_request, types, backend;
    uint8_t operations[32];
};

struct vmc_memory;                              /* a queue's rings, requests and replies: vmcompute.c */
struct vmc {
    volatile uint32_t *registers;
    struct vmc_memory *memory;
    unsigned slot, queues;                      /* of the board; of requests, as many as are used here */
    uint64_t tag;
    struct vmc_config config;
    uint32_t array;                             /* of the last request that ended: which array was at fault */
    uint64_t written;                           /* and how many bytes were written */
};

size_t vmc_item_size(unsigned type);

/* Arrays without gaps, in the order of C. */
struct vmc_array vmc_vector(void *data, unsigned type, uint64_t count);
struct vmc_array vmc_matrix(void *data, unsigned type, uint64_t rows, uint64_t columns);
struct vmc_array vmc_dense(void *data, unsigned type, unsigned rank, const uint64_t *shape);
struct vmc_array vmc_scalar(void *data, unsigned type);

/* The compute device number `number` (0 is the first), reset and ready. VMC_OK, or an error below 0. */
int vmc_open(struct vmc *device, unsigned number);
void vmc_close(struct vmc *device);

/* Do an operation and wait for its end. `parameters`: four, or 0 for zeros; `arrays`: the inputs, then the output. */
int vmc_do(struct vmc *device, unsigned operation, const uint64_t *parameters, unsigned count,
           const struct vmc_array *arrays);
/* The host's function `name` with arrays, of which the last is the output if there is one. */
int vmc_call(struct vmc *device, const char *name, int output, unsigned count, const struct vmc_array *arrays);

/* The same in two halves. vmc_submit gives a ticket (0 or more) of one queue or an error below 0; each ticket is waited
 * for once. vmc_cancel gives VMC_OK if the request will not be done, and VMC_NOT_FOUND if it is too late for that; it is
 * waited for all the same. */
int vmc_submit(struct vmc *device, unsigned queue, unsigned operation, const uint64_t *parameters, const char *name,
               unsigned count, const struct vmc_array *arrays);
int vmc_done(struct vmc *device, unsigned queue, int ticket);           /* without waiting: is it at its end? */
int vmc_wait(struct vmc *device, unsigned queue, int ticket);
int vmc_cancel(struct vmc *device, unsigned queue, int ticket);

/* Memory that the device reaches, aligned to 64 bytes. On Linux, of huge pages, and never given back before vmc_close. On
 * bare metal all RAM is, and these are not there. */
void *vmc_alloc(struct vmc *device, size_t size);

#endif
