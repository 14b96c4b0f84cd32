# The hart as Python sees it.
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.riscv.decode cimport Decoder
from vm_native.riscv.state cimport Hart

cdef class NativeHart:
    cdef Hart* hart
    cdef NativeMachine machine
    cdef Decoder decoder
    cdef readonly object isa

    cdef void refresh(self)
