# From block to block: what both forms of the interpreter share.
from libc.stdint cimport int64_t, uint64_t
from vm_native.ir.block cimport Block, BlockExit, target_of
from vm_native.jump_cache cimport JumpCacheEntry, jump_entry
from vm_native.machine cimport Cpu

cdef inline Block* remembered(Cpu* cpu, uint64_t pc) noexcept nogil:
    # The block at pc under the current mode and translations, if it was entered lately.
    cdef JumpCacheEntry* entry = jump_entry(&cpu.jump_cache, pc)
    return entry.block if entry.pc == pc and entry.key == cpu.key else NULL

cdef inline Block* next_by_pc(Cpu* cpu, uint64_t pc, int64_t budget) noexcept nogil:
    # The block to enter next, or NULL: then pc and budget are stored and the run loop goes on.
    cdef Block* block = remembered(cpu, pc)
    if block != NULL and budget >= block.steps:
        return block
    cpu.state.pc = pc
    cpu.budget = budget
    return NULL

cdef Block* next_unlinked(Cpu* cpu, BlockExit* exit, int64_t budget) noexcept nogil

cdef inline Block* next_by_exit(Cpu* cpu, BlockExit* exit, int64_t budget) noexcept nogil:
    cdef Block* block = target_of(exit)
    if block != NULL and budget >= block.steps:
        return block
    return next_unlinked(cpu, exit, budget)
