# The helper behind all rows of vector instructions.
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu
from vm_native.riscv.vector.operands cimport Vector, VectorRow

cdef int run_vector(Cpu* cpu, Uop* uop) noexcept nogil
cdef const VectorRow* row_of(const Uop* uop) noexcept nogil
cdef bint groups_are_whole(const Vector* v, int elements) noexcept nogil
