"""Memory for code: one memfd mapped twice, here writable and there executable, never both at one address."""
from libc.stdint cimport uint8_t, uint64_t
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport close, ftruncate

cdef extern from "<sys/mman.h>" nogil:
    int memfd_create(const char* name, unsigned int flags)
    unsigned int MFD_CLOEXEC


cdef int map_code_memory(CodeMemory* memory, uint64_t size) noexcept nogil:
    """0, or -1 if the host refuses; what was mapped is then left for `unmap_code_memory`."""
    cdef void* executable
    memory.size = size
    memory.descriptor = memfd_create("vm-code", MFD_CLOEXEC)
    if memory.descriptor < 0 or ftruncate(memory.descriptor, size) < 0:
        return -1
    memory.writable = <uint8_t*>mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.descriptor, 0)
    if memory.writable == MAP_FAILED:
        memory.writable = NULL
        return -1
    executable = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, memory.descriptor, 0)
    if executable == MAP_FAILED:
        return -1
    memory.executable = <uint8_t*>executable - memory.writable
    return 0


cdef void unmap_code_memory(CodeMemory* memory) noexcept nogil:
    if memory.executable:
        munmap(memory.writable + memory.executable, memory.size)
    if memory.writable != NULL:
        munmap(memory.writable, memory.size)
    if memory.descriptor >= 0:
        close(memory.descriptor)
