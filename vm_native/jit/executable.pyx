"""Memory for code: the same pages mapped twice, here writable and there executable, never both at one address.

They are shared and anonymous. The second mapping is a copy that mremap(2) makes of the first: what has length 0 and is
shared is mapped anew, not moved. Pages of a memfd would do as well, but perf takes those for a file's and then does not
look into the map that `vm.perf_map` writes.
"""
from libc.stdint cimport uint8_t, uint64_t
from posix.mman cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE, mmap, mprotect,
    munmap,
)
from posix.unistd cimport _SC_PAGESIZE, sysconf

cdef extern from "<sys/mman.h>" nogil:
    void* mremap(void* address, size_t old_size, size_t new_size, int flags, ...)
    int madvise(void* address, size_t length, int advice)
    enum: MADV_HUGEPAGE, MADV_POPULATE_WRITE, MADV_REMOVE
    int MREMAP_MAYMOVE

cdef enum:
    HOST_PAGE = 4096
    LARGE_PAGE = 2 << 20


cdef int map_code_memory(CodeMemory* memory, uint64_t size) noexcept nogil:
    """0, or -1 if the host refuses; what was mapped is then left for `unmap_code_memory`."""
    cdef void* executable
    memory.size = size
    memory.writable = <uint8_t*>mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                                     -1, 0)
    if memory.writable == MAP_FAILED:
        memory.writable = NULL
        return -1
    executable = mremap(memory.writable, 0, size, MREMAP_MAYMOVE)
    if executable == MAP_FAILED:
        return -1
    memory.executable = <uint8_t*>executable - memory.writable
    return mprotect(executable, size, PROT_READ | PROT_EXEC)


cdef void release_code_memory(CodeMemory* memory, uint8_t* first) noexcept nogil:
    """Nothing from `first` on, in the writable mapping, will be run: the host may have the whole pages."""
    cdef uint64_t page = sysconf(_SC_PAGESIZE)
    cdef uint64_t kept = (<uint64_t>(first - memory.writable) + page - 1) // page * page
    if kept < memory.size:
        madvise(memory.writable + kept, memory.size - kept, MADV_REMOVE)    # a host that will not keeps them


cdef void* map_at_once(uint64_t size, bint large) noexcept nogil:
    """Memory that is about to be written, all of it: one by one pages cost more. `large`: in large ones where the host
    has some. NULL if there is none.
    """
    cdef uint8_t* address = <uint8_t*>mmap(NULL, size + LARGE_PAGE, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    cdef uint64_t ahead
    if address == MAP_FAILED:
        return NULL
    ahead = -<uint64_t>address % LARGE_PAGE
    if ahead:
        munmap(address, ahead)
    munmap(address + ahead + (size + HOST_PAGE - 1) // HOST_PAGE * HOST_PAGE, LARGE_PAGE - ahead)
    if large:
        madvise(address + ahead, size, MADV_HUGEPAGE)
    madvise(address + ahead, size, MADV_POPULATE_WRITE)
    return address + ahead


cdef bint make_executable(CodeMemory* memory) noexcept nogil:
    """Of `map_at_once`, mapped once: from now on it cannot be written. False if the host refuses."""
    return mprotect(memory.writable, memory.size, PROT_READ | PROT_EXEC) == 0


cdef void unmap_code_memory(CodeMemory* memory) noexcept nogil:
    """Once."""
    if memory.executable:
        munmap(memory.writable + memory.executable, memory.size)
    if memory.writable != NULL:
        munmap(memory.writable, memory.size)
    memory.executable = 0
    memory.writable = NULL
