# What the harts of a machine share, and how they take turns.
from libc.stdint cimport int64_t, uint64_t
from vm_native.machine cimport BlockCache, Cpu
from vm_native.memory.bus cimport Bus
from vm_native.clock cimport NativeClock
from vm_native.execution.loop cimport Engine
from vm_native.jit.compiler cimport JitCompiler

cdef class Scheduler:
    cdef readonly Bus bus
    cdef readonly NativeClock clock
    cdef BlockCache blocks
    cdef Engine engine
    cdef Cpu* current               # the hart whose slice it is; NULL outside run()
    cdef int turn                   # whose quantum it is
    cdef int64_t quantum_left
    cdef int64_t quantum
    cdef uint64_t event_ns          # guest time of the first device event
    cdef list harts                 # keeps the owners of the CPUs alive
    cdef readonly str form
    cdef readonly JitCompiler compiler
    cdef bint stop_asked            # request_stop() outside a slice

    cdef void add(self, Cpu* cpu, object owner) except *
    cdef int run_harts(self, uint64_t limit, uint64_t stop_ns, uint64_t host_deadline) noexcept nogil
    cdef int next_runnable(self) noexcept nogil
    cdef void settle(self) noexcept nogil
    cdef uint64_t first_deadline(self) noexcept nogil
    cdef int64_t slice_length(self, uint64_t limit, uint64_t stop_ns) noexcept nogil
    cdef int run_one_slice(self, Cpu* cpu, int64_t length) noexcept nogil
    cdef int nobody_runs(self, uint64_t stop_ns) noexcept nogil
    cdef bint signal_raised(self) noexcept
