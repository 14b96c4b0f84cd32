"""Sdtrig: triggers that a guest sets for itself, which raise breakpoint exceptions.

RISC-V Debug Specification 1.0, chapter 5. All are of type mcontrol6, for addresses, with action 0, and fire before the
instruction. Section 5.4 gives two ways to keep a handler from trapping into itself; this is the first: none fires in
the mode that would take the exception while that has its interrupts disabled.

The engine asks at addresses where there is a trigger: translations end there, as at breakpoints, and pages that have
one for accesses are not in the TLB of the hart.
"""
from libc.stdint cimport uint64_t
from vm_native.blocks cimport drop_blocks_at
from vm_native.machine cimport Cpu, Machine, lock_code, unlock_code
from vm_native.memory.tlb cimport EXECUTE, READ, WRITE
from vm_native.riscv.constants cimport (
    BREAKPOINT, MSTATUS_MIE, MSTATUS_SIE, TDATA1_EXECUTE, TDATA1_HIT0, TDATA1_LOAD, TDATA1_M, TDATA1_MATCH,
    TDATA1_MATCH_NAPOT, TDATA1_S, TDATA1_STORE, TDATA1_U, TDATA1_VS, TDATA1_VU, TRIGGERS,
)
from vm_native.riscv.spaces cimport flush_everything
from vm_native.riscv.state cimport MACHINE, SUPERVISOR, Hart, Trigger, hart_of

cdef enum:
    DATA = 1 << READ | 1 << WRITE


cdef void digest_triggers(Hart* hart) noexcept nogil:
    """The registers have been written, or the hart has another state: make the engine follow."""
    cdef Trigger new
    cdef Trigger* old
    cdef bint data_changed = False
    cdef int i
    for i in range(TRIGGERS):
        # By the highest bit that is 0 a debugger learns how large a range can be (section 5.7.12).
        if hart.state.tdata1[i] & TDATA1_MATCH == TDATA1_MATCH_NAPOT and not ~hart.state.tdata2[i]:
            hart.state.tdata2[i] >>= 1
        new = digested(hart.state.tdata1[i], hart.state.tdata2[i])
        old = &hart.triggers[i]
        if new.accesses == old.accesses and new.base == old.base and new.last == old.last:
            continue
        data_changed |= (new.accesses | old.accesses) & DATA != 0
        lock_code(hart.cpu.machine)     # blocks go, and all harts share the counts
        count(hart.cpu.machine, old, -1)
        count(hart.cpu.machine, &new, 1)
        hart.cpu.attention = True               # compiled code ends here: what follows may be another translation
        drop_blocks_of(hart.cpu.machine, old)
        old[0] = new
        drop_blocks_of(hart.cpu.machine, old)
        unlock_code(hart.cpu.machine)
    if data_changed:
        flush_everything(hart)


cdef Trigger digested(uint64_t control, uint64_t address) noexcept nogil:
    """What is to be met; of one that can never fire nothing."""
    cdef Trigger trigger = Trigger(0, 0, 0)
    if not control & (TDATA1_M | TDATA1_S | TDATA1_U | TDATA1_VS | TDATA1_VU):
        return trigger
    if control & TDATA1_LOAD:
        trigger.accesses |= 1 << READ
    if control & TDATA1_STORE:
        trigger.accesses |= 1 << WRITE
    if control & TDATA1_EXECUTE:
        trigger.accesses |= 1 << EXECUTE
    if trigger.accesses:
        trigger.base = trigger.last = address
        if control & TDATA1_MATCH == TDATA1_MATCH_NAPOT:
            trigger.base = address & (address + 1)
            trigger.last = address | (address + 1)
    return trigger


cdef inline void count(Machine* machine, const Trigger* trigger, int by) noexcept nogil:
    if trigger.accesses & DATA:
        machine.probes.virtual_watches += by
    if trigger.accesses & 1 << EXECUTE:
        machine.probes.execute_triggers += by


cdef inline void drop_blocks_of(Machine* machine, const Trigger* trigger) noexcept nogil:
    cdef uint64_t size = trigger.last - trigger.base + 1
    if trigger.accesses & 1 << EXECUTE:
        drop_blocks_at(machine, trigger.base, size if size else trigger.last, False)


cdef inline bint is_for(const Trigger* trigger, int accesses, uint64_t first, uint64_t size) noexcept nogil:
    """Whether it is for any of these accesses to [first, first + size), which may go on at address 0."""
    return trigger.accesses & accesses and (
        trigger.base - first < size or first - trigger.base <= trigger.last - trigger.base
    )


cdef bint has_trigger(Cpu* cpu, int accesses, uint64_t first, uint64_t size) noexcept nogil:
    """Whether one could ever fire there."""
    cdef int i
    for i in range(TRIGGERS):
        if is_for(&hart_of(cpu).triggers[i], accesses, first, size):
            return True
    return False


cdef inline uint64_t enable_of(const Hart* hart) noexcept nogil:
    """The bit of a trigger for the mode at hand."""
    if hart.state.privilege == MACHINE:
        return TDATA1_M
    if hart.state.privilege == SUPERVISOR:
        return TDATA1_VS if hart.state.virtual else TDATA1_S
    return TDATA1_VU if hart.state.virtual else TDATA1_U


cdef bint trigger_fires(Cpu* cpu, int accesses, uint64_t first, uint64_t size) noexcept nogil:
    """The hart is about to do this: whether it traps instead, and then its cause and value are set."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint64_t enable = enable_of(hart)
    cdef bint found = False
    cdef int i
    if would_take_its_own(hart):
        return False
    for i in range(TRIGGERS):
        if hart.state.tdata1[i] & enable and is_for(&hart.triggers[i], accesses, first, size):
            hart.state.tdata1[i] |= TDATA1_HIT0         # hit = 1: before the instruction
            found = True
    if found:
        cpu.trap_cause = BREAKPOINT
        cpu.trap_value = first
    return found


cdef inline bint would_take_its_own(Hart* hart) noexcept nogil:
    """Whether the exception would interrupt what handles it, as far as interrupt enables tell."""
    if hart.state.privilege == MACHINE:
        return not hart.state.mstatus & MSTATUS_MIE
    return (
        hart.state.privilege == SUPERVISOR and hart.state.medeleg >> BREAKPOINT & 1
        and (not hart.state.virtual or hart.state.hedeleg >> BREAKPOINT & 1)
        and not hart.state.mstatus & MSTATUS_SIE
    )
