# The dispatch forms: ways to get from uop to uop, over the same semantics.
from vm_native.interpreter.fusion cimport PairTable
from vm_native.ir.block cimport Block
from vm_native.machine cimport Cpu

cdef struct DispatchForm:
    void (*run_block)(Cpu* cpu, Block* block) noexcept nogil    # from cpu.budget, until something leaves the chain
    void* (*handler_of)(int opcode) noexcept nogil
    const PairTable* pairs  # NULL: every uop has its own handler

cdef const DispatchForm* form_named(str name) except NULL
