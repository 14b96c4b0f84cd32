# What the pages of a region held when its first snapshot was taken: what all copies of the machine have in common.
from libc.stdint cimport uint8_t, uint64_t

cdef class RamImage:
    cdef int descriptor         # of a memfd; pages that were never written are holes
    cdef readonly uint64_t size
    cdef uint8_t* host          # all of it, mapped shared
    cdef uint8_t* missing       # one byte a page: it is still where `load` has it; NULL: none is
    cdef object load

    cdef int map_whole(self, uint64_t size) except -1
    cdef int fill(self, uint64_t page) except -1
    cdef int map_over(self, uint8_t* host) except -1

cdef RamImage image_of(int descriptor, uint64_t size)
