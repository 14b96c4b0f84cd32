# What the C compiler checks.
cdef extern from *:
    """
    #define VM_STATIC_ASSERT(condition) ((void)sizeof(char[1 - 2 * !(condition)]))
    """
    void static_assert "VM_STATIC_ASSERT"(bint condition) noexcept nogil
