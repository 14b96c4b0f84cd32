# The helper behind all rows of vector instructions.
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu

cdef int run_vector(Cpu* cpu, Uop* uop) noexcept nogil
