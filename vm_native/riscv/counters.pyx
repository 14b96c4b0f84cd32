"""cycle, instret and the programmable counters (privileged specification, sections 3.1.10 to 3.1.12; chapters
"Smcntrpmf" and "Sscofpmf").

None is counted step by step: what a counter shows is how often its event has happened to the hart, which is known
anyway, and an offset; or while it stands, what the offset holds alone. So nothing happens but where one begins to stand
or ceases to.

A counter that may overflow is armed. Those of steps say how many are left until then, and the slice is cut there, by
`attend`, which comes before the first block of a slice and before the next one after whatever changes a counter or the
mode; so at the end of a slice an overflow is due at once or not at all. Those of traps are looked at after each.
"""
from libc.stdint cimport int64_t, uint64_t
from vm_native.clock cimport NEVER
from vm_native.machine cimport consumed_steps
from vm_native.riscv.constants cimport (
    EVENT_COUNTERS, FEATURE_SSCOFPMF, FEATURE_ZIHPM, MCOUNTINHIBIT_CY, MCOUNTINHIBIT_IR, MHPMEVENT_EVENT,
    MHPMEVENT_EVENT_CYCLES, MHPMEVENT_EVENT_EXCEPTIONS, MHPMEVENT_EVENT_INSTRUCTIONS, MHPMEVENT_EVENT_INTERRUPTS,
    MHPMEVENT_MINH, MHPMEVENT_OF, MHPMEVENT_SINH, MHPMEVENT_UINH, MHPMEVENT_VSINH, MHPMEVENT_VUINH, MIP_LCOFIP,
)
from vm_native.riscv.state cimport COUNTERS, MACHINE, MODES, Hart

cdef enum:
    CYCLE = 0
    INSTRET = 2
    FIRST = 3               # of those with an event of their own

# The bits by which mhpmevent, mcyclecfg and minstretcfg name modes: U, S, none, M, and of guests
cdef uint64_t[MODES] FILTER = [
    MHPMEVENT_UINH, MHPMEVENT_SINH, 0, MHPMEVENT_MINH, MHPMEVENT_VUINH, MHPMEVENT_VSINH, 0, 0,
]


cdef inline uint64_t event_of(const Hart* hart, int counter) noexcept nogil:
    if counter >= FIRST:
        return hart.state.mhpmevent[counter - FIRST] & MHPMEVENT_EVENT
    return MHPMEVENT_EVENT_CYCLES if counter == CYCLE else MHPMEVENT_EVENT_INSTRUCTIONS


cdef inline bint is_of_steps(uint64_t event) noexcept nogil:
    return event == MHPMEVENT_EVENT_CYCLES or event == MHPMEVENT_EVENT_INSTRUCTIONS


cdef uint64_t happened(const Hart* hart, int counter, int steps) noexcept nogil:
    """How often the counter's event has happened to the hart so far, and in so many steps that are under way."""
    cdef uint64_t event = event_of(hart, counter)
    if event == MHPMEVENT_EVENT_CYCLES:
        return consumed_steps(&hart.cpu) + steps
    if event == MHPMEVENT_EVENT_INSTRUCTIONS:
        return retired(hart) + steps
    if event == MHPMEVENT_EVENT_EXCEPTIONS:
        return hart.cpu.state.traps
    return hart.state.interrupts if event == MHPMEVENT_EVENT_INTERRUPTS else 0


# --- Values ----------------------------------------------------------------------------------------------------------

cdef inline uint64_t value_of(const Hart* hart, int counter) noexcept nogil:
    if hart.state.standing_counters >> counter & 1:
        return hart.state.counters[counter]
    return happened(hart, counter, 0) + hart.state.counters[counter]


cdef void write_counter(Hart* hart, int counter, uint64_t value) noexcept nogil:
    """It holds the value after the instruction that writes it, which is a step itself; Python's write is none."""
    cdef int steps = hart.cpu.slice != 0
    if hart.state.standing_counters >> counter & 1:
        hart.state.counters[counter] = value
    else:
        hart.state.counters[counter] = value - happened(hart, counter, steps)
        arm(hart, counter, steps)


cdef uint64_t read_mcycle(const Hart* hart) noexcept nogil:
    return value_of(hart, CYCLE)


cdef uint64_t read_minstret(const Hart* hart) noexcept nogil:
    return value_of(hart, INSTRET)


cdef uint64_t read_mhpmcounter(const Hart* hart, int index) noexcept nogil:
    return value_of(hart, index)


cdef void write_mcycle(Hart* hart, uint64_t value) noexcept nogil:
    write_counter(hart, CYCLE, value)


cdef void write_minstret(Hart* hart, uint64_t value) noexcept nogil:
    write_counter(hart, INSTRET, value)


cdef void write_mhpmcounter(Hart* hart, int index, uint64_t value) noexcept nogil:
    if hart.state.features & FEATURE_ZIHPM:
        write_counter(hart, index, value)


# --- What counts -----------------------------------------------------------------------------------------------------

cdef void digest_counters(Hart* hart) noexcept nogil:
    """Note for each mode which counters stand in it."""
    cdef uint64_t own
    cdef int mode, i
    hart.counts_modes = False
    for mode in range(MODES):
        hart.standing_in[mode] = hart.state.mcountinhibit
        if hart.state.mcyclecfg & FILTER[mode]:
            hart.standing_in[mode] |= MCOUNTINHIBIT_CY
        if hart.state.minstretcfg & FILTER[mode]:
            hart.standing_in[mode] |= MCOUNTINHIBIT_IR
    for i in range(EVENT_COUNTERS):
        own = hart.state.mhpmevent[i]
        for mode in range(MODES):
            if not own & MHPMEVENT_EVENT or own & FILTER[mode]:
                hart.standing_in[mode] |= 1ULL << (i + FIRST)
        if own & MHPMEVENT_EVENT and not is_of_steps(own & MHPMEVENT_EVENT):
            hart.counts_modes = True
    for mode in range(MODES):
        if FILTER[mode] and hart.standing_in[mode] != hart.standing_in[<int>MACHINE]:
            hart.counts_modes = True


cdef void counters_changed(Hart* hart) noexcept nogil:
    """A new setting holds for the instruction that makes it, too."""
    digest_counters(hart)
    update_counters(hart, 0)


cdef void set_event(Hart* hart, int index, uint64_t event) noexcept nogil:
    """mhpmevent: the counter keeps its value, whatever it counts."""
    cdef uint64_t own = 1ULL << index
    turn_counters(hart, hart.state.standing_counters | own, 0)
    hart.state.mhpmevent[index - FIRST] = event
    counters_changed(hart)


cdef void turn_counters(Hart* hart, uint64_t standing, int steps) noexcept nogil:
    """Let those stand, and no other ones."""
    cdef uint64_t changed = standing ^ hart.state.standing_counters
    cdef int i
    if changed & hart.state.armed_counters:
        look_for_overflows(hart, steps)
    hart.state.standing_counters = standing
    hart.state.armed_counters &= ~changed
    for i in range(COUNTERS):
        if not changed >> i & 1:
            continue
        if standing >> i & 1:
            hart.state.counters[i] += happened(hart, i, steps)
        else:
            hart.state.counters[i] -= happened(hart, i, steps)
            arm(hart, i, steps)


# --- Overflow --------------------------------------------------------------------------------------------------------

cdef inline uint64_t wraps_at(const Hart* hart, int counter) noexcept nogil:
    """Of one that is armed: how often its event will have happened when it overflows."""
    return 0 - hart.state.counters[counter]


cdef void arm(Hart* hart, int counter, int steps) noexcept nogil:
    """One that counts has got another value, or begins: will its overflow be one that matters?"""
    cdef uint64_t own = 1ULL << counter
    hart.state.armed_counters &= ~own
    if counter < FIRST or not hart.state.features & FEATURE_SSCOFPMF:
        return
    if hart.state.mhpmevent[counter - FIRST] & MHPMEVENT_OF:
        return
    if wraps_at(hart, counter) > happened(hart, counter, steps):
        hart.state.armed_counters |= own
        hart.cpu.attention = True


cdef inline bint is_over(const Hart* hart, int counter, int steps) noexcept nogil:
    return hart.state.armed_counters >> counter & 1 and happened(hart, counter, steps) >= wraps_at(hart, counter)


cdef void look_for_overflows(Hart* hart, int steps) noexcept nogil:
    """Let those that are over, with so many steps that are under way, say so."""
    cdef int i
    for i in range(FIRST, COUNTERS):
        if is_over(hart, i, steps):
            hart.state.armed_counters &= ~(1ULL << i)
            hart.state.mhpmevent[i - FIRST] |= MHPMEVENT_OF
            hart.state.mip |= MIP_LCOFIP
            hart.cpu.attention = True


cdef void follow_trap(Hart* hart, int steps) noexcept nogil:
    """After a trap, or a return from one: it may have been counted, and the mode is another."""
    if hart.state.armed_counters:
        look_for_overflows(hart, steps)
    update_counters(hart, steps)


cdef void cut_slice(Hart* hart) noexcept nogil:
    """Where the first of the armed counters may overflow; in `attend`, where the budget is all that is left."""
    cdef uint64_t left = NEVER
    cdef int64_t excess
    cdef int i
    for i in range(FIRST, COUNTERS):
        if hart.state.armed_counters >> i & 1 and is_of_steps(event_of(hart, i)):
            left = min(left, wraps_at(hart, i) - happened(hart, i, 0))
    if hart.cpu.budget > 0 and left < <uint64_t>hart.cpu.budget:
        excess = hart.cpu.budget - <int64_t>left
        hart.cpu.slice -= excess
        hart.cpu.budget -= excess
        hart.cpu.may_end_early = False


cdef uint64_t read_mhpmevent(const Hart* hart, int index) noexcept nogil:
    """Between slices an overflow may be due that nobody has looked for."""
    cdef uint64_t value = hart.state.mhpmevent[index - FIRST]
    return value | MHPMEVENT_OF if is_over(hart, index, 0) else value


cdef uint64_t read_scountovf(const Hart* hart) noexcept nogil:
    """The overflow bits of the counters that the mode at hand may see."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(FIRST, COUNTERS):
        if read_mhpmevent(hart, i) & MHPMEVENT_OF:
            value |= 1ULL << i
    if hart.state.privilege != MACHINE:
        value &= hart.state.mcounteren
    return value & hart.state.hcounteren if hart.state.virtual else value
