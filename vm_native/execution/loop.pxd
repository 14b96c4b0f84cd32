# The run loop of a hart.
from libc.stdint cimport int64_t
from vm_native.execution.translate cimport Translator
from vm_native.ir.block cimport Block
from vm_native.machine cimport Cpu

cdef Block* find_or_translate(const Translator* translator, Cpu* cpu, int* status) noexcept nogil
cdef void run_slice(const Translator* translator, Cpu* cpu) noexcept nogil
cdef void open_slice(Cpu* cpu, int64_t length) noexcept nogil
cdef int64_t close_slice(Cpu* cpu) noexcept nogil
