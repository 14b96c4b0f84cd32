"""Address spaces in the TLB: a few of those entered last keep what they have there, and what fences end.

An address space is a value of satp, ASID and root together, and for a guest's of hgatp as well. Each has banks of its
own, and a generation of Cpu.key that its entries in the jump cache carry. Those of a supervisor whose code is on global
pages have one in common, as M-mode's have. So neither a switch to another and back nor a trap empties anything. What
software must order by a fence of an address (privileged specification, section 12.2.1) ends in all of them, whichever
ASID it names; a fence of an ASID is about the spaces of that number. Fences of a guest, and those of its host that are
about guests, end what is of guests alone.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from vm_native.ir.block cimport MAX_BLOCK_STEPS
from vm_native.jump_cache cimport (
    CHUNKS, CHUNK_SHIFT, ENTERED_PAGES, FROM_BEFORE, SEVERAL_PAGES, EnteredPage, JumpCacheEntry, entered_page,
    jump_entry, may_have_code,
)
from vm_native.machine cimport Cpu, close_load_windows, forget_page_entries
from vm_native.memory.ram cimport PAGE_MASK, PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE
from vm_native.memory.tlb cimport (
    ADDRESS_SPACES, BANK_ENTRIES, TLB_BANKS, TlbEntry, clear_entry, prepare_bank, spare_entry, tlb_entry,
)
from vm_native.riscv.constants cimport HGATP_VMID, HGATP_VMID_SHIFT, SATP_ASID_SHIFT
from vm_native.riscv.state cimport (
    BANK_M, BANK_S, GIGAPAGE_SHIFT, MEGAPAGE_SHIFT, REMEMBERED_FILLS, AddressSpace, Hart, hart_of,
)
from vm_native.riscv.worlds cimport data_is_of_guest, has_guests

cdef enum:
    FEW_PAGES = 64          # flushed one by one; more, and everything goes
    SHORTEST = 2            # instruction, in bytes
    LONGEST = 4
    ASID_MASK = 0xFFFF

cdef uint64_t OF_GUEST = 1ULL << 58     # no bit of hgatp


cdef void clear_bank(Hart* hart, int bank) noexcept nogil:
    cdef int i
    for i in range(BANK_ENTRIES if hart.cpu.filled_banks >> bank & 1 else 0):
        clear_entry(&hart.cpu.banks[bank * BANK_ENTRIES + i])
    hart.cpu.filled_banks &= ~(1U << bank)


cdef void empty_space(Hart* hart, int number) noexcept nogil:
    """Of translations of data; `renew_fetches` has to follow."""
    cdef AddressSpace* space = &hart.spaces[number]
    cdef int i
    if space.fill_count <= REMEMBERED_FILLS:
        for i in range(space.fill_count):
            clear_entry(&hart.cpu.banks[space.fills[i]])
    else:
        for i in range(BANKS_OF_SPACE):
            clear_bank(hart, BANK_S + number * BANKS_OF_SPACE + i)
    space.fill_count = 0
    space.megapages = space.gigapages = 0
    space.larger = False
    if number == hart.space:
        close_load_windows(&hart.cpu, BANK_S)


cdef void renew_fetches(Hart* hart, int number) noexcept nogil:
    """What was remembered of where code of this space stands holds no more."""
    hart.generations += 1
    hart.spaces[number].generation = hart.generations


cdef void forget_fetches(Hart* hart) noexcept nogil:
    """The same of all spaces, and of what they have in common."""
    cdef int number
    for number in range(ADDRESS_SPACES):
        renew_fetches(hart, number)
    hart.generations += 1
    hart.common_generation = hart.generations
    update_generation(hart)
    memset(hart.cpu.jump_cache.pages, 0, ENTERED_PAGES * sizeof(EnteredPage))
    forget_page_entries(&hart.cpu)


cdef inline bint may_have_large_page(const AddressSpace* space, uint64_t address) noexcept nogil:
    """Whether one that this address lies in may be there in parts."""
    return (
        space.megapages & filter_bit(address, MEGAPAGE_SHIFT) != 0
        or space.gigapages & filter_bit(address, GIGAPAGE_SHIFT) != 0
        or space.larger
    )


cdef int find_space(Hart* hart, uint64_t satp, uint64_t guest) noexcept nogil:
    """The one that is remembered, or else that may be forgotten: what was entered longest ago, emptied."""
    cdef int number, oldest = 0
    for number in range(ADDRESS_SPACES):
        if hart.spaces[number].entered and hart.spaces[number].satp == satp and hart.spaces[number].guest == guest:
            return number
        if hart.spaces[number].entered < hart.spaces[oldest].entered:
            oldest = number
    empty_space(hart, oldest)
    renew_fetches(hart, oldest)
    for number in range(BANKS_OF_SPACE):
        prepare_bank(&hart.cpu.banks[(BANK_S + oldest * BANKS_OF_SPACE + number) * BANK_ENTRIES])
    hart.spaces[oldest].satp = satp
    hart.spaces[oldest].guest = guest
    return oldest


cdef void enter_space(Hart* hart) noexcept nogil:
    """satp has been written, or the world that data are of has changed; `update_mode` has to follow."""
    cdef AddressSpace* space = &hart.spaces[hart.space]
    cdef uint64_t satp = hart.state.satp, guest = 0
    if has_guests(hart) and data_is_of_guest(hart):
        guest = hart.state.hgatp | OF_GUEST
        if not hart.state.virtual:
            satp = hart.state.vsatp
    if space.satp == satp and space.guest == guest and space.entered:
        return
    hart.space = find_space(hart, satp, guest)
    space = &hart.spaces[hart.space]
    hart.entries += 1
    space.entered = hart.entries
    update_generation(hart)
    close_load_windows(&hart.cpu, BANK_S)
    forget_page_entries(&hart.cpu)


cdef void forget_blocks(Hart* hart, uint64_t start, uint64_t size) noexcept nogil:
    """What the jump cache has of those that begin there."""
    cdef uint64_t pc = start
    cdef JumpCacheEntry* entry
    while pc != start + size:
        entry = jump_entry(&hart.cpu.jump_cache, pc)
        if entry.pc == pc:
            entry.key = 0
        pc += SHORTEST


cdef void forget_fetches_of(Hart* hart, uint64_t page) noexcept nogil:
    """What the jump cache has of code in a page, or that runs into it."""
    cdef EnteredPage* entered = entered_page(&hart.cpu.jump_cache, page)
    cdef int chunk
    if not may_have_code(entered, page):
        return
    if entered.page & (FROM_BEFORE | SEVERAL_PAGES):
        forget_blocks(hart, page - MAX_BLOCK_STEPS * LONGEST, MAX_BLOCK_STEPS * LONGEST)
    for chunk in range(CHUNKS):
        if entered.chunks >> chunk & 1:
            forget_blocks(hart, page + (<uint64_t>chunk << CHUNK_SHIFT), 1 << CHUNK_SHIFT)
    if not entered.page & SEVERAL_PAGES:
        entered.page = entered.chunks = 0


cdef void flush_translations(Hart* hart) noexcept nogil:
    """Drop every virtual translation."""
    cdef int number
    for number in range(ADDRESS_SPACES):
        empty_space(hart, number)
    hart.global_supervisor = True           # as long as no fetch says otherwise, and each is translated anew
    forget_fetches(hart)


cdef void flush_asid(Hart* hart, uint64_t asid) noexcept nogil:
    """Drop the translations of the address spaces of this number. Code on global pages stays known."""
    cdef int number
    for number in range(ADDRESS_SPACES):
        if hart.spaces[number].satp >> SATP_ASID_SHIFT & ASID_MASK == asid & ASID_MASK:
            empty_space(hart, number)
            renew_fetches(hart, number)
    update_generation(hart)
    forget_page_entries(&hart.cpu)


cdef inline bint is_meant(const AddressSpace* space, int64_t machine, int64_t asid) noexcept nogil:
    """Whether it is one of a guest, and of these numbers."""
    if not space.guest or asid != ANY and (space.satp >> SATP_ASID_SHIFT ^ <uint64_t>asid) & ASID_MASK:
        return False
    return machine == ANY or (space.guest & HGATP_VMID) >> HGATP_VMID_SHIFT == <uint64_t>machine


cdef void flush_guests(Hart* hart, int64_t machine, int64_t asid) noexcept nogil:
    """Drop the translations of guests; where they are named, of this one, and of its address spaces of this number."""
    cdef int number
    for number in range(ADDRESS_SPACES):
        if is_meant(&hart.spaces[number], machine, asid):
            empty_space(hart, number)
            renew_fetches(hart, number)
    update_generation(hart)
    forget_page_entries(&hart.cpu)


cdef void flush_guest_address(Hart* hart, int64_t machine, int64_t asid, uint64_t address) noexcept nogil:
    """The same of what a leaf entry for this address of the guest's may have given."""
    cdef int number, bank
    cdef TlbEntry* entries
    for number in range(ADDRESS_SPACES):
        if not is_meant(&hart.spaces[number], machine, asid):
            continue
        if may_have_large_page(&hart.spaces[number], address):
            empty_space(hart, number)
            renew_fetches(hart, number)
            continue
        for bank in range(BANKS_OF_SPACE):
            entries = &hart.cpu.banks[(BANK_S + number * BANKS_OF_SPACE + bank) * BANK_ENTRIES]
            clear_entry(tlb_entry(entries, address))
            clear_entry(spare_entry(entries, address))
    update_generation(hart)
    forget_fetches_of(hart, address & PAGE_MASK)
    forget_page_entries(&hart.cpu)


cdef void flush_everything(Hart* hart) noexcept nogil:
    """After a change of PMP: drop M-mode's entries too."""
    clear_bank(hart, BANK_M)
    close_load_windows(&hart.cpu, BANK_M)
    flush_translations(hart)


cdef void flush_address(Hart* hart, uint64_t address) noexcept nogil:
    """Drop the translations that a leaf entry for this virtual address may have given."""
    cdef bint large = False
    cdef int number, bank
    for number in range(ADDRESS_SPACES):
        if may_have_large_page(&hart.spaces[number], address):
            empty_space(hart, number)
            large = True
    for bank in range(BANK_S, TLB_BANKS):
        if hart.cpu.filled_banks >> bank & 1:
            clear_entry(tlb_entry(&hart.cpu.banks[bank * BANK_ENTRIES], address))
            clear_entry(spare_entry(&hart.cpu.banks[bank * BANK_ENTRIES], address))
    if large:
        forget_fetches(hart)
        return
    forget_fetches_of(hart, address & PAGE_MASK)
    forget_page_entries(&hart.cpu)


cdef void flush_range(Cpu* cpu, uint64_t start, uint64_t size) noexcept nogil:
    """Drop the translations of [start, start + size); all of them for 0 and 0."""
    cdef uint64_t page, pages = ((start & PAGE_OFFSET) + size + PAGE_OFFSET) >> PAGE_SHIFT
    if start == 0 and size == 0 or size > FEW_PAGES * PAGE_SIZE:
        flush_translations(hart_of(cpu))
        return
    for page in range(pages):
        flush_address(hart_of(cpu), (start & PAGE_MASK) + (page << PAGE_SHIFT))
