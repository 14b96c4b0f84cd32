# Memory that the host gives page by page, zeroed, as it is first written: for tables of which most stays empty. That of
# calloc is so only while it comes straight from the host: what has been freed before is cleared, and so touched.
from libc.string cimport memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap

cdef extern from *:
    """
    #include <sys/mman.h>
    #ifndef MAP_32BIT
    #define MAP_32BIT 0     /* not of this host, which has no compiler either */
    #endif
    """
    enum: MAP_32BIT

cdef extern from "<sys/mman.h>" nogil:
    enum: MADV_DONTNEED
    int madvise(void* address, size_t length, int advice)

cdef inline void* map_zeroed(size_t size) noexcept nogil:
    # Begins with a page of the host; NULL if there is none.
    cdef void* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    return memory if memory != MAP_FAILED else NULL

cdef inline void* map_zeroed_low(size_t size) noexcept nogil:
    # The same where compiled code can name it: in the first 2 GiB, if the host has such memory; else anywhere.
    cdef void* memory = mmap(
        NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_32BIT, -1, 0
    )
    return memory if memory != MAP_FAILED else map_zeroed(size)

cdef inline void zero_pages(void* memory, size_t size) noexcept nogil:
    # The host takes them back: they are read as zeroes.
    if madvise(memory, size, MADV_DONTNEED) != 0:
        memset(memory, 0, size)

cdef inline void unmap_zeroed(void* memory, size_t size) noexcept nogil:
    if memory != NULL:
        munmap(memory, size)
