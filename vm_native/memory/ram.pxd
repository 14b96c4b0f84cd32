# Guest RAM as the engines see it.
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    PAGE_SHIFT = 12
    PAGE_SIZE = 1 << PAGE_SHIFT
    PAGE_OFFSET = PAGE_SIZE - 1     # the bits of an address below its page
    PAGE_MASK = ~PAGE_OFFSET        # those of the page; negative, so that it is as wide as what it is used with

cdef enum PageCode:         # bits of the code map
    HAS_CODE = 1            # translated: stores into the page are compared with the translated ranges
    WATCHED_READS = 2       # somebody waits for loads from the page: never cached, neither for reading nor for writing
    WATCHED_WRITES = 4      # somebody waits for stores into the page: never cached for writing

cdef struct RamRegion:
    uint64_t base           # guest physical address of the first byte
    uint64_t size           # bytes, a multiple of the page size
    uint8_t* host           # host address of the first byte
    uint8_t* dirty          # one byte per page: written since power-on
    uint8_t* code           # one byte per page: PageCode bits; not 0 forbids write tags without BESIDE_CODE
    bint rom                # stores of harts are access faults

cdef class Ram:
    cdef RamRegion region
    cdef int descriptor
    cdef int exports            # buffers given out and not released
    cdef bint closed

    cdef void unmap_unless_seen(self) noexcept

cdef class WritableRam:
    cdef Ram ram
    cdef readonly int exports   # buffers given out and not released
