# The run loop of the interpreter.
from vm_native.machine cimport Cpu
from vm_native.interpreter.fusion cimport PairTable
from vm_native.ir.block cimport Block

cdef struct Engine:
    void (*run_block)(Cpu* cpu, Block* block) noexcept nogil    # from cpu.budget, until something leaves the chain
    void* (*handler_of)(int opcode) noexcept nogil
    const PairTable* pairs      # NULL: every uop has its own handler

cdef Engine* engine_named(str form) except NULL
cdef void run_slice(Engine* engine, Cpu* cpu) noexcept nogil
