# How the harts of a machine take turns.
from libc.stdint cimport int64_t, uint64_t
from vm_native.execution.hart_threads cimport HartThreads
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.execution.translate cimport Translator
from vm_native.machine cimport Cpu, Machine
from vm_native.unlocked cimport SharedFlag

cdef struct Limits:         # of a run
    uint64_t end            # step
    uint64_t stop_ns        # guest time
    uint64_t host_deadline  # host time, ns
    uint64_t signals_at     # host time of the next look at signals

cdef class Scheduler:
    cdef NativeMachine owner        # keeps alive what `machine` points to
    cdef Machine* machine
    cdef Translator translator
    cdef HartThreads threads        # None: harts take turns
    cdef int turn                   # whose quantum it is
    cdef int64_t quantum_left
    cdef int64_t quantum
    cdef int64_t real_slice         # steps of a slice in real time
    cdef uint64_t event_ns          # guest time of the first device event
    cdef public uint64_t ceiling_ns     # as `stop_ns` of every run, but that nobody waits for it who would be idle
    cdef public bint paced          # virtual time does not jump: the caller sleeps, and says how long
    cdef readonly str form
    cdef Limits limits
    cdef int turns_unseen           # since the host's clock was looked at
    cdef SharedFlag stop_asked      # request_stop(), not returned yet
    cdef int unserved               # why a run ended, where Python has not been told yet; STOP_NONE

    cdef int run_harts(self) noexcept nogil
    cdef int look_at_host(self) noexcept nogil
    cdef int take_turn(self, int64_t most) noexcept nogil
    cdef int take_round(self, uint64_t end_ns) noexcept nogil
    cdef bint take_back_stops(self, int served) noexcept nogil
    cdef int raise_later(self) except -1
    cdef bint has_raised(self) noexcept nogil
    cdef int tell_hooks(self, int code) noexcept nogil
    cdef int call_hooks(self, int code) noexcept
    cdef int next_runnable(self) noexcept nogil
    cdef void give_turn(self, int hart) noexcept nogil
    cdef void settle(self) noexcept nogil
    cdef uint64_t first_deadline(self) noexcept nogil
    cdef int64_t slice_length(self, uint64_t limit, uint64_t stop_ns) noexcept nogil
    cdef int run_one_slice(self, Cpu* cpu, int64_t length) noexcept nogil
    cdef void fit_real_slice(self, int64_t done, uint64_t took) noexcept nogil
    cdef int nobody_runs(self, uint64_t stop_ns) noexcept nogil
    cdef int own_hart(self) noexcept
    cdef bint handler_raised(self) noexcept
