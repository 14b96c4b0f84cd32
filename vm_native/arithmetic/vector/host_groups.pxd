# Operations on groups of four or eight elements by the host's instructions. `d`, `a` and `b` are where the groups of
# vd, vs2 and vs1 stand, `size` is that of their elements (log2 of bytes), `round` an immediate.
from libc.stdint cimport uint8_t

ctypedef void (*GroupOperation)(
    uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round
) noexcept nogil

cdef GroupOperation on_host(str name, GroupOperation software) except NULL
