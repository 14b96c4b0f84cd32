"""The memcpy family compiled for AVX2. Import it only where the CPU has that: `vm_native.memory.copy` checks."""
include "kernels.pxi"
include "family.pxi"
