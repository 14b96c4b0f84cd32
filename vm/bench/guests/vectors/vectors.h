/* What the programs of this folder share. Each is compiled three times: for RISC-V with and without vectors, and for the
 * host; the results are the same to the last bit. */
#ifndef VECTORS_H
#define VECTORS_H

#include "bench.h"

#ifdef __riscv_vector
#include <riscv_vector.h>
#endif

#endif
