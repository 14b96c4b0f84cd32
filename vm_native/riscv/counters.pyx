"""cycle and instret (privileged specification, sections 3.1.10 and 3.1.12; chapter "Smcntrpmf").

Neither is counted step by step: what a counter shows is the hart's steps and an offset, or while it stands what the
offset holds alone. So nothing happens but where one begins to stand or ceases to.
"""
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport MCOUNTINHIBIT_CY, MCOUNTINHIBIT_IR
from vm_native.riscv.state cimport Hart


cdef inline void turn(uint64_t* offset, uint64_t count, bint stands) noexcept nogil:
    offset[0] += count if stands else -count


cdef void turn_counters(Hart* hart, uint64_t standing, int steps) noexcept nogil:
    cdef uint64_t changed = standing ^ hart.state.standing_counters
    if changed & MCOUNTINHIBIT_CY:
        turn(&hart.state.cycle_offset, cycles(hart) + steps, standing & MCOUNTINHIBIT_CY != 0)
    if changed & MCOUNTINHIBIT_IR:
        turn(&hart.state.instret_offset, retired(hart) + steps, standing & MCOUNTINHIBIT_IR != 0)
    hart.state.standing_counters = standing
