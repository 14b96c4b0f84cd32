# The run loop of a hart.
from vm_native.execution.translate cimport Translator
from vm_native.machine cimport Cpu

cdef void run_slice(const Translator* translator, Cpu* cpu) noexcept nogil
