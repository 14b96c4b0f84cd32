"""The loops compiled for AVX2 and FMA. Import it only where the CPU has both: `features` knows."""
include "loops.pxi"
include "vector_loops.pxi"
