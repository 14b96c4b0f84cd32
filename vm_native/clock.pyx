"""Guest time.

Virtual: steps times nanoseconds a step, plus what was jumped over while every hart waited; the same run gives the
same time at the same step. Real: the host's monotonic clock.
"""
from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

FOREVER = NEVER             # for Python


cdef uint64_t host_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * NS_PER_SECOND + <uint64_t>now.tv_nsec


cdef uint64_t timeline_ns(Timeline* timeline, uint64_t steps) noexcept nogil:
    """Guest nanoseconds since power-on after `steps` steps of the machine."""
    if timeline.real:
        return host_ns() - timeline.started_ns
    return steps * timeline.ns_per_step + timeline.skipped_ns


cdef uint64_t timeline_ticks(Timeline* timeline, uint64_t steps) noexcept nogil:
    """The timebase (mtime, and what rdtime reads)."""
    cdef uint64_t ns = timeline_ns(timeline, steps)
    return ns // timeline.ns_per_tick + <uint64_t>timeline.tick_offset


cdef uint64_t ns_of_ticks(Timeline* timeline, uint64_t ticks) noexcept nogil:
    """The first nanosecond at which the timebase has reached `ticks`; NEVER if that is out of range."""
    cdef uint64_t ns_per_tick = timeline.ns_per_tick
    cdef uint64_t passed = timeline_ns(timeline, steps_of(timeline)) // ns_per_tick
    cdef uint64_t now = passed + <uint64_t>timeline.tick_offset
    if ticks <= now:
        return 0
    if ticks - now > NEVER // ns_per_tick - passed:
        return NEVER
    return (passed + (ticks - now)) * ns_per_tick


cdef uint64_t steps_until_ns(Timeline* timeline, uint64_t deadline_ns, uint64_t steps) noexcept nogil:
    """Virtual time only: how many more steps until guest time has reached `deadline_ns`."""
    cdef uint64_t now = timeline_ns(timeline, steps)
    if deadline_ns <= now:
        return 0
    return (deadline_ns - now + timeline.ns_per_step - 1) // timeline.ns_per_step


cdef class NativeClock:
    """The machine's clock, shared by its harts. `ns_per_step` applies to virtual time; `frequency` divides 10**9."""

    def __init__(self, *, bint real, uint64_t frequency, uint64_t ns_per_step=1):
        if ns_per_step < 1 or NS_PER_SECOND % frequency:
            raise ValueError("ns_per_step must be at least 1 and the timebase frequency a divisor of 10**9")
        self.timeline.real = real
        self.timeline.ns_per_step = ns_per_step
        self.timeline.frequency = frequency
        self.timeline.ns_per_tick = NS_PER_SECOND // frequency
        self.timeline.started_ns = host_ns()

    def now_ns(self):
        """Guest nanoseconds since power-on."""
        return timeline_ns(&self.timeline, steps_of(&self.timeline))

    def ticks(self):
        """The timebase, in units of 1 / frequency seconds, modulo 2**64."""
        return timeline_ticks(&self.timeline, steps_of(&self.timeline))

    def set_ticks(self, uint64_t value):
        """Make the timebase read `value` now."""
        self.timeline.tick_offset += <int64_t>(value - timeline_ticks(&self.timeline, steps_of(&self.timeline)))

    def set_real_ns(self, uint64_t ns):
        """Real time: it is `ns` guest nanoseconds since power-on now."""
        self.timeline.started_ns = host_ns() - ns

    @property
    def steps(self):
        """Steps of all harts together. Writable between slices, as the two below: a machine is taken back."""
        return steps_of(&self.timeline)

    @steps.setter
    def steps(self, uint64_t value):
        self.timeline.steps = value

    @property
    def skipped_ns(self):
        """Virtual: time jumped over while every hart waited."""
        return self.timeline.skipped_ns

    @skipped_ns.setter
    def skipped_ns(self, uint64_t value):
        self.timeline.skipped_ns = value

    @property
    def tick_offset(self):
        """What is added to the timebase, a signed number: a guest may write mtime."""
        return self.timeline.tick_offset

    @tick_offset.setter
    def tick_offset(self, int64_t value):
        self.timeline.tick_offset = value

    @property
    def frequency(self):
        """Timebase ticks a second."""
        return self.timeline.frequency
