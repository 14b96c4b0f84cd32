# How a handler gives control back: exact pc and budget, traps, helpers.
from libc.stdint cimport int64_t
from vm_native.ir.block cimport Uop, UopInfo, block_of, info_of
from vm_native.machine cimport Cpu
from vm_native.memory.ram cimport RamRegion

cdef inline void store_position(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    # Before the instruction of this uop: nothing of it has happened, nothing of it is paid for.
    cdef UopInfo* info = info_of(uop)
    cpu.state.pc = block_of(uop).key.pc + info.pc_offset
    cpu.budget = budget + block_of(uop).steps - info.step

cdef inline void step_over(Cpu* cpu, Uop* uop) noexcept nogil:
    # From before the instruction to behind it.
    cpu.state.pc += info_of(uop).length
    cpu.budget -= 1

cdef void deliver_trap(Cpu* cpu) noexcept nogil
cdef int trap_at(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef int not_accessed(Cpu* cpu, Uop* uop, int64_t budget, int status) noexcept nogil
cdef int page_failed(Cpu* cpu, RamRegion* region) noexcept nogil
cdef int call_helper(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
