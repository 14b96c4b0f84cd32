# Physical memory protection and address translation: fills the TLB.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu
from vm_native.riscv.state cimport Hart

cdef enum:
    WINDOW_START = 0x80000000   # where boards have their RAM
    # More kinds of access
    READ_CODE = 3           # a load that needs the permission to execute
    READ_SHADOW = 4         # of a shadow stack, by the instructions that are there for it
    WRITE_SHADOW = 5

cdef int translate_address(Cpu* cpu, uint64_t address, int access, uint64_t size, uint64_t* physical) noexcept nogil
cdef int look_up(Hart* hart, uint64_t address, int access, uint64_t* physical) noexcept nogil
cdef int translate_for_guest(
    Hart* hart, uint64_t address, int access, int privilege, uint64_t size, uint64_t* physical
) noexcept nogil
cdef int translate_shadow(
    Hart* hart, uint64_t address, int access, uint64_t size, uint64_t* physical
) noexcept nogil
cdef void open_unpaged_window(Cpu* cpu) noexcept nogil
