# What a hart is, as a guest could find out: one struct without pointers, that can be copied, kept and compared. It is
# exact whenever anything but an engine looks: between slices, and before a callback.
from libc.stdint cimport uint64_t

cdef enum:
    REGISTER_SLOTS = 80     # what a front end may use: general, floating point, sink, temporaries
    FRONT_END_WORDS = 358   # makes HartState whole cache lines

cdef struct Reservation:    # of a load-reserved
    uint64_t address        # physical
    uint64_t value          # what was there
    uint64_t size           # bytes; 0: nothing is reserved

cdef struct HartState:
    uint64_t regs[REGISTER_SLOTS]
    uint64_t front_end[FRONT_END_WORDS]     # what a front end keeps besides, laid out by it, also in slots before it
    uint64_t pc
    Reservation reservation
    uint64_t steps          # at the start of the slice
    uint64_t traps          # steps that did not retire
    uint64_t origin_pc      # the last trap, or what led to a trap loop
    uint64_t origin_cause
    uint64_t origin_value
    uint64_t origin_step    # steps after it
