"""From block to block, where the direct link is missing or the budget runs out."""
from libc.stdint cimport int64_t
from vm_native.ir.block cimport Block, Link
from vm_native.machine cimport Cpu
from vm_native.memory.ram cimport PAGE_SHIFT


cdef Block* next_unlinked(Cpu* cpu, Link* link, int64_t budget) noexcept nogil:
    """The block behind a way out without a link: across pages through the jump cache, else by way of the run loop."""
    if (link.pc ^ link.source.key.pc) >> PAGE_SHIFT:
        return next_by_pc(cpu, link.pc, budget)
    cpu.state.pc = link.pc
    cpu.budget = budget
    cpu.pending_link = link
    return NULL
