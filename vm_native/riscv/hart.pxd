# The hart as Python sees it.
from vm_native.execution.scheduler cimport Scheduler
from vm_native.riscv.decode cimport Decoder
from vm_native.riscv.state cimport Hart

cdef class NativeHart:
    cdef Hart* hart
    cdef readonly Scheduler scheduler
    cdef Decoder decoder
    cdef readonly object isa
