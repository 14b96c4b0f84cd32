# Address spaces in the TLB, and the ends of what it holds.
from libc.stdint cimport int64_t, uint16_t, uint64_t
from vm_native.machine cimport MODE_BITS, MODE_MASK, Cpu
from vm_native.memory.tlb cimport MODE_BANKS, BANK_ENTRIES
from vm_native.riscv.constants cimport HGATP_VMID, HGATP_VMID_SHIFT, SATP_MODE_SHIFT, SATP_MODE_SV39
from vm_native.riscv.state cimport (
    BANK_M, BANK_S, GIGAPAGE_SHIFT, MACHINE, MEGAPAGE_SHIFT, REMEMBERED_FILLS, SUPERVISOR, AddressSpace, Hart,
)

cdef enum:
    BANKS_OF_SPACE = MODE_BANKS - BANK_S
    ANY = -1                # address space or virtual machine, where one can be named

cdef inline int levels_of(uint64_t satp) noexcept nogil:
    """Levels of page tables: 3 in Sv39, 4 in Sv48, 5 in Sv57; below 0 where there is no paging."""
    return 3 + <int>(satp >> SATP_MODE_SHIFT) - <int>(SATP_MODE_SV39 >> SATP_MODE_SHIFT)

cdef inline uint64_t filter_bit(uint64_t address, int shift) noexcept nogil:
    # Of a page of this size: kernels have theirs in one half of the address space, and fence pages in the other.
    return 1ULL << (address >> shift & 31 | address >> 63 << 5)

cdef inline void remember_size(AddressSpace* space, uint64_t address, int level) noexcept nogil:
    # That part of a page of this level is in the TLB.
    if level == 1:
        space.megapages |= filter_bit(address, MEGAPAGE_SHIFT)
    elif level == 2:
        space.gigapages |= filter_bit(address, GIGAPAGE_SHIFT)
    elif level > 2:
        space.larger = True

cdef inline int bank_of(Hart* hart, int bank) noexcept nogil:
    # The number, among all, of a bank of this mode in the address space at hand.
    return bank if bank == BANK_M else bank + hart.space * BANKS_OF_SPACE

cdef inline uint64_t machine_at_hand(const Hart* hart) noexcept nogil:
    # The number of the guest that hgatp names.
    return (hart.state.hgatp & HGATP_VMID) >> HGATP_VMID_SHIFT

cdef inline bint is_common(Hart* hart) noexcept nogil:
    # Whether what is fetched now is the same in all address spaces.
    if hart.state.privilege == SUPERVISOR:
        return hart.global_supervisor and not hart.state.virtual
    return hart.state.privilege == MACHINE

cdef inline void update_generation(Hart* hart) noexcept nogil:
    # In Cpu.key; after a change of privilege, of the address space, or of generations.
    cdef uint64_t generation = hart.common_generation if is_common(hart) else hart.spaces[hart.space].generation
    hart.cpu.key = generation << MODE_BITS | hart.cpu.key & MODE_MASK

cdef inline void note_fetch(Hart* hart, bint is_global) noexcept nogil:
    # The page of an instruction has been translated: whether by a global entry.
    if not is_global and hart.global_supervisor and hart.state.privilege == SUPERVISOR and not hart.state.virtual:
        hart.global_supervisor = False
        update_generation(hart)

cdef inline void remember_fill(Hart* hart, int index) noexcept nogil:
    # That an entry, by its number among all, is valid now.
    cdef AddressSpace* space = &hart.spaces[hart.space]
    hart.cpu.filled_banks |= 1 << index // BANK_ENTRIES
    if index >= BANK_S * BANK_ENTRIES:
        if space.fill_count < REMEMBERED_FILLS:
            space.fills[space.fill_count] = <uint16_t>index
        # One past the last index means "too many"; a count that went on would wrap around in the end.
        if space.fill_count <= REMEMBERED_FILLS:
            space.fill_count += 1

cdef void enter_space(Hart* hart) noexcept nogil
cdef void flush_translations(Hart* hart) noexcept nogil
cdef void flush_asid(Hart* hart, uint64_t asid) noexcept nogil
cdef void flush_everything(Hart* hart) noexcept nogil
cdef void flush_guests(Hart* hart, int64_t machine, int64_t asid) noexcept nogil
cdef void flush_guest_address(Hart* hart, int64_t machine, int64_t asid, uint64_t address) noexcept nogil
cdef void flush_range(Cpu* cpu, uint64_t start, uint64_t size) noexcept nogil
cdef void flush_address(Hart* hart, uint64_t address) noexcept nogil
