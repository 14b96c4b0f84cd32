# Address spaces in the TLB, and the ends of what it holds.
from libc.stdint cimport uint16_t, uint64_t
from vm_native.machine cimport Cpu
from vm_native.memory.tlb cimport MODE_BANKS, TLB_ENTRIES
from vm_native.riscv.constants cimport SATP_MODE_SHIFT, SATP_MODE_SV39
from vm_native.riscv.state cimport BANK_M, BANK_S, REMEMBERED_FILLS, AddressSpace, Hart

cdef enum:
    BANKS_OF_SPACE = MODE_BANKS - BANK_S

cdef inline int levels_of(uint64_t satp) noexcept nogil:
    """Levels of page tables: 3 in Sv39, 4 in Sv48, 5 in Sv57; below 0 where there is no paging."""
    return 3 + <int>(satp >> SATP_MODE_SHIFT) - <int>(SATP_MODE_SV39 >> SATP_MODE_SHIFT)

cdef inline int bank_of(Hart* hart, int bank) noexcept nogil:
    # The number, among all, of a bank of this mode in the address space at hand.
    return bank if bank == BANK_M else bank + hart.space * BANKS_OF_SPACE

cdef inline void remember_fill(Hart* hart, int index) noexcept nogil:
    # That an entry, by its number among all, is valid now.
    cdef AddressSpace* space = &hart.spaces[hart.space]
    hart.cpu.filled_banks |= 1 << index // TLB_ENTRIES
    if index >= BANK_S * TLB_ENTRIES:
        if space.fill_count < REMEMBERED_FILLS:
            space.fills[space.fill_count] = <uint16_t>index
        # One past the last index means "too many"; a count that went on would wrap around in the end.
        if space.fill_count <= REMEMBERED_FILLS:
            space.fill_count += 1

cdef void enter_space(Hart* hart) noexcept nogil
cdef void flush_translations(Hart* hart) noexcept nogil
cdef void flush_asid(Hart* hart, uint64_t asid) noexcept nogil
cdef void flush_everything(Hart* hart) noexcept nogil
cdef void flush_range(Cpu* cpu, uint64_t start, uint64_t size) noexcept nogil
cdef void flush_address(Hart* hart, uint64_t address) noexcept nogil
