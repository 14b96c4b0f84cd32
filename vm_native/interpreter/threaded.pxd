# The interpreter as handlers that jump each to the next.
from vm_native.interpreter.fusion cimport PairTable
from vm_native.ir.block cimport Block
from vm_native.machine cimport Cpu

cdef PairTable pairs
cdef void run_block(Cpu* cpu, Block* block) noexcept nogil
cdef void* handler_of(int opcode) noexcept nogil
