"""Breakpoints: the run stops with STOP_BREAKPOINT before the instruction at an address, virtual or physical.

Nothing is paid where none is set, and elsewhere than at one. Translation ends a block before the address, and what
stands there is never cached: the run loop comes by each time, and looks here. A block that reached over the address is
dropped when the breakpoint is set; so is one that ended before it, when that is removed.

A hart that has been reported at a breakpoint goes on past it, as long as nothing has moved it meanwhile.
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport realloc
from vm_native.blocks cimport drop_blocks_at
from vm_native.ir.block cimport SECOND_CELL, Block, BlockKey
from vm_native.machine cimport STOP_BREAKPOINT, Breakpoint, Cpu, Hit, Machine, Probes, consumed_steps, machine_steps


cdef inline bint is_at(const Breakpoint* breakpoint, const BlockKey* at) noexcept nogil:
    return breakpoint.address == (at.physical if breakpoint.physical else at.pc)


cdef bint is_breakpoint(Machine* machine, const BlockKey* at) noexcept nogil:
    """Whether the instruction there has one."""
    cdef int i
    for i in range(machine.probes.breakpoint_count):
        if is_at(&machine.probes.breakpoints[i], at):
            return True
    return False


cdef bint stops_at(Cpu* cpu, const BlockKey* at) noexcept nogil:
    """The hart, whose position is exact, is about to execute what is there: whether the run stops first, which is then
    noted.
    """
    cdef Probes* probes = &cpu.machine.probes
    cdef int i
    if not is_breakpoint(cpu.machine, at):
        return False
    if cpu.reported_pc == at.pc and cpu.reported_step == consumed_steps(cpu) + 1 and not probes.noting:
        return False
    for i in range(probes.breakpoint_count):
        if is_at(&probes.breakpoints[i], at):
            probes.breakpoints[i].hit = Hit(1, probes.breakpoints[i].address, 0, at.pc, machine_steps(cpu), cpu.number)
    if probes.noting:
        return False
    pass_over(cpu)
    cpu.stop = STOP_BREAKPOINT
    return True


cdef int steps_before_breakpoint(Machine* machine, Block* block) noexcept nogil:
    """How many instructions of a fresh translation stand before the first breakpoint in it."""
    cdef BlockKey at
    cdef int i
    for i in range(block.uop_count):
        if block.info[i].opcode != SECOND_CELL and block.info[i].step < block.steps:
            at.pc = block.key.pc + block.info[i].pc_offset
            at.physical = block.key.physical + block.info[i].pc_offset
            if is_breakpoint(machine, &at):
                return block.info[i].step
    return block.steps


cdef int add_breakpoint(Machine* machine, uint64_t address, bint physical) except -1:
    """Stop before what is at this address; gives an id."""
    cdef Probes* probes = &machine.probes
    cdef Breakpoint* breakpoints = <Breakpoint*>realloc(
        probes.breakpoints, (probes.breakpoint_count + 1) * sizeof(Breakpoint)
    )
    cdef Breakpoint* added
    if breakpoints == NULL:
        raise MemoryError("no room for another breakpoint")
    probes.breakpoints = breakpoints
    probes.last_id += 1
    added = &breakpoints[probes.breakpoint_count]
    probes.breakpoint_count += 1
    added.id, added.physical, added.address, added.hit.accesses = probes.last_id, physical, address, 0
    drop_blocks_at(machine, address, physical)
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
    drop_blocks_at(machine, removed.address, removed.physical)


cdef void forget_reports(Machine* machine) noexcept nogil:
    """The harts have another state: whichever breakpoint one stands at is to be reported."""
    cdef int i
    for i in range(machine.cpu_count):
        machine.cpus[i].reported_step = 0


cdef void pass_over(Cpu* cpu) noexcept nogil:
    """The hart stands at a breakpoint of which Python knows: it goes on past it."""
    cpu.reported_pc = cpu.state.pc
    cpu.reported_step = consumed_steps(cpu) + 1
