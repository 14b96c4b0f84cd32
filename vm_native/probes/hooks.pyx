"""Events that hooks are told of.

An event ends the slice with STOP_HOOK: at once where it is of an instruction that is about to be executed, else behind
the instruction. The scheduler then calls the hooks, between two slices: all of the machine's state is exact there, and
whatever they do to it is as if it had been done between two runs.

An event of the next instruction is told once: the hart goes on past it, as long as nothing has moved it meanwhile.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport realloc
from vm_native.machine cimport (
    EVENT_KINDS, STOP_HOOK, Cpu, Event, EventKind, Machine, Probes, ask_to_stop, consumed_steps, lock_code,
    unlock_code,
)

cdef enum:
    PIECES = 2              # of an operand: a probe may be told of each, and of each as read and as written


cdef void tell(
    Cpu* cpu, EventKind kind, int id, uint64_t pc, uint64_t address, uint64_t physical, int size, uint64_t value,
    uint64_t old
) noexcept nogil:
    cdef Probes* probes = &cpu.machine.probes
    lock_code(cpu.machine)
    if probes.event_count < probes.event_room:
        probes.events[probes.event_count] = Event(kind, id, cpu.number, pc, address, physical, size, value, old)
        probes.event_count += 1
    unlock_code(cpu.machine)
    ask_to_stop(cpu, STOP_HOOK)


cdef void tell_all(
    Cpu* cpu, EventKind kind, uint64_t pc, uint64_t address, int size, uint64_t value, uint64_t old
) noexcept nogil:
    """Those that are for all events of a kind, which is wanted."""
    tell(cpu, kind, ~<int>kind, pc, address, address, size, value, old)


cdef bint told_before(Cpu* cpu, EventKind kind) noexcept nogil:
    """Whether hooks were told of the instruction at hand already; from now on they are."""
    cdef uint64_t step = consumed_steps(cpu) + 1
    cdef uint32_t bit = 1 << <int>kind
    if cpu.hooked_pc != cpu.state.pc or cpu.hooked_step != step:
        cpu.hooked_pc, cpu.hooked_step, cpu.hooked_kinds = cpu.state.pc, step, 0
    if cpu.hooked_kinds & bit:
        return True
    cpu.hooked_kinds |= bit
    return False


cdef int make_room(Machine* machine) except -1:
    """For all events that one instruction can be; where harts have threads, one of each."""
    cdef Probes* probes = &machine.probes
    cdef int room = probes.breakpoint_count + 2 * PIECES * probes.watch_count + EVENT_KINDS
    cdef Event* events
    if machine.safepoints != NULL:
        room *= machine.cpu_count
    if room > probes.event_room:
        events = <Event*>realloc(probes.events, 2 * room * sizeof(Event))
        if events == NULL:
            raise MemoryError("no room for the events of another hook")
        probes.events = events
        probes.event_room = 2 * room
    return 0


cdef void forget_events(Machine* machine) noexcept nogil:
    """The machine is in another state: what happened on the way to this one is of the past."""
    machine.probes.event_count = machine.probes.event_next = 0
