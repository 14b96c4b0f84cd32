# Guest time as a function of steps (virtual) or of the host's clock (real).
from libc.stdint cimport int64_t, uint64_t
from vm_native.unlocked cimport peek

cdef extern from *:
    """
    #define VM_NEVER 0xFFFFFFFFFFFFFFFFull
    """
    const uint64_t NEVER "VM_NEVER"     # steps, nanoseconds or ticks that do not come

cdef enum:
    NS_PER_SECOND = 1000000000

cdef struct Timeline:
    bint real               # host time instead of steps
    uint64_t steps          # steps of all harts together; exact whenever Python can look
    uint64_t ns_per_step    # virtual: guest nanoseconds a step
    uint64_t skipped_ns     # virtual: time jumped over while every hart waited
    uint64_t started_ns     # real: the host's monotonic clock when guest time was 0
    uint64_t frequency      # timebase ticks a second
    uint64_t ns_per_tick    # follows from it
    int64_t tick_offset     # added to the timebase: a guest may write mtime

cdef inline uint64_t steps_of(const Timeline* timeline) noexcept nogil:
    # Where harts have threads they are counted by all of them.
    return peek(&timeline.steps)

cdef uint64_t host_ns() noexcept nogil
cdef uint64_t timeline_ns(Timeline* timeline, uint64_t steps) noexcept nogil
cdef uint64_t timeline_ticks(Timeline* timeline, uint64_t steps) noexcept nogil
cdef uint64_t steps_until_ns(Timeline* timeline, uint64_t deadline_ns, uint64_t steps) noexcept nogil
cdef uint64_t ns_of_ticks(Timeline* timeline, uint64_t ticks) noexcept nogil

cdef class NativeClock:
    cdef Timeline timeline
