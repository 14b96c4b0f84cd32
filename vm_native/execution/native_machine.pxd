# A machine as Python builds it.
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

    cdef void add(self, Cpu* cpu, object owner) except *
