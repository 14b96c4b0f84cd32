# Physical memory protection and address translation: fills the TLB.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu
from vm_native.riscv.constants cimport SATP_MODE_SHIFT, SATP_MODE_SV39
from vm_native.riscv.state cimport Hart

cdef int translate_address(Cpu* cpu, uint64_t address, int access, uint64_t size, uint64_t* physical) noexcept nogil
cdef int look_up(Hart* hart, uint64_t address, int access, uint64_t* physical) noexcept nogil
cdef void digest_pmp(Hart* hart) noexcept nogil

cdef inline int levels_of(uint64_t satp) noexcept nogil:
    """Levels of page tables: 3 in Sv39, 4 in Sv48, 5 in Sv57; below 0 where there is no paging."""
    return 3 + <int>(satp >> SATP_MODE_SHIFT) - <int>(SATP_MODE_SV39 >> SATP_MODE_SHIFT)
