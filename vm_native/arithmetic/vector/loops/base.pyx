"""The loops compiled for whatever CPU this is built for."""
include "loops.pxi"
include "vector_loops.pxi"
