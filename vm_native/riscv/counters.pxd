# The counters of steps, cycle and instret, and what makes them stand.
from libc.stdint cimport uint64_t
from vm_native.machine cimport consumed_steps
from vm_native.riscv.constants cimport (
    MCOUNTINHIBIT_CY, MCOUNTINHIBIT_IR, MCYCLECFG_MINH, MCYCLECFG_SINH, MCYCLECFG_UINH, MCYCLECFG_VSINH,
    MCYCLECFG_VUINH,
)
from vm_native.riscv.state cimport MACHINE, SUPERVISOR, Hart

cdef inline uint64_t cycles(const Hart* hart) noexcept nogil:
    return consumed_steps(&hart.cpu)

cdef inline uint64_t retired(const Hart* hart) noexcept nogil:
    return consumed_steps(&hart.cpu) - hart.cpu.state.traps

cdef inline uint64_t filter_of_mode(const Hart* hart) noexcept nogil:
    # The bit by which mcyclecfg and minstretcfg name the mode at hand.
    if hart.state.privilege == MACHINE:
        return MCYCLECFG_MINH
    if hart.state.privilege == SUPERVISOR:
        return MCYCLECFG_VSINH if hart.state.virtual else MCYCLECFG_SINH
    return MCYCLECFG_VUINH if hart.state.virtual else MCYCLECFG_UINH

cdef inline void update_counters(Hart* hart, int steps) noexcept nogil:
    # After a change of what makes counters stand. So many steps that are under way count as before.
    cdef uint64_t standing = hart.state.mcountinhibit
    if hart.state.mcyclecfg & filter_of_mode(hart):
        standing |= MCOUNTINHIBIT_CY
    if hart.state.minstretcfg & filter_of_mode(hart):
        standing |= MCOUNTINHIBIT_IR
    if standing != hart.state.standing_counters:
        turn_counters(hart, standing, steps)

cdef inline void follow_mode(Hart* hart, int steps) noexcept nogil:
    # The same after a change of the mode alone, which is nothing to most.
    if hart.state.mcyclecfg | hart.state.minstretcfg:
        update_counters(hart, steps)

cdef void turn_counters(Hart* hart, uint64_t standing, int steps) noexcept nogil
