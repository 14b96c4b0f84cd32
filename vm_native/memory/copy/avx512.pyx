"""The memcpy family compiled for AVX-512 F, BW and VL. Import it only where the CPU has it: the package checks."""
include "kernels.pxi"
include "family.pxi"
