# What a host lets its guest access, and the registers with which it has one.
from libc.stdint cimport uint64_t
from vm_native.riscv.state cimport Hart

cdef bint vstimecmp_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint guest_may_count(Hart* hart, int number) noexcept nogil
cdef bint guest_may_compare(Hart* hart, int number) noexcept nogil
cdef bint guest_may_configure(Hart* hart, int number) noexcept nogil
cdef bint guest_may_enable(Hart* hart, int number) noexcept nogil
cdef bint guest_may_translate(Hart* hart, int number) noexcept nogil
cdef bint guest_may_draw(Hart* hart, int number) noexcept nogil
cdef bint guest_has_shadow_stack(Hart* hart, int number) noexcept nogil
cdef int number_for_guest(int number) noexcept nogil
cdef uint64_t read_hvip(Hart* hart) noexcept nogil
cdef void write_hvip(Hart* hart, uint64_t value) noexcept nogil
cdef void write_hgatp(Hart* hart, uint64_t value) noexcept nogil
cdef uint64_t read_vsip(Hart* hart) noexcept nogil
cdef void write_vsip(Hart* hart, uint64_t value) noexcept nogil
