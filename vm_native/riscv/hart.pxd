# The hart as Python sees it.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.riscv.decode cimport Decoder
from vm_native.riscv.state cimport Hart

cdef class NativeHart:
    cdef Hart* hart
    cdef NativeMachine machine
    cdef Decoder decoder
    cdef readonly object isa
    cdef bint imsic
    cdef int guest_files
    cdef uint64_t mtvec     # its value after reset, which the privileged specification leaves open (section 3.1.7)

    cdef void refresh(self)
    cdef Py_ssize_t vector_bytes(self)
    cdef uint8_t* vector_register(self, int number) except NULL
