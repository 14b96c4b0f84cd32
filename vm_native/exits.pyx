"""How a handler gives control back to the run loop: traps and helpers."""
from libc.stdint cimport int64_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.machine cimport (
    CONTINUE, EVENT_TRAP, EXIT, RETRY, STOP_MEMORY, STOP_RAISED, STOP_TRAP_LOOP, STOP_UNHANDLED, TRAP, Cpu, ask_to_stop,
    consumed_steps, step_over, store_position,
)
from vm_native.memory.bus cimport stash_failure
from vm_native.memory.ram cimport RamRegion
from vm_native.probes.hooks cimport is_wanted, tell_all
from vm_native.probes.records cimport record_trap


cdef void deliver_trap(Cpu* cpu) noexcept nogil:
    """Let the front end take the trap of the instruction at pc, which counts as a step that did not retire."""
    cdef uint64_t pc = cpu.state.pc
    cdef uint64_t key = cpu.key
    cdef uint64_t cause = cpu.trap_cause
    cdef uint64_t value = cpu.trap_value
    cpu.budget -= 1
    cpu.state.traps += 1
    cpu.front_end.take_trap(cpu)
    if cpu.machine.probes.recorder_count:
        record_trap(cpu, pc, key, cause, value, True)
    if is_wanted(cpu.machine, EVENT_TRAP):
        tell_all(cpu, EVENT_TRAP, pc, cause, 0, value, 0)
    if cpu.state.pc == pc and cpu.key == key and cpu.stop != STOP_UNHANDLED:
        # The handler begins with the instruction that trapped: this would go on for ever.
        cpu.stop = STOP_TRAP_LOOP
        if consumed_steps(cpu) == cpu.state.origin_step + 1:
            return                          # what led here is the trap before
    cpu.state.origin_pc = pc
    cpu.state.origin_cause = cause
    cpu.state.origin_value = value
    cpu.state.origin_step = consumed_steps(cpu)


cdef int trap_at(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """The instruction of this uop traps with cpu.trap_cause and cpu.trap_value."""
    store_position(cpu, uop, budget)
    deliver_trap(cpu)
    return TRAP


cdef int not_accessed(Cpu* cpu, Uop* uop, int64_t budget, int status) noexcept nogil:
    """`translate_address` gave TRAP or RETRY for an access of this uop."""
    if status == TRAP:
        return trap_at(cpu, uop, budget)
    store_position(cpu, uop, budget)
    return status


cdef int page_failed(Cpu* cpu, RamRegion* region) noexcept nogil:
    """A page of RAM that an instruction needs could not be fetched: whoever runs the machine raises the reason."""
    stash_failure(cpu.machine.map, region)
    cpu.stop = STOP_RAISED
    return RETRY


cdef int page_refused(Cpu* cpu) noexcept nogil:
    """A store would take a page of RAM more than the machine may have written: the run ends before it."""
    ask_to_stop(cpu, STOP_MEMORY)
    return RETRY


cdef int call_helper(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """Run a front end's helper; CONTINUE unless it left the block, then everything is stored."""
    cdef int status
    store_position(cpu, uop, budget)
    status = cpu.front_end.helpers[uop.imm](cpu, uop)
    if status == TRAP:
        deliver_trap(cpu)
    elif status == EXIT:
        cpu.budget -= 1
    elif status == CONTINUE and cpu.gate.changed:
        step_over(cpu, uop)
        return EXIT
    return status
