# Control-flow integrity: shadow stacks and landing pads.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu
from vm_native.riscv.state cimport Hart

cdef enum:                  # what a software check was: the value of its trap
    LANDING_PAD_FAULT = 2
    SHADOW_STACK_FAULT = 3

cdef bint shadow_stack_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef int landing_pad(Cpu* cpu, Uop* uop) noexcept nogil
cdef int shadow_push(Cpu* cpu, Uop* uop) noexcept nogil
cdef int shadow_pop(Cpu* cpu, Uop* uop) noexcept nogil
cdef int shadow_pointer(Cpu* cpu, Uop* uop) noexcept nogil
cdef int shadow_swap(Cpu* cpu, Uop* uop) noexcept nogil
