# One uop at a time, for engines that compile most of them and leave the rest to the interpreter.
from libc.stdint cimport int64_t
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu

# A Status. Unless that is CONTINUE, pc and budget have been stored. `budget` is what is left behind the uop's block.
cdef int run_uop(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
