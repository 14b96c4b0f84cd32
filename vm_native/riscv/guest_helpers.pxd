# Instructions of the hypervisor extension, for the table of helpers.
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu

cdef int hfence_vvma(Cpu* cpu, Uop* uop) noexcept nogil
cdef int hfence_gvma(Cpu* cpu, Uop* uop) noexcept nogil
cdef int load_of_guest(Cpu* cpu, Uop* uop) noexcept nogil
cdef int store_of_guest(Cpu* cpu, Uop* uop) noexcept nogil
