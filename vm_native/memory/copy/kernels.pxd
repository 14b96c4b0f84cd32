# What the module of each instruction set offers to the rest of the core: this table, in a capsule `kernels` that is
# called "vm_native.memory.copy.kernels".
cdef struct Kernels:
    void (*copy)(char* target, const char* source, size_t size) noexcept nogil      # the two must not overlap
    void (*move)(char* target, const char* source, size_t size) noexcept nogil      # the two may overlap
    void (*stream)(char* target, const char* source, size_t size) noexcept nogil    # a copy past the caches
    void (*fill)(char* target, int value, size_t size) noexcept nogil
    void (*stream_fill)(char* target, int value, size_t size) noexcept nogil
    size_t (*compare)(const char* a, const char* b, size_t size) noexcept nogil     # first difference; size: none
