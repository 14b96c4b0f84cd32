"""The Sv39, Sv48 and Sv57 page-table walk (privileged specification, sections 12.3 to 12.6), and what the TLB gets.

A guest's addresses go through two stages of the same walk (chapter "H", section "Two-Stage Address Translation"): the
tables of the first are at guest-physical addresses, which the second translates, as it does with what the first gives.
What the TLB remembers is the way through both.

A translation enters the TLB only if its whole page is RAM, or none of it, and no PMP entry covers the page in part. A
load from RAM or a store there enters it for both, if both are allowed. A write tag is given only if the page table
entry is dirty, and of RAM, if the page is marked in the dirty map and holds no translated code.

Where all of a region of RAM stands at its physical addresses, without paging or in one large page, one comparison can
tell all loads from it. So one that enters the TLB also opens the LoadWindow of its mode, if that region is the one it
can show and no page of it is another case.
"""
from libc.stdint cimport int64_t, intptr_t, uint64_t
from vm_native.exits cimport page_failed, page_refused
from vm_native.machine cimport CONTINUE, TRAP, Cpu, about_to_store, effective_address
from vm_native.memory.access cimport load64
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport (
    PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, RamRegion, all_present, is_used_up, make_present, mark_dirty,
)
from vm_native.memory.tlb cimport (
    EXECUTE, LOAD_SPANS, OF_DEVICE, READ, WRITE, LoadWindow, TlbEntry, clear_entry, device_addend, is_of_page,
    is_vacant, read_tag_of, recall, spare_entry, tlb_entry, write_tag_of,
)
from vm_native.probes.watch cimport watches_page, watches_reads
from vm_native.riscv.constants cimport (
    FEATURE_SVADE, FEATURE_SVADU, FEATURE_SVNAPOT, FETCH_ACCESS, FETCH_GUEST_PAGE, FETCH_PAGE, HGATP_MODE,
    HGATP_MODE_BARE, HGATP_PPN, LOAD_ACCESS, LOAD_GUEST_PAGE, LOAD_PAGE, MENVCFG_ADUE, MENVCFG_PBMTE, MENVCFG_SSE,
    MSTATUS_MPP, MSTATUS_MPP_SHIFT, MSTATUS_MPRV, MSTATUS_MXR, MSTATUS_SUM, SATP_MODE, SATP_MODE_BARE, SATP_PPN,
    STORE_ACCESS, STORE_GUEST_PAGE, STORE_PAGE,
)
from vm_native.riscv.pmp cimport pmp_allows
from vm_native.riscv.privilege cimport data_bank_of
from vm_native.riscv.spaces cimport levels_of, note_fetch, remember_fill, remember_size
from vm_native.riscv.state cimport MACHINE, SUPERVISOR, USER, Hart, hart_of
from vm_native.riscv.worlds cimport data_is_of_guest, guest_status, has_guests, host_status
from vm_native.unlocked cimport peek8

cdef extern from *:
    """
    static inline int vm_update_pte(unsigned long long *place, unsigned long long seen, unsigned long long wanted) {
        return __atomic_compare_exchange_n(place, &seen, wanted, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    #define VM_PTE_PPN 0x003FFFFFFFFFFC00ULL        // bits 53:10
    #define VM_PTE_RESERVED 0x1FC0000000000000ULL   // bits 60:54
    #define VM_PTE_PBMT 0x6000000000000000ULL       // bits 62:61
    #define VM_PTE_N 0x8000000000000000ULL          // bit 63
    """
    uint64_t PTE_PPN "VM_PTE_PPN"
    uint64_t PTE_RESERVED "VM_PTE_RESERVED"
    uint64_t PTE_PBMT "VM_PTE_PBMT"
    uint64_t PTE_N "VM_PTE_N"
    bint update_pte "vm_update_pte"(uint64_t* place, uint64_t seen, uint64_t wanted) noexcept nogil

cdef enum:                  # sections 12.3.1 and 12.4.1
    LEVEL_BITS = 9          # of an address select the entry of a table
    LEVEL_MASK = (1 << LEVEL_BITS) - 1
    PTE_BYTES = 8
    PTE_V = 1 << 0
    PTE_R = 1 << 1
    PTE_W = 1 << 2
    PTE_X = 1 << 3
    PTE_U = 1 << 4
    PTE_G = 1 << 5
    PTE_A = 1 << 6
    PTE_D = 1 << 7
    PTE_PPN_SHIFT = 10
    NAPOT_SIZE = 1 << 16    # the one size of Svnapot, and what the lowest bits of ppn are then
    NAPOT_PPN_MASK = 0xF
    NAPOT_PPN = 0x8

    READ_BY_WALK = 0x3000   # htinst where the first stage loads an entry of its tables ...
    WRITE_BY_WALK = 0x3020  # ... and where it stores to one
    WIDER_BITS = 2          # of a guest-physical address

# By kind of access
cdef uint64_t[6] PAGE_FAULT = [LOAD_PAGE, STORE_PAGE, FETCH_PAGE, LOAD_PAGE, STORE_PAGE, STORE_PAGE]
cdef uint64_t[6] GUEST_PAGE_FAULT = [
    LOAD_GUEST_PAGE, STORE_GUEST_PAGE, FETCH_GUEST_PAGE, LOAD_GUEST_PAGE, STORE_GUEST_PAGE, STORE_GUEST_PAGE,
]
cdef uint64_t[6] ACCESS_FAULT = [LOAD_ACCESS, STORE_ACCESS, FETCH_ACCESS, LOAD_ACCESS, STORE_ACCESS, STORE_ACCESS]
cdef int[6] ON_ANY_PAGE = [READ, WRITE, EXECUTE, READ_CODE, READ, WRITE]       # as the second stage has it


# --- The walk --------------------------------------------------------------------------------------------------------

cdef struct Stage:          # of translation
    uint64_t root           # where its tables begin
    uint64_t status         # whose SUM and MXR count
    uint64_t envcfg         # whose ADUE, PBMTE and SSE
    int levels
    bint of_guest_physical  # it translates those, and is the second
    const Stage* second     # that its tables are behind, and what it gives; NULL: all that is physical


cdef struct View:           # of memory, as an access has it
    int privilege
    bint paged
    bint of_guest
    Stage stage             # of virtual addresses, if they are `paged`
    Stage second


cdef struct Translated:
    uint64_t physical
    uint64_t pte            # 0 where there is no paging
    uint64_t second_pte
    int level               # of the first


cdef inline void look(Hart* hart, int access, View* view) noexcept nogil:
    view.privilege = effective_privilege(hart, access)
    view.of_guest = has_guests(hart) and (hart.state.virtual if access == EXECUTE else data_is_of_guest(hart))
    if view.of_guest:
        look_as_guest(hart, view)
        return
    view.paged = view.privilege != MACHINE and hart.state.satp & SATP_MODE != SATP_MODE_BARE
    view.stage.second = NULL
    if view.paged:
        view.stage.root = (hart.state.satp & SATP_PPN) << PAGE_SHIFT
        view.stage.levels = levels_of(hart.state.satp)
        view.stage.status = hart.state.mstatus
        view.stage.envcfg = hart.state.menvcfg
        view.stage.of_guest_physical = False


cdef void look_as_guest(Hart* hart, View* view) noexcept nogil:
    """With the privilege that is there already. MXR of the host's is for both stages."""
    cdef uint64_t satp = hart.state.satp if hart.state.virtual else hart.state.vsatp
    view.of_guest = True
    view.paged = satp & SATP_MODE != SATP_MODE_BARE
    view.stage.root = (satp & SATP_PPN) << PAGE_SHIFT
    view.stage.levels = levels_of(satp)
    view.stage.status = guest_status(hart) | host_status(hart) & MSTATUS_MXR
    view.stage.envcfg = hart.state.henvcfg & hart.state.menvcfg
    view.stage.of_guest_physical = False
    view.stage.second = NULL
    if hart.state.hgatp & HGATP_MODE != HGATP_MODE_BARE:
        view.stage.second = &view.second
        view.second.root = (hart.state.hgatp & HGATP_PPN) << PAGE_SHIFT
        view.second.levels = levels_of(hart.state.hgatp)
        view.second.status = host_status(hart)
        view.second.envcfg = hart.state.menvcfg
        view.second.of_guest_physical = True
        view.second.second = NULL


cdef inline uint64_t page_of(uint64_t pte) noexcept nogil:
    """The physical address that an entry points to."""
    return (pte & PTE_PPN) << (PAGE_SHIFT - PTE_PPN_SHIFT)


cdef inline bint updates_entries(Hart* hart, const Stage* stage) noexcept nogil:
    """Whether the hart sets A and D itself: as menvcfg says; without Svadu, unless Svade says that it faults.

    The manual leaves open what a hart of neither does. QEMU's sets the bits, and guests that never do count on it.
    """
    if hart.state.features & FEATURE_SVADU:
        return stage.envcfg & MENVCFG_ADUE != 0
    return not hart.state.features & FEATURE_SVADE


cdef int walk(
    Hart* hart, const Stage* stage, uint64_t address, int access, int privilege, bint update, Translated* result,
    uint64_t* cause
) noexcept nogil:
    """Section 12.3.2, "Virtual Address Translation Process", whose steps are noted at the ends of lines.

    `update` lets A and D be set where the hart does that.
    """
    cdef int level = stage.levels - 1                                                           # step 1
    cdef int top_bit = PAGE_SHIFT + LEVEL_BITS * stage.levels - 1
    cdef uint64_t table = stage.root
    cdef uint64_t pte, wanted, entry, pte_address, offset_mask, index_mask = LEVEL_MASK
    cdef Translated place
    cdef RamRegion* region
    cdef uint64_t* host
    cdef bint partial
    cdef int status
    cause[0] = PAGE_FAULT[access]
    if stage.of_guest_physical:
        if address >> (top_bit + WIDER_BITS + 1):
            return TRAP
        index_mask = (1 << LEVEL_BITS + WIDER_BITS) - 1         # of the root
    elif <int64_t>(address << (63 - top_bit)) >> (63 - top_bit) != <int64_t>address:
        return TRAP
    while True:
        entry = table + (address >> PAGE_SHIFT + LEVEL_BITS * level & index_mask) * PTE_BYTES   # step 2
        pte_address = entry
        if stage.second != NULL:
            status = walk_second(hart, stage.second, entry, READ, access, True, update, &place, cause)
            if status != CONTINUE:
                return status
            pte_address = place.physical
            cause[0] = PAGE_FAULT[access]
        region = ram_at(hart.cpu.machine.map, pte_address, PTE_BYTES)
        if region == NULL or not pmp_allows(hart, pte_address, PTE_BYTES, READ, SUPERVISOR, &partial):
            cause[0] = ACCESS_FAULT[access]
            return TRAP
        if not make_present(region, (pte_address - region.base) >> PAGE_SHIFT):
            return page_failed(&hart.cpu, region)
        host = <uint64_t*>(region.host + (pte_address - region.base))
        pte = load64(host)
        if not pte & PTE_V or pte & PTE_RESERVED:                                               # step 3
            return TRAP
        if pte & (PTE_R | PTE_W) == PTE_W and not is_shadow_stack(stage, pte):
            return TRAP
        if not pte & (PTE_R | PTE_W | PTE_X):                                                           # step 4
            if pte & (PTE_A | PTE_D | PTE_U | PTE_N | PTE_PBMT) or level == 0:
                return TRAP
            table = page_of(pte)
            level -= 1
            index_mask = LEVEL_MASK
            continue
        offset_mask = (1ULL << (PAGE_SHIFT + LEVEL_BITS * level)) - 1
        if pte & (PTE_N | PTE_PBMT) and not attributes_are_legal(hart, stage, pte, level):
            return TRAP
        if page_of(pte) & offset_mask:                                                          # step 5
            return TRAP
        if not user_bit_allows(stage, pte, access, privilege):                                  # steps 6 to 8
            return TRAP
        if not leaf_permits(stage, pte, access):
            if is_fatal(pte, access):
                cause[0] = ACCESS_FAULT[access]
            return TRAP
        wanted = pte | PTE_A | (PTE_D if ON_ANY_PAGE[access] == WRITE else 0)
        if wanted == pte or not update:                                                         # step 9
            break
        if not updates_entries(hart, stage):
            return TRAP
        if stage.second != NULL:
            status = walk_second(hart, stage.second, entry, WRITE, access, True, update, &place, cause)
            if status != CONTINUE:
                return status
            cause[0] = PAGE_FAULT[access]
        if region.rom or not pmp_allows(hart, pte_address, PTE_BYTES, WRITE, SUPERVISOR, &partial):
            cause[0] = ACCESS_FAULT[access]
            return TRAP
        about_to_store(&hart.cpu, host, PTE_BYTES)
        if update_pte(host, pte, wanted):
            mark_dirty(region, (pte_address - region.base) >> PAGE_SHIFT)
            pte = wanted
            break
    if pte & PTE_N:
        offset_mask = NAPOT_SIZE - 1
    result.pte = pte
    result.level = level
    result.physical = page_of(pte) & ~offset_mask | address & offset_mask                       # step 10
    return CONTINUE


cdef int walk_second(
    Hart* hart, const Stage* stage, uint64_t address, int needed, int access, bint of_table, bint update,
    Translated* result, uint64_t* cause
) noexcept nogil:
    """Translate a guest-physical address: of what is accessed, or of an entry of tables that the first stage needs.

    What fails is the `access` that all this is for.
    """
    cdef Stage plain = stage[0]
    cdef int status
    if of_table:
        plain.status = 0
    status = walk(hart, &plain, address, needed, USER, update, result, cause)
    if status != TRAP:
        return status
    if cause[0] != PAGE_FAULT[needed]:
        cause[0] = ACCESS_FAULT[access]
        return TRAP
    cause[0] = GUEST_PAGE_FAULT[access]
    hart.guest_physical = address >> 2
    hart.guest_instruction = 0 if not of_table else WRITE_BY_WALK if needed == WRITE else READ_BY_WALK
    return TRAP


cdef int translate(
    Hart* hart, const View* view, uint64_t address, int access, bint update, Translated* result, uint64_t* cause
) noexcept nogil:
    """All stages that there are. `result` is whole only if they let the access through."""
    cdef Translated second
    cdef int status = CONTINUE
    result.physical = address
    result.pte = result.second_pte = 0
    result.level = 0
    if view.paged:
        status = walk(hart, &view.stage, address, access, view.privilege, update, result, cause)
    if status != CONTINUE or view.stage.second == NULL:
        return status
    status = walk_second(
        hart, view.stage.second, result.physical, ON_ANY_PAGE[access], access, False, update, &second, cause
    )
    if status == CONTINUE:
        result.physical = second.physical
        result.second_pte = second.pte
    return status


cdef bint attributes_are_legal(Hart* hart, const Stage* stage, uint64_t pte, int level) noexcept nogil:
    """Svnapot (chapter 14): 64 KiB is the one size. Svpbmt (chapter 15): memory types change nothing here."""
    if pte & PTE_N:
        if not hart.state.features & FEATURE_SVNAPOT or level != 0:
            return False
        if (pte >> PTE_PPN_SHIFT & NAPOT_PPN_MASK) != NAPOT_PPN:
            return False
    if pte & PTE_PBMT:
        return stage.envcfg & MENVCFG_PBMTE != 0 and pte & PTE_PBMT != PTE_PBMT
    return True


cdef inline bint is_shadow_stack(const Stage* stage, uint64_t pte) noexcept nogil:
    """Zicfiss: what may be written but not read is such a page, where the stage has them."""
    return stage.envcfg & MENVCFG_SSE != 0 and not stage.of_guest_physical and not pte & PTE_X


cdef inline bint user_bit_allows(const Stage* stage, uint64_t pte, int access, int privilege) noexcept nogil:
    if privilege == USER:
        return pte & PTE_U != 0
    return not pte & PTE_U or access != EXECUTE and stage.status & MSTATUS_SUM != 0


cdef inline bint leaf_permits(const Stage* stage, uint64_t pte, int access) noexcept nogil:
    """A shadow stack has W alone: it may be loaded from, and all else is for its own instructions."""
    if access >= READ_SHADOW:
        return pte & (PTE_R | PTE_W) == PTE_W
    if access >= EXECUTE:
        return pte & PTE_X != 0
    if access == WRITE:
        return pte & (PTE_R | PTE_W) == PTE_R | PTE_W
    return pte & (PTE_R | PTE_W) != 0 or (pte & PTE_X and stage.status & MSTATUS_MXR) != 0


cdef inline bint is_fatal(uint64_t pte, int access) noexcept nogil:
    """Whether what a leaf does not permit is an access fault: a page fault is one that a kernel might do away with."""
    if access >= READ_SHADOW:
        return pte & (PTE_R | PTE_W | PTE_X) != PTE_R
    return access != READ_CODE and pte & (PTE_R | PTE_W) == PTE_W


cdef inline bint leaf_allows(const Stage* stage, uint64_t pte, int access, int privilege) noexcept nogil:
    return user_bit_allows(stage, pte, access, privilege) and leaf_permits(stage, pte, access)


cdef inline int effective_privilege(Hart* hart, int access) noexcept nogil:
    if access != EXECUTE and hart.state.mstatus & MSTATUS_MPRV:
        return <int>((hart.state.mstatus & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT)
    return hart.state.privilege


cdef int look_up(Hart* hart, uint64_t address, int access, uint64_t* physical) noexcept nogil:
    """Translate for a debugger: as the hart would now, without changing A, D or the TLB, and without PMP."""
    cdef View view
    cdef Translated found
    cdef uint64_t cause
    cdef int status
    if access != EXECUTE:
        address = effective_address(&hart.cpu, address)
    look(hart, access, &view)
    status = translate(hart, &view, address, access, False, &found, &cause)
    physical[0] = found.physical
    return status


cdef int translate_for_guest(
    Hart* hart, uint64_t address, int access, int privilege, uint64_t size, uint64_t* physical
) noexcept nogil:
    """Translate for an instruction of the host's that accesses memory as its guest does. The TLB stays as it is."""
    cdef View view
    hart.reaches_guest = True               # until a trap has been taken for it
    hart.cpu.trap_value = address
    view.privilege = privilege
    look_as_guest(hart, &view)
    return translate_anew(hart, &view, address, access, size, physical)


cdef int obtain(Cpu* cpu, RamRegion* region, uint64_t physical, int access) noexcept nogil:
    """Have what is in RAM there, and room for one page more if a store wants one. `region`: NULL for none."""
    if region == NULL:
        return CONTINUE
    if not make_present(region, (physical - region.base) >> PAGE_SHIFT):
        return page_failed(cpu, region)
    if access == WRITE and is_used_up(region, (physical - region.base) >> PAGE_SHIFT):
        return page_refused(cpu)
    return CONTINUE


cdef int translate_anew(
    Hart* hart, const View* view, uint64_t address, int access, uint64_t size, uint64_t* physical
) noexcept nogil:
    """And check, and have what is found there; the TLB is neither asked nor filled."""
    cdef Cpu* cpu = &hart.cpu
    cdef Translated found
    cdef RamRegion* region
    cdef bint partial
    cdef int status = translate(hart, view, address, access, True, &found, &cpu.trap_cause)
    if status != CONTINUE:
        return status
    region = ram_at(cpu.machine.map, found.physical & PAGE_MASK, PAGE_SIZE)
    if not pmp_allows(hart, found.physical, size, access, view.privilege, &partial) or (
        region != NULL and region.rom and ON_ANY_PAGE[access] == WRITE
    ):
        cpu.trap_cause = ACCESS_FAULT[access]
        return TRAP
    physical[0] = found.physical
    return obtain(cpu, region, found.physical, ON_ANY_PAGE[access])


cdef int translate_shadow(
    Hart* hart, uint64_t address, int access, uint64_t size, uint64_t* physical
) noexcept nogil:
    """Translate for an instruction of shadow stacks, which M-mode has none of, nor who has no pages. The TLB stays as
    it is.
    """
    cdef View view
    hart.cpu.trap_value = address
    look(hart, access, &view)
    if not view.paged:
        hart.cpu.trap_cause = STORE_ACCESS
        return TRAP
    return translate_anew(hart, &view, address, access, size, physical)


cdef int translate_address(Cpu* cpu, uint64_t address, int access, uint64_t size, uint64_t* physical) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    cdef bint partial = False
    cdef View view
    cdef Translated found
    cdef RamRegion* region
    cdef int status
    cpu.tlb_misses[access] += 1
    if access != EXECUTE:
        address = effective_address(cpu, address)
    cpu.trap_value = address
    look(hart, access, &view)
    status = translate(hart, &view, address, access, True, &found, &cpu.trap_cause)
    if status != CONTINUE:
        return status
    if not pmp_allows(hart, found.physical, size, access, view.privilege, &partial):
        cpu.trap_cause = ACCESS_FAULT[access]
        return TRAP
    region = ram_at(cpu.machine.map, found.physical & PAGE_MASK, PAGE_SIZE)
    if region != NULL and region.rom and access == WRITE:
        cpu.trap_cause = ACCESS_FAULT[access]
        return TRAP
    physical[0] = found.physical
    if access == EXECUTE:
        note_fetch(hart, found.pte & PTE_G != 0)
    status = obtain(cpu, region, found.physical, access)
    if status != CONTINUE:
        return status
    if region != NULL and not partial:
        fill(hart, &view, address, access, &found, region)
    elif access != EXECUTE and not partial:
        fill_device(hart, address, access, &found)
    return CONTINUE


# --- The TLB ---------------------------------------------------------------------------------------------------------

cdef TlbEntry* entry_for(Hart* hart, uint64_t page, int access, intptr_t addend, uint64_t tag) noexcept nogil:
    """The entry of a virtual page, with nothing of another in it; `tag` is what one of its own has. NULL: remember
    nothing."""
    cdef Cpu* cpu = &hart.cpu
    cdef TlbEntry* bank = cpu.fetch_tlb if access == EXECUTE else cpu.tlb
    cdef TlbEntry* entry
    cdef TlbEntry* spare
    if access != EXECUTE and not cpu.machine.data_tlb:
        return NULL
    if access != EXECUTE and cpu.machine.probes.virtual_watches and (
        watches_page(cpu.machine, page) or cpu.front_end.has_trigger(cpu, 1 << READ | 1 << WRITE, page, PAGE_SIZE)
    ):
        return NULL
    recall(bank, page)
    entry = tlb_entry(bank, page)
    if entry.addend != addend or entry.read_tag != tag and entry.write_tag != tag and entry.exec_tag != tag:
        if not is_of_page(entry, page) and not is_vacant(bank, entry):
            spare = spare_entry(bank, page)
            spare[0] = entry[0]
            remember_fill(hart, <int>(spare - cpu.banks))
        clear_entry(entry)
        entry.addend = addend
        remember_fill(hart, <int>(entry - cpu.banks))
    return entry


cdef void fill_device(Hart* hart, uint64_t address, int access, Translated* found) noexcept nogil:
    """Where no RAM is, for the one access that has been allowed."""
    cdef uint64_t tag = address & PAGE_MASK | OF_DEVICE
    cdef intptr_t addend = device_addend(found.physical, address)
    cdef TlbEntry* entry = entry_for(hart, address & PAGE_MASK, access, addend, tag)
    if entry == NULL:
        return
    if access == READ:
        entry.read_tag = tag
    else:
        entry.write_tag = tag
    remember_size(&hart.spaces[hart.space], address, 1 if found.pte & PTE_N else found.level)


cdef void fill(
    Hart* hart, const View* view, uint64_t address, int access, Translated* found, RamRegion* region
) noexcept nogil:
    """`view` is what `found` comes from, and `region` holds it."""
    cdef uint64_t page = address & PAGE_MASK
    cdef uint64_t ram_page = (found.physical - region.base) >> PAGE_SHIFT
    cdef intptr_t addend = <intptr_t>(region.host + (ram_page << PAGE_SHIFT)) - <intptr_t>page
    cdef TlbEntry* entry = entry_for(hart, page, access, addend, page)
    if entry == NULL:
        return
    if access == EXECUTE:
        entry.exec_tag = page
    else:
        if access == READ or permits(hart, view, READ, found):
            entry.read_tag = read_tag_of(page, region.code[ram_page])
            if found.physical == address and not view.of_guest:
                if not hart.cpu.load_windows[data_bank_of(hart.cpu.key)].places[0]:
                    open_load_window(hart, view.privilege, found, region)
        if access == WRITE:
            mark_dirty(region, ram_page)
        if peek8(&region.dirty[ram_page]) and not region.rom:
            if access == WRITE or permits(hart, view, WRITE, found):
                entry.write_tag = write_tag_of(page, region.code[ram_page])
    remember_size(&hart.spaces[hart.space], address, 1 if found.pte & PTE_N else found.level)


cdef inline bint is_in_one_page(const RamRegion* region, const Translated* found) noexcept nogil:
    """Whether what is true of the translation is true of all of a region."""
    cdef int bits = PAGE_SHIFT + LEVEL_BITS * found.level
    return not found.pte or not found.pte & PTE_N and region.base >> bits == (region.base + region.size - 1) >> bits


cdef void open_load_window(Hart* hart, int privilege, const Translated* found, RamRegion* region) noexcept nogil:
    """For loads in the mode at hand, in which addresses are physical ones, if it may show all of the region."""
    cdef LoadWindow* window = &hart.cpu.load_windows[data_bank_of(hart.cpu.key)]
    cdef bint partial = False
    cdef int i
    if region.base != WINDOW_START or not is_in_one_page(region, found):
        return
    hart.cpu.window_addend = <intptr_t>region.host - <intptr_t>region.base
    if not all_present(region) or not hart.cpu.machine.data_tlb:
        return
    if watches_reads(hart.cpu.machine, region):
        return
    if not pmp_allows(hart, region.base, region.size, READ, privilege, &partial) or partial:
        return
    for i in range(LOAD_SPANS):
        window.places[i] = region.size - (1 << i) + 1


cdef void open_unpaged_window(Cpu* cpu) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    cdef RamRegion* region = ram_at(cpu.machine.map, WINDOW_START, 1)
    cdef Translated same = Translated(WINDOW_START, 0, 0, 0)
    cdef View view
    look(hart, READ, &view)
    if region != NULL and not view.paged and not view.of_guest:
        open_load_window(hart, view.privilege, &same, region)


cdef inline bint permits(Hart* hart, const View* view, int access, Translated* found) noexcept nogil:
    """Whether a page that has been translated for one access need not be translated again for the other."""
    cdef bint partial = False
    if found.pte:
        if not leaf_allows(&view.stage, found.pte, access, view.privilege):
            return False
        if access == WRITE and not found.pte & PTE_D:
            return False
    if found.second_pte:
        if not leaf_allows(&view.second, found.second_pte, access, USER):
            return False
        if access == WRITE and not found.second_pte & PTE_D:
            return False
    return pmp_allows(hart, found.physical & PAGE_MASK, PAGE_SIZE, access, view.privilege, &partial)
