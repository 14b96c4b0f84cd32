# Bytes of guest RAM, which another hart, a device or Python may be accessing at the same time. That is the guest's
# affair, but an access happens once, and all at once where it is aligned: the C compiler splits and repeats none.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define VM_GUEST_ACCESS(bits, type) \\
    static inline type vm_load##bits(const void *host) { \\
        return __atomic_load_n((const type *)host, __ATOMIC_RELAXED); \\
    } \\
    static inline void vm_store##bits(void *host, type value) { \\
        __atomic_store_n((type *)host, value, __ATOMIC_RELAXED); \\
    }
    VM_GUEST_ACCESS(8, unsigned char)
    VM_GUEST_ACCESS(16, unsigned short)
    VM_GUEST_ACCESS(32, unsigned int)
    VM_GUEST_ACCESS(64, unsigned long long)

    /* Of whatever alignment, to RAM or from there. memcpy(3) of a length that the compiler does not know stores bytes
       twice, and another hart may have stored in between. */
    __attribute__((no_sanitize("thread")))
    static inline void vm_copy_bytes(void *to, const void *source, unsigned long long size) {
        switch (size) {
        case 8: __builtin_memcpy(to, source, 8); break;
        case 4: __builtin_memcpy(to, source, 4); break;
        case 2: __builtin_memcpy(to, source, 2); break;
        default:
            for (unsigned long long i = 0; i < size; i++)
                ((volatile char *)to)[i] = ((const volatile char *)source)[i];
        }
    }
    """
    # Aligned
    uint8_t load8 "vm_load8"(const void* host) noexcept nogil
    uint16_t load16 "vm_load16"(const void* host) noexcept nogil
    uint32_t load32 "vm_load32"(const void* host) noexcept nogil
    uint64_t load64 "vm_load64"(const void* host) noexcept nogil
    void store8 "vm_store8"(void* host, uint8_t value) noexcept nogil
    void store16 "vm_store16"(void* host, uint16_t value) noexcept nogil
    void store32 "vm_store32"(void* host, uint32_t value) noexcept nogil
    void store64 "vm_store64"(void* host, uint64_t value) noexcept nogil

    void copy_bytes "vm_copy_bytes"(void* to, const void* source, uint64_t size) noexcept nogil
