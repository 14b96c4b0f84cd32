# Memory that the host gives page by page, zeroed, as it is first written: for tables of which most stays empty. That of
# calloc is so only while it comes straight from the host: what has been freed before is cleared, and so touched.
from libc.stdint cimport uint64_t
from libc.string cimport memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap

cdef extern from *:
    """
    #include <sys/mman.h>
    #ifndef MAP_32BIT
    #define MAP_32BIT 0     /* not of this host, which has no compiler either */
    #endif
    #ifndef MAP_FIXED_NOREPLACE
    #define MAP_FIXED_NOREPLACE 0x100000
    #endif
    """
    enum: MAP_32BIT
    enum: MAP_FIXED_NOREPLACE

cdef extern from "<sys/mman.h>" nogil:
    enum: MADV_DONTNEED
    int madvise(void* address, size_t length, int advice)

cdef enum:
    LOWEST = 16 << 20           # in the first 2 GiB, where it is tried to map something
    LOW_STEP = 16 << 20

cdef inline void* map_zeroed(size_t size) noexcept nogil:
    # Begins with a page of the host; NULL if there is none.
    cdef void* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    return memory if memory != MAP_FAILED else NULL

cdef inline void* map_below_2_gib(size_t size) noexcept nogil:
    # Where an instruction of compiled code has room for the address; NULL if there is none.
    #
    # The host looks above 1 GiB alone. The heap of a program that is loaded at a fixed address, as the Python of some
    # distributions is, may have grown there.
    cdef int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    cdef void* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_32BIT, -1, 0)
    cdef uint64_t address = LOWEST
    while memory == MAP_FAILED and MAP_32BIT and address + size < <uint64_t>1 << 31:
        memory = mmap(<void*>address, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, -1, 0)
        if memory != MAP_FAILED and <uint64_t>memory != address:       # a host that does not know this flag
            munmap(memory, size)
            memory = MAP_FAILED
        address += LOW_STEP
    return memory if memory != MAP_FAILED else NULL

cdef inline void* map_zeroed_low(size_t size) noexcept nogil:
    # The same, but anywhere if there is no such memory.
    cdef void* memory = map_below_2_gib(size)
    return memory if memory != NULL else map_zeroed(size)

cdef inline void zero_pages(void* memory, size_t size) noexcept nogil:
    # The host takes them back: they are read as zeroes.
    if madvise(memory, size, MADV_DONTNEED) != 0:
        memset(memory, 0, size)

cdef inline void unmap_zeroed(void* memory, size_t size) noexcept nogil:
    if memory != NULL:
        munmap(memory, size)
