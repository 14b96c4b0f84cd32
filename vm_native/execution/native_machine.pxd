# A machine as Python builds it.
from libc.stdint cimport uint64_t
from vm_native.clock cimport NativeClock
from vm_native.jit.compiler cimport JitCompiler
from vm_native.machine cimport Cpu, Machine
from vm_native.memory.bus cimport Bus

cdef class NativeMachine:
    cdef object __weakref__
    cdef Machine machine
    cdef readonly Bus bus
    cdef readonly NativeClock clock
    cdef readonly JitCompiler compiler
    cdef list harts         # keeps the owners of the CPUs alive
    cdef readonly bint closed
    cdef unsigned int forks     # of this process when the machine was built
    cdef list recorders     # that are on: they stay as long as the machine
    cdef dict hooks         # what is called for events, by the id of the probe
    cdef readonly object waiting    # (what is called, with what), of an event for many: a deque
    cdef public tuple subjects      # what these are called with, by the number of the hart
    cdef readonly bint in_hook
    cdef readonly bint hooked_ahead     # the last one was called before an instruction, that is the next one
    cdef public object onlooker     # has hooks_begin(), and hooks_end(): whether it wants the slice to end; or None
    cdef uint64_t restores  # how often the machine went to another state

    cdef bint is_usable(self) noexcept
    cdef int take_later_hits(self, list hits, object hart) except -1
    cdef int settle_write(self, uint64_t address, uint64_t size) except -1
    cdef object call_hooks(self, bint* ends_slice)
    cdef int tell_hooks(self) except -1
    cdef int call_waiting(self) except -1
    cdef void add(self, Cpu* cpu, object owner) except *
