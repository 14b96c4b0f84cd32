# Probes in translations.
from vm_native.ir.block cimport Block
from vm_native.machine cimport Cpu, Machine

cdef int most_with_probes(Machine* machine, int limit) noexcept nogil
cdef void instrument(Cpu* cpu, Block* block) noexcept nogil
