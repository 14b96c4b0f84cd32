# Probes in translations.
from vm_native.ir.block cimport Block
from vm_native.machine cimport Cpu

cdef enum:
    MOST_WITH_PROBES = 20   # instructions in a block: each takes up to seven cells then

cdef void instrument(Cpu* cpu, Block* block) noexcept nogil
