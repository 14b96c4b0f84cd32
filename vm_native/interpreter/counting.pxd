from vm_native.machine cimport Cpu
from vm_native.ir.block cimport Block

cdef void run_block(Cpu* cpu, Block* block) noexcept nogil
