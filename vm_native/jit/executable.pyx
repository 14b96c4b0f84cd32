"""Memory for code: the same pages mapped twice, here writable and there executable, never both at one address.

They are shared and anonymous. The second mapping is a copy that mremap(2) makes of the first: what has length 0 and is
shared is mapped anew, not moved. Pages of a memfd would do as well, but perf takes those for a file's and then does not
look into the map that `vm.perf_map` writes.
"""
from libc.stdint cimport uint8_t, uint64_t
from posix.mman cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE, mmap, mprotect, munmap,
)
from posix.unistd cimport _SC_PAGESIZE, sysconf

cdef extern from "<sys/mman.h>" nogil:
    void* mremap(void* address, size_t old_size, size_t new_size, int flags, ...)
    int madvise(void* address, size_t length, int advice)
    enum: MADV_REMOVE, MADV_POPULATE_WRITE
    int MREMAP_MAYMOVE


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


cdef void populate(void* address, uint64_t size) noexcept nogil:
    """All of a mapping is about to be written: where the host can, it takes the pages at once, which costs less."""
    madvise(address, size, MADV_POPULATE_WRITE)


cdef void unmap_code_memory(CodeMemory* memory) noexcept nogil:
    """Once."""
    if memory.executable:
        munmap(memory.writable + memory.executable, memory.size)
    if memory.writable != NULL:
        munmap(memory.writable, memory.size)
    memory.executable = 0
    memory.writable = NULL
