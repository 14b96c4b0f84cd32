# Control and status registers: reading and writing by number, with WARL rules.
from libc.stdint cimport uint64_t
from vm_native.riscv.state cimport Hart

cdef uint64_t csr_refusal(Hart* hart, int number, bint writes) noexcept nogil
cdef bint csr_read(Hart* hart, int number, uint64_t* value) noexcept nogil
cdef bint csr_write(Hart* hart, int number, uint64_t value) noexcept nogil
cdef void reset_csrs(Hart* hart) noexcept nogil
