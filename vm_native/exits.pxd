# How a handler gives control back: exact pc and budget, traps, helpers.
from libc.stdint cimport int64_t
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu
from vm_native.memory.ram cimport RamRegion

cdef void deliver_trap(Cpu* cpu) noexcept nogil
cdef int trap_at(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef int not_accessed(Cpu* cpu, Uop* uop, int64_t budget, int status) noexcept nogil
cdef int page_failed(Cpu* cpu, RamRegion* region) noexcept nogil
cdef int page_refused(Cpu* cpu) noexcept nogil
cdef int call_helper(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
