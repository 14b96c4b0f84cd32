# The counters of events (cycle, instret, hpmcounter3 to 31), what makes them stand, and their overflows.
from libc.stdint cimport uint64_t
from vm_native.machine cimport consumed_steps
from vm_native.riscv.state cimport MODES_OF_PRIVILEGE, Hart

cdef inline uint64_t retired(const Hart* hart) noexcept nogil:
    return consumed_steps(&hart.cpu) - hart.cpu.state.traps

cdef inline int mode_at_hand(const Hart* hart) noexcept nogil:
    # An index of Hart.standing_in.
    return hart.state.privilege + (MODES_OF_PRIVILEGE if hart.state.virtual else 0)

cdef inline void update_counters(Hart* hart, int steps) noexcept nogil:
    # After a change of what makes counters stand. So many steps that are under way count as before.
    cdef uint64_t standing = hart.standing_in[mode_at_hand(hart)]
    if standing != hart.state.standing_counters:
        turn_counters(hart, standing, steps)

cdef inline void follow_mode(Hart* hart, int steps) noexcept nogil:
    # The same after a trap or a return, which is nothing to most.
    if hart.counts_modes:
        follow_trap(hart, steps)

cdef uint64_t read_mcycle(const Hart* hart) noexcept nogil
cdef uint64_t read_minstret(const Hart* hart) noexcept nogil
cdef uint64_t read_mhpmcounter(const Hart* hart, int index) noexcept nogil
cdef uint64_t read_mhpmevent(const Hart* hart, int index) noexcept nogil
cdef uint64_t read_scountovf(const Hart* hart) noexcept nogil
cdef void write_mcycle(Hart* hart, uint64_t value) noexcept nogil
cdef void write_minstret(Hart* hart, uint64_t value) noexcept nogil
cdef void write_mhpmcounter(Hart* hart, int index, uint64_t value) noexcept nogil
cdef void set_event(Hart* hart, int index, uint64_t event) noexcept nogil
cdef void counters_changed(Hart* hart) noexcept nogil
cdef void digest_counters(Hart* hart) noexcept nogil
cdef void turn_counters(Hart* hart, uint64_t standing, int steps) noexcept nogil
cdef void follow_trap(Hart* hart, int steps) noexcept nogil
cdef void look_for_overflows(Hart* hart, int steps) noexcept nogil
cdef void cut_slice(Hart* hart) noexcept nogil
