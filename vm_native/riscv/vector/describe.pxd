# Vector instructions as the compiler sees them.
from libc.stdint cimport uint32_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.machine cimport Cpu

cdef void describe_vector(Cpu* cpu, Uop* uop, uint64_t mode, uint32_t shape, VectorUop* out) noexcept nogil
