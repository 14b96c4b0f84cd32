"""The memcpy family on the C library: for machines that the kernels are not written for, and to be measured by."""
from libc.string cimport memcmp, memcpy, memmove as libc_memmove, memset

cdef enum:
    BLOCK = 4096


cdef void (*copy_bytes)(char*, const char*, size_t) noexcept nogil
cdef void (*move_bytes)(char*, const char*, size_t) noexcept nogil
cdef void (*stream_bytes)(char*, const char*, size_t) noexcept nogil
copy_bytes = stream_bytes = <void (*)(char*, const char*, size_t) noexcept nogil>memcpy     # which may stream itself
move_bytes = <void (*)(char*, const char*, size_t) noexcept nogil>libc_memmove


cdef void fill_bytes(char* target, int value, size_t size) noexcept nogil:
    memset(target, value, size)


cdef void stream_fill_bytes(char* target, int value, size_t size) noexcept nogil:
    memset(target, value, size)


cdef size_t compare_bytes(const char* a, const char* b, size_t size) noexcept nogil:
    cdef size_t at = 0
    while size - at >= BLOCK and memcmp(a + at, b + at, BLOCK) == 0:
        at += BLOCK
    while at < size and a[at] == b[at]:
        at += 1
    return at


include "family.pxi"
