# Memory for code.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.jit.state cimport CodeMemory

cdef int map_code_memory(CodeMemory* memory, uint64_t size) noexcept nogil
cdef void* map_at_once(uint64_t size, bint large) noexcept nogil
cdef bint make_executable(CodeMemory* memory) noexcept nogil
cdef void unmap_code_memory(CodeMemory* memory) noexcept nogil
cdef void release_code_memory(CodeMemory* memory, uint8_t* first) noexcept nogil
