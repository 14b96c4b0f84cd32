"""The loops compiled for AVX2. Import it only where the CPU has that, FMA and PCLMULQDQ: `features` knows."""
include "loops.pxi"
include "vector_loops.pxi"
