# Addresses before whose instruction the run stops, a hook is called, or a guest's trigger may fire. A cached block may
# begin with such an instruction, and then is guarded; none has one further on.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport BlockKey
from vm_native.machine cimport Breakpoint, Cpu, Machine

cdef inline bint has_breakpoints(Machine* machine) noexcept nogil:
    return machine.probes.breakpoint_count != 0 or machine.probes.execute_triggers != 0

cdef bint is_breakpoint(Machine* machine, const BlockKey* at) noexcept nogil
cdef bint stops_at(Cpu* cpu, const BlockKey* at) noexcept nogil
cdef int add_breakpoint(Machine* machine, const Breakpoint* wanted) except -1
cdef void remove_breakpoint(Machine* machine, int id) noexcept nogil
cdef void forget_reports(Machine* machine) noexcept nogil
cdef void pass_over(Cpu* cpu) noexcept nogil
