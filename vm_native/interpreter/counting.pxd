from vm_native.ir.block cimport Block
from vm_native.machine cimport Cpu

cdef void run_block(Cpu* cpu, Block* block) noexcept nogil
