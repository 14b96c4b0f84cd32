"""From block to block, where the direct link is missing or the budget runs out."""
from libc.stdint cimport int64_t
from vm_native.ir.block cimport Block, BlockExit
from vm_native.machine cimport Cpu
from vm_native.memory.ram cimport PAGE_SHIFT


cdef Block* next_unlinked(Cpu* cpu, BlockExit* exit, int64_t budget) noexcept nogil:
    """The block behind a way out without a link: across pages through the jump cache, else by way of the run loop."""
    if (exit.pc ^ exit.source.key.pc) >> PAGE_SHIFT:
        return next_by_pc(cpu, exit.pc, budget)
    cpu.state.pc = exit.pc
    cpu.budget = budget
    cpu.pending_exit = exit
    return NULL
