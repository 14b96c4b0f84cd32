# The constants that fli loads.
from libc.stdint cimport uint64_t

cdef uint64_t fli_constant(int format, int number) noexcept nogil       # as an image; format as encoded: S 0, D 1, H 2
