"""Breakpoints: the run stops with STOP_BREAKPOINT before the instruction at an address, virtual or physical; or hooks
are told of that, which may be of a range of addresses. Where a guest has set a trigger, the hart may trap instead.

Nothing is paid where none is set, and elsewhere than at one. Translation ends a block before the address, and the one
that begins there is guarded: no other leads to it, so that the run loop comes by each time, and looks here. A block
that reached over the address is dropped when the breakpoint is set; so is one that ended before it, when that is
removed.

A hart that has been reported at a breakpoint goes on past it, as long as nothing has moved it meanwhile.
"""
from libc.stdlib cimport realloc
from vm_native.blocks cimport drop_blocks_at
from vm_native.ir.block cimport BlockKey
from vm_native.machine cimport (
    EVENT_EXECUTE, STOP_BREAKPOINT, Breakpoint, Cpu, Hit, Machine, Probes, consumed_steps, lock_code, machine_steps,
    unlock_code,
)
from vm_native.memory.tlb cimport EXECUTE
from vm_native.probes.hooks cimport covers, make_room, tell, told_before
from vm_native.probes.watch cimport place_of_hit


cdef inline bint is_at(Machine* machine, const Breakpoint* breakpoint, const BlockKey* at) noexcept nogil:
    """Whether it may be met there, in some address space."""
    return (
        (at.physical if breakpoint.physical else at.pc) - breakpoint.address < breakpoint.size
        and breakpoint.scope.privileges >> (at.mode & machine.front_end.privilege_bits) & 1
    )


cdef bint is_breakpoint(Machine* machine, const BlockKey* at) noexcept nogil:
    """Whether the instruction there has one, or a hart has a trigger for it."""
    cdef int i
    for i in range(machine.probes.breakpoint_count):
        if is_at(machine, &machine.probes.breakpoints[i], at):
            return True
    if machine.probes.execute_triggers:
        for i in range(machine.cpu_count):
            if machine.front_end.has_trigger(machine.cpus[i], 1 << EXECUTE, at.pc, 1):
                return True
    return False


cdef bint stops_at(Cpu* cpu, const BlockKey* at) noexcept nogil:
    """The hart, whose position is exact, is about to execute what is there, and that has a breakpoint: whether the run
    stops first, or the slice ends for hooks. That is then noted.
    """
    return hooks_at(cpu, at) or breaks_at(cpu, at)


cdef bint hooks_at(Cpu* cpu, const BlockKey* at) noexcept nogil:
    """Whether hooks are told. They come first: where they send the hart, another instruction is the next one."""
    cdef Probes* probes = &cpu.machine.probes
    cdef Breakpoint* breakpoint
    cdef int i
    cdef bint found = False
    if probes.silent:
        return False
    for i in range(probes.breakpoint_count):
        breakpoint = &probes.breakpoints[i]
        if breakpoint.hook and is_at(cpu.machine, breakpoint, at) and covers(&breakpoint.scope, cpu):
            if not found and told_before(cpu, EVENT_EXECUTE):
                return False
            found = True
            tell(cpu, EVENT_EXECUTE, breakpoint.id, at.pc, at.pc, at.physical, 0, 0, 0)
    return found


cdef bint breaks_at(Cpu* cpu, const BlockKey* at) noexcept nogil:
    cdef Probes* probes = &cpu.machine.probes
    cdef Breakpoint* breakpoint
    cdef Hit* hit
    cdef int i
    cdef bint found = False
    if cpu.reported_pc == at.pc and cpu.reported_step == consumed_steps(cpu) + 1 and not probes.noting:
        return False
    for i in range(probes.breakpoint_count):
        breakpoint = &probes.breakpoints[i]
        if not breakpoint.hook and is_at(cpu.machine, breakpoint, at) and covers(&breakpoint.scope, cpu):
            lock_code(cpu.machine)
            hit = place_of_hit(probes, &breakpoint.hit, breakpoint.id, True, cpu.number)
            hit[0] = Hit(1, breakpoint.address, 0, at.pc, machine_steps(cpu), cpu.number)
            unlock_code(cpu.machine)
            found = True
    if probes.noting or not found:
        return False
    pass_over(cpu)
    cpu.stop = STOP_BREAKPOINT
    return True


cdef int add_breakpoint(Machine* machine, const Breakpoint* wanted) except -1:
    """Stop before what is at an address, or call a hook; gives an id."""
    cdef Probes* probes = &machine.probes
    cdef Breakpoint* breakpoints = <Breakpoint*>realloc(
        probes.breakpoints, (probes.breakpoint_count + 1) * sizeof(Breakpoint)
    )
    cdef Breakpoint* added
    if breakpoints == NULL:
        raise MemoryError("no room for another breakpoint")
    probes.breakpoints = breakpoints
    added = &breakpoints[probes.breakpoint_count]
    added[0] = wanted[0]
    probes.breakpoint_count += 1
    try:
        make_room(machine)
    except MemoryError:
        probes.breakpoint_count -= 1
        raise
    probes.last_id += 1
    added.id, added.hit.accesses = probes.last_id, 0
    drop_blocks_at(machine, added.address, added.size, added.physical)
    return added.id


cdef void remove_breakpoint(Machine* machine, int id) noexcept nogil:
    """An id that there is not does nothing."""
    cdef Probes* probes = &machine.probes
    cdef Breakpoint removed
    cdef int i = 0
    while i < probes.breakpoint_count and probes.breakpoints[i].id != id:
        i += 1
    if i == probes.breakpoint_count:
        return
    removed = probes.breakpoints[i]
    probes.breakpoint_count -= 1
    probes.breakpoints[i] = probes.breakpoints[probes.breakpoint_count]
    drop_blocks_at(machine, removed.address, removed.size, removed.physical)


cdef void forget_reports(Machine* machine) noexcept nogil:
    """The harts have another state: whichever breakpoint one stands at is to be reported."""
    cdef int i
    for i in range(machine.cpu_count):
        machine.cpus[i].reported_step = 0
        machine.cpus[i].hooked_step = 0


cdef void pass_over(Cpu* cpu) noexcept nogil:
    """The hart stands at a breakpoint of which Python knows: it goes on past it."""
    cpu.reported_pc = cpu.state.pc
    cpu.reported_step = consumed_steps(cpu) + 1
