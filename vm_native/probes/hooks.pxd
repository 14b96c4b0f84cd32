# Events that hooks are told of, between slices.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu, EventKind, Machine, Scope, privilege_of

cdef inline bint is_wanted(Machine* machine, EventKind kind) noexcept nogil:
    # Whether hooks are for all events of this kind, and are not silent.
    return machine.probes.wanted >> <int>kind & 1 and not machine.probes.silent

cdef inline bint is_in_space(const Scope* scope, Cpu* cpu) noexcept nogil:
    return (not scope.space_mask) or cpu.front_end.address_space(cpu) & scope.space_mask == scope.space

cdef inline bint covers(const Scope* scope, Cpu* cpu) noexcept nogil:
    return (
        scope.privileges >> privilege_of(cpu, cpu.key) & 1
        and is_in_space(scope, cpu)
    )

cdef void tell(
    Cpu* cpu, EventKind kind, int id, uint64_t pc, uint64_t address, uint64_t physical, int size, uint64_t value,
    uint64_t old
) noexcept nogil
cdef void tell_all(
    Cpu* cpu, EventKind kind, uint64_t pc, uint64_t address, int size, uint64_t value, uint64_t old
) noexcept nogil
cdef bint told_before(Cpu* cpu, EventKind kind) noexcept nogil
cdef int make_room(Machine* machine) except -1
cdef void forget_events(Machine* machine) noexcept nogil
